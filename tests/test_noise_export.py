"""The noisy set on disk: it reads back as what training saw, with the history of every box, or not at all."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from noisedash.datasets.coco import read_coco
from noisedash.datasets.dataset import Boxes, Dataset, Images, stable_box_ids
from noisedash.datasets.voc import read_voc
from noisedash.errors import StorageError
from noisedash.noise import export as export_module
from noisedash.noise.export import COLUMNS, export, provenance_csv
from noisedash.noise.recipe import Fate, NoisyDataset, apply_recipe
from noisedash.noise_spec import ExtraNoise, InaccurateNoise, MissingNoise, NoiseRecipe, WrongClassNoise

CLASSES = ("chair", 'clock, "wall"')


@pytest.fixture
def noisy(tmp_path: Path) -> NoisyDataset:
    """Four pictures with three boxes each, one of them a crowd; half are dropped, and the rest is damaged in turn."""
    root = tmp_path / "pictures"
    root.mkdir()
    files = tuple(f"{name}.png" for name in "dbca")
    for file in files:
        cv2.imwrite(str(root / file), np.zeros((40, 60, 3), np.uint8))
    count = 12
    image_index = np.repeat(np.arange(4), 3)
    corner = np.stack([np.arange(count), np.arange(count) * 2.0], axis=1)
    xyxy = np.concatenate([corner, corner + np.array([20.5, 10.25])], axis=1)
    class_id = np.arange(count) % 2
    crowd = np.arange(count) == 4
    ids = stable_box_ids([files[i] for i in image_index], [CLASSES[i] for i in class_id], xyxy, crowd)
    boxes = Boxes(ids, image_index, class_id, xyxy, crowd, difficult=np.zeros(count, bool))
    images = Images(files, np.full(4, 60), np.full(4, 40), ("train",) * 4, ("0" * 64,) * 4)
    clean = Dataset("made", root, CLASSES, images, boxes)
    steps = (
        MissingNoise(rate=0.5, seed=3),
        InaccurateNoise(rate=0.4, seed=3),
        WrongClassNoise(rate=0.4, seed=3),
        ExtraNoise(rate=0.2, seed=3),
    )
    return apply_recipe(clean, NoiseRecipe(steps=steps))


def told(files, classes, boxes) -> list[tuple]:
    """File, class, corners and crowd flag of every box, sorted."""
    columns = zip(boxes.image_index, boxes.class_id, boxes.xyxy, boxes.crowd, strict=True)
    return sorted(
        (files[image], classes[name], tuple(map(float, corners)), bool(crowd))
        for image, name, corners, crowd in columns
    )


@pytest.mark.parametrize(("format_name", "read"), [("voc", read_voc), ("coco", read_coco)])
def test_it_reads_back_as_what_training_saw(noisy: NoisyDataset, tmp_path: Path, format_name: str, read) -> None:
    out = tmp_path / "deep" / "noisy"
    export(noisy, format_name, out)
    raw = read(out, images=noisy.clean.root)
    files = [image.file for image in raw.images]
    assert sorted(files) == sorted(noisy.clean.images.file)
    assert told(files, raw.classes, raw.boxes) == told(noisy.clean.images.file, CLASSES, noisy.boxes)
    assert {path.name for path in out.parent.iterdir()} == {"noisy"}


def test_the_history_of_every_box_is_listed(noisy: NoisyDataset, tmp_path: Path) -> None:
    export(noisy, "voc", tmp_path / "noisy")
    with (tmp_path / "noisy" / "provenance.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["file"], row["box_id"]) for row in rows] == sorted((row["file"], row["box_id"]) for row in rows)
    fates = [row["fate"] for row in rows]
    assert {fate: fates.count(fate) for fate in fates} == {
        "crowd": 1, "dropped": 6, "kept": 2, "moved": 1, "relabelled": 1, "moved and relabelled": 1, "invented": 3,
    }  # fmt: skip
    clean, by_id = noisy.clean, {row["box_id"]: row for row in rows}
    for row in range(12):
        told = by_id.pop(f"{int(clean.boxes.box_id[row]):016x}")
        assert told["file"] == clean.images.file[clean.boxes.image_index[row]]
        assert told["clean_class"] == CLASSES[clean.boxes.class_id[row]]
        assert corners(told, "clean") == clean.boxes.xyxy[row].tolist()
        after = noisy.row_after[row]
        if noisy.fate[row] == Fate.DROPPED:
            assert told["noisy_class"] == told["noisy_left"] == told["iou"] == ""
        else:
            assert told["noisy_class"] == CLASSES[noisy.boxes.class_id[after]]
            assert corners(told, "noisy") == noisy.boxes.xyxy[after].tolist()
            assert float(told["iou"]) == noisy.iou[after]
            assert (float(told["iou"]) < 1) == ("moved" in told["fate"])
    assert sorted(corners(row, "noisy") for row in by_id.values()) == sorted(noisy.invented.xyxy.tolist())
    assert {(row["clean_class"], row["clean_left"], row["iou"]) for row in by_id.values()} == {("", "", "")}


def corners(row: dict[str, str], when: str) -> list[float]:
    return [float(row[f"{when}_{name}"]) for name in ("left", "top", "right", "bottom")]


def test_the_list_does_not_depend_on_the_order_of_rows(noisy: NoisyDataset) -> None:
    clean = noisy.clean
    turned = Dataset(
        clean.name, clean.root, clean.classes, clean.images, clean.boxes.take(np.arange(len(clean.boxes))[::-1])
    )
    assert provenance_csv(apply_recipe(turned, noisy.recipe)) == provenance_csv(noisy)


def test_the_recipe_makes_the_set_again(noisy: NoisyDataset, tmp_path: Path) -> None:
    export(noisy, "coco", tmp_path / "noisy")
    content = json.loads((tmp_path / "noisy" / "recipe.json").read_text())
    assert content["clean_training_set"] == noisy.clean.content_hash
    assert content["boxes"] == {
        "clean": 12, "noisy": 9, "dropped": 6, "moved": 2, "relabelled": 2, "invented": 3,
    }  # fmt: skip
    totals = {row["kind"]: (row["hit"], row["boxes"]) for row in content["hits"] if row["group"] == "all"}
    assert totals == {"missing": (6, 11), "inaccurate": (2, 5), "wrong_class": (2, 5), "extra": (3, 11)}
    again = apply_recipe(noisy.clean, NoiseRecipe.model_validate(content["recipe"]))
    assert again.content_hash == noisy.content_hash == content["noisy_training_set"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_is_not_overwritten(noisy: NoisyDataset, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "noisy"
    if kind == "folder":
        out.mkdir()
        (out / "precious.txt").write_text("mine")
    else:
        out.write_text("mine")
    with pytest.raises(StorageError, match="noisy exists already: choose another place"):
        export(noisy, "voc", out)
    assert (out / "precious.txt" if kind == "folder" else out).read_text() == "mine"


def test_an_empty_folder_is_filled_and_pictures_are_linked(noisy: NoisyDataset, tmp_path: Path) -> None:
    out = tmp_path / "noisy"
    out.mkdir()
    export(noisy, "coco", out, images="link")
    assert len(read_coco(out).images) == 4


def test_a_full_disk_leaves_nothing(noisy: NoisyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "write_synced", full)
    with pytest.raises(StorageError, match="is full"):
        export(noisy, "voc", tmp_path / "out" / "noisy")
    assert list((tmp_path / "out").iterdir()) == []
