"""Noise on real annotations: the paper's counts, nesting, and sets that come back from disk as training saw them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from noisedash.boxes import pairwise_iou
from noisedash.cli.app import main
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.noise.export import export
from noisedash.noise.hitting import hit_count, kept_count
from noisedash.noise.recipe import apply_recipe
from noisedash.settings import current_settings
from noisedash.spec import NoiseRecipe
from noisedash.studies.grid import missing

SHARED = Path(__file__).resolve().parents[3] / "shared"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def registered(folder: str) -> Dataset:
    registry = DatasetRegistry(current_settings())
    registry.add(SHARED / "data" / folder, "real", skip_bad=True)
    return registry.get("real")


@pytest.mark.parametrize("folder", ["bccd-voc", "coco-free-json"])
def test_each_rate_keeps_exactly_its_share_and_drops_what_the_lower_ones_drop(folder: str) -> None:
    clean = registered(folder)
    countable = int((~clean.boxes.crowd).sum())
    assert countable > 300
    before: set[int] = set()
    for rate in RATES:
        noisy = apply_recipe(clean, missing(rate))
        dropped = set(noisy.dropped.box_id.tolist())
        assert len(dropped) == countable - kept_count(countable, rate)
        assert before <= dropped
        assert not noisy.dropped.crowd.any()
        before = dropped


def test_what_goes_missing_is_like_what_stays() -> None:
    """Over many draws each class loses its share: labels go missing uniformly, whatever they are."""
    clean = registered("bccd-voc")
    counts = np.bincount(clean.boxes.class_id)
    lost = sum(np.bincount(apply_recipe(clean, missing(0.5, seed)).dropped.class_id) for seed in range(40))
    np.testing.assert_allclose(lost / counts / 40, 0.5, atol=0.02)


@pytest.mark.parametrize("folder", ["bccd-voc", "coco-free-json"])
@pytest.mark.parametrize("format_name", ["voc", "coco"])
def test_an_exported_noisy_set_can_be_registered_and_holds_the_kept_boxes(
    folder: str, format_name: str, tmp_path: Path
) -> None:
    clean = registered(folder)
    noisy = apply_recipe(clean, NoiseRecipe(steps=missing(0.3, seed=1).steps))
    export(noisy, format_name, tmp_path / "noisy", images="link")
    registry = DatasetRegistry(current_settings())
    registry.add(tmp_path / "noisy", "noisy")
    back = registry.get("noisy")
    assert len(back.images) == len(clean.images)
    kept = np.sort(noisy.boxes.xyxy.ravel())
    np.testing.assert_allclose(np.sort(back.boxes.xyxy.ravel()), kept, atol=1e-6)
    assert back.boxes.crowd.sum() == clean.boxes.crowd.sum()


def test_all_four_kinds_are_applied_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, out = registered("bccd-voc"), tmp_path / "noisy"
    rates = ["--missing", "0.3", "--extra", "0.1", "--inaccurate", "0.2", "--wrong-class", "0.1"]
    command = ["noise", "apply", "real", *rates, "--weighting", "missing:size:-1", "--out", str(out), "--json"]
    monkeypatch.setattr("sys.argv", ["noisedash", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    told = json.loads(capsys.readouterr().out)
    assert not ended.value.code
    number = told["boxes"]["clean"]
    left = kept_count(number, 0.3)
    assert told["boxes"] == {
        "clean": number,
        "noisy": left + hit_count(number, 0.1),
        "dropped": number - left,
        "moved": hit_count(left, 0.2),
        "relabelled": hit_count(left, 0.1),
        "invented": hit_count(number, 0.1),
    }
    of_size = {row["name"]: row["share"] for row in told["hits"] if (row["kind"], row["group"]) == ("missing", "size")}
    assert of_size["small"] > of_size["medium"] > 0.3 > of_size["large"]
    with (out / "provenance.csv").open(newline="") as file:
        histories = list(csv.DictReader(file))
    assert len(histories) == number + told["boxes"]["invented"]
    _check_extra_boxes(clean, [row for row in histories if row["fate"] == "invented"])

    registry = DatasetRegistry(current_settings())
    registry.add(out, "noisy", images=clean.root)
    assert len(registry.get("noisy").boxes) == told["boxes"]["noisy"]


def _check_extra_boxes(clean: Dataset, invented: list[dict[str, str]]) -> None:
    row_of_file = {file: row for row, file in enumerate(clean.images.file)}
    for history in invented:
        image = row_of_file[history["file"]]
        corners = np.array([float(history[f"noisy_{name}"]) for name in ("left", "top", "right", "bottom")])
        assert (corners >= 0).all()
        assert corners[2] <= clean.images.width[image]
        assert corners[3] <= clean.images.height[image]
        assert pairwise_iou(corners[None], clean.boxes.xyxy[clean.boxes_of_image[image]]).max() <= 0.1
