"""The command line's way over real pictures: register, submit the paper's study, train and evaluate, read off."""

import json
import sys
from pathlib import Path

import pytest

from noisedash.cli.app import main

SHARED = Path(__file__).resolve().parents[3] / "shared"
SMALL = ("steps=3", "batch_size=4", "input_side=96", "depth_multiplier=0.25")


@pytest.mark.parametrize("folder", ["bccd-voc", "coco-free-json"])
def test_the_papers_study_trains_and_evaluates_on_real_pictures(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def noisedash(*arguments: object):
        monkeypatch.setattr(sys, "argv", ["noisedash", *map(str, arguments), "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return json.loads(capsys.readouterr().out)

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
