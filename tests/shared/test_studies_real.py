"""The command line's way over real pictures: register, submit the paper's study, train and evaluate, read off."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noisedash.cli.app import main

SHARED = Path(__file__).resolve().parents[3] / "shared"
SMALL = ("steps=3", "batch_size=4", "input_side=96", "depth_multiplier=0.25")


Noisedash = Callable[..., Any]


@pytest.fixture
def noisedash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Noisedash:
    """The command line: what a command says in JSON."""

    def command(*arguments: object) -> Any:
        monkeypatch.setattr(sys, "argv", ["noisedash", *map(str, arguments), "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return json.loads(capsys.readouterr().out)

    return command


@pytest.mark.parametrize("folder", ["bccd-voc", "coco-free-json"])
def test_the_papers_study_trains_and_evaluates_on_real_pictures(
    folder: str, tmp_path: Path, noisedash: Noisedash
) -> None:
    noisedash("data", "add", SHARED / "data" / folder, "--name", "real")
    settings = [part for setting in SMALL for part in ("--set", setting)]
    submitted = noisedash("study", "submit", "paper-losses", "--dataset", "real", *settings)
    jobs = {(job["loss"], job["missing_rate"]): job["id"] for job in noisedash("queue", "list")}
    assert submitted["new"] == len(jobs) == 12

    chosen = [("CE", 0.0), ("FL γ=2", 0.5)]
    for key in chosen:
        spec = tmp_path / "spec.json"
        spec.write_text(json.dumps(noisedash("queue", "show", jobs[key])["spec"]))
        assert len(noisedash("run", spec)["results"]) == 2

    rows = noisedash("study", "results", "paper-losses-real")
    assert {(row["loss"], row["missing_rate"], row["threshold"]) for row in rows} == {
        (*key, threshold) for key in chosen for threshold in (0.01, 0.3)
    }
    assert all(0 <= row["mean"] <= 1 for row in rows)


def test_four_architectures_train_in_one_study_on_real_pictures(tmp_path: Path, noisedash: Noisedash) -> None:
    """From scratch, and SSD-MobileNetV1 from the COCO weights too; gamma 5 with half of the labels missing."""
    noisedash("data", "add", SHARED / "data" / "bccd-voc", "--name", "real")
    noisedash("weights", "import", next((SHARED / "weights").rglob("detect.tflite")), "--name", "coco")
    small = ("steps=1", "batch_size=2", "input_side=96", "depth_multiplier=0.75", "split.max_test_images=2")
    settings = [part for setting in small for part in ("--set", setting)]
    weights = ("--dataset", "real", "--weights", "coco")
    submitted = noisedash("study", "submit", "architectures", *weights, *settings)
    specs = [noisedash("queue", "show", job["id"])["spec"] for job in noisedash("queue", "list")]
    assert submitted["new"] == len(specs) == 5 * 3 * 2

    chosen = [spec for spec in specs if spec["loss"].get("gamma") == 5 and spec["noise"]["steps"]]
    starts = [(spec["detector"]["kind"], spec["initial"]["kind"]) for spec in chosen]
    assert sorted(starts) == [
        ("retinanet_resnet50_fpn", "scratch"),
        ("ssd300_vgg16", "scratch"),
        ("ssd_mobilenet_v1", "scratch"),
        ("ssd_mobilenet_v1", "weights"),
        ("ssdlite320_mobilenet_v3_large", "scratch"),
    ]
    for spec in chosen:
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        assert len(noisedash("run", tmp_path / "spec.json")["results"]) == 2
    rows = noisedash("study", "results", "architectures-real")
    assert len({row["settings"] for row in rows}) == len(chosen), "what differs was averaged"
