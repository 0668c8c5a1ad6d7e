"""The noisy set on disk: it reads back as what training saw, with the list of the dropped boxes, or not at all."""

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
from noisedash.noise.export import dropped_csv, export
from noisedash.noise.recipe import NoisyDataset, apply_recipe
from noisedash.spec import MissingNoise, NoiseRecipe

CLASSES = ("chair", 'clock, "wall"')


@pytest.fixture
def noisy(tmp_path: Path) -> NoisyDataset:
    """Four pictures with three boxes each, one of them a crowd; half are dropped."""
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
    return apply_recipe(clean, NoiseRecipe(steps=(MissingNoise(rate=0.5, seed=3),)))


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


def test_the_dropped_boxes_are_listed(noisy: NoisyDataset, tmp_path: Path) -> None:
    export(noisy, "voc", tmp_path / "noisy")
    with (tmp_path / "noisy" / "dropped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(noisy.dropped) == 11 - 5
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    clean = noisy.clean
    expected = {
        f"{int(noisy.dropped.box_id[row]):016x}": (
            clean.images.file[noisy.dropped.image_index[row]],
            CLASSES[noisy.dropped.class_id[row]],
            noisy.dropped.xyxy[row].tolist(),
        )
        for row in range(len(noisy.dropped))
    }
    corners = ("left", "top", "right", "bottom")
    assert {
        row["box_id"]: (row["file"], row["class"], [float(row[name]) for name in corners]) for row in rows
    } == expected


def test_the_list_does_not_depend_on_the_order_of_rows(noisy: NoisyDataset) -> None:
    clean = noisy.clean
    turned = Dataset(
        clean.name, clean.root, clean.classes, clean.images, clean.boxes.take(np.arange(len(clean.boxes))[::-1])
    )
    assert dropped_csv(apply_recipe(turned, noisy.recipe)) == dropped_csv(noisy)


def test_the_recipe_makes_the_set_again(noisy: NoisyDataset, tmp_path: Path) -> None:
    export(noisy, "coco", tmp_path / "noisy")
    content = json.loads((tmp_path / "noisy" / "recipe.json").read_text())
    assert content["clean_training_set"] == noisy.clean.content_hash
    assert content["boxes"] == {"clean": 12, "kept": 6, "dropped": 6}
    again = apply_recipe(noisy.clean, NoiseRecipe.model_validate(content["recipe"]))
    assert (again.fate == noisy.fate).all()


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
