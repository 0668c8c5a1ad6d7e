from pathlib import Path

import numpy as np
import pytest

from noisedash.datasets.coco import read_coco, write_coco
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.formats import read
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import default_split, split
from noisedash.datasets.validate import validate
from noisedash.datasets.voc import read_voc, write_voc
from noisedash.settings import current_settings

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MINI = DATA / "voc2012mini-multiformat" / "gts"


def clean(path: Path, format_name: str | None = None, images: Path | None = None) -> Dataset:
    return validate(read(path, format_name, images), "real", path)[0]


def test_bccd(own_home: Path) -> None:
    datasets = DatasetRegistry(current_settings())
    report = datasets.add(DATA / "bccd-voc", "bccd")
    table = report.table
    assert (table.images, table.instances, table.classes) == (364, 4888, 3)
    assert {row.name: row.instances for row in table.per_class} == {"Platelets": 361, "RBC": 4155, "WBC": 372}
    assert table.images_of_split == {"train": 205, "val": 87, "test": 72}
    assert [(problem.file, problem.box) for problem in report.problems] == [
        ("Annotations/BloodImage_00338.xml", 13),
        ("Annotations/BloodImage_00343.xml", 4),
    ]
    dataset = datasets.by_hash(report.content_hash)
    parts = split(dataset, default_split(dataset))
    assert (len(parts.train.images), len(parts.test.images)) == (292, 72)
    first = dataset.boxes.xyxy[dataset.boxes_of_image[0]][0]
    assert first.tolist() == [259, 176, 491, 376]


def test_coco_with_crowds_and_unused_categories() -> None:
    dataset = clean(DATA / "coco-free-json")
    assert (len(dataset.images), len(dataset.boxes), int(dataset.boxes.crowd.sum())) == (92, 967, 13)
    assert len(dataset.classes) == 80
    assert (dataset.classes[0], dataset.classes[11], dataset.classes[79]) == ("person", "stop sign", "toothbrush")
    assert (dataset.images.split.count("train"), dataset.images.split.count("val")) == (45, 47)
    parts = split(dataset, default_split(dataset))
    assert (len(parts.train.boxes), len(parts.test.boxes)) == (498, 469)


def named_boxes(dataset: Dataset) -> list[tuple[str, str, tuple[float, ...]]]:
    boxes = dataset.boxes
    return sorted(
        (dataset.images.file[image], dataset.classes[class_id], tuple(corners))
        for image, class_id, corners in zip(boxes.image_index, boxes.class_id, boxes.xyxy.tolist(), strict=True)
    )


@pytest.mark.parametrize("other", ["coco_format_v1", "coco_format_v2", "imagenet_format"])
def test_one_set_in_several_formats_reads_to_the_same_boxes(other: str) -> None:
    """The COCO files were made from the XML by a tool that took its numbers for edges, so they are read so here."""
    voc = named_boxes(clean(MINI / "pascalvoc_format", "voc-zero-based"))
    assert len(voc) == 273
    assert named_boxes(clean(MINI / other, "voc-zero-based" if other == "imagenet_format" else "coco")) == voc


def test_voc_edges_are_one_pixel_further_left_and_up_than_its_numbers() -> None:
    edges = clean(MINI / "pascalvoc_format")
    numbers = clean(MINI / "pascalvoc_format", "voc-zero-based")
    assert np.array_equal(edges.boxes.xyxy, numbers.boxes.xyxy - [1, 1, 0, 0])
    assert int(edges.boxes.difficult.sum()) == 38
    assert int(edges.boxes.truncated.sum()) == 137


@pytest.mark.parametrize("path", ["bccd-voc", "coco-free-json", "voc2012mini-multiformat/gts/pascalvoc_format"])
def test_real_sets_survive_both_formats(path: str, tmp_path: Path) -> None:
    dataset = clean(DATA / path)
    write_voc(dataset, dataset.boxes, tmp_path / "voc")
    write_coco(dataset, dataset.boxes, tmp_path / "coco")
    for raw in (read_voc(tmp_path / "voc", images=dataset.root), read_coco(tmp_path / "coco", images=dataset.root)):
        assert validate(raw, "real", tmp_path)[0].content_hash == dataset.content_hash
