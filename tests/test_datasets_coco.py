import json
from pathlib import Path

import numpy as np
import pytest
from dataset_files import coco_box, coco_json, make_coco, make_voc, voc_object, write_jpeg
from hypothesis import given
from hypothesis import strategies as st

from noisedash.boxes import xyxy_to_xywh
from noisedash.datasets.checks import Severity
from noisedash.datasets.coco import read_coco, split_of_file, write_coco
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.validate import settle, validate
from noisedash.datasets.voc import read_voc
from noisedash.errors import DataError


def clean(path: Path, **options: Path) -> Dataset:
    return validate(read_coco(path, **options), "tiny", path)[0]


def test_ids_with_gaps_crowds_and_float_boxes(tmp_path: Path) -> None:
    rle = {"counts": [10, 20, 30], "size": [40, 60]}
    boxes = [
        coco_box(900100433998, 2, [1.25, 2.5, 10.5, 3.0], category=7),
        coco_box(5, 1, [0, 0, 60, 40], iscrowd=1, segmentation=rle),
        coco_box(6, 1, [3, 4, 5, 6], ignore=1, truncated=1),
    ]
    dataset = clean(make_coco(tmp_path, boxes, images=3))
    assert dataset.classes == ("cat", "dog")
    assert dataset.images.file == ("train2017/1.jpg", "train2017/2.jpg", "train2017/3.jpg")
    assert set(dataset.images.split) == {"train"}
    assert dataset.boxes.xyxy.tolist() == [[0, 0, 60, 40], [3, 4, 8, 10], [1.25, 2.5, 11.75, 5.5]]
    assert dataset.boxes.class_id.tolist() == [0, 0, 1]
    assert dataset.boxes.crowd.tolist() == [True, False, False]
    assert dataset.boxes.difficult.tolist() == dataset.boxes.truncated.tolist() == [False, True, False]


def test_categories_keep_the_order_of_their_ids(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg")
    categories = [(90, "late"), (3, "early"), (10, "unused")]
    text = coco_json([{"id": 1, "file_name": "a.jpg"}], [coco_box(1, 1, [0, 0, 9, 9], 90)], categories)
    (tmp_path / "labels.json").write_text(text)
    raw = read_coco(tmp_path / "labels.json")
    assert raw.classes == ("early", "unused", "late")
    assert raw.boxes.class_id == [2]
    assert raw.images[0].split == ""


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_val2017.json", "val"),
        ("instances_minival2014.json", "minival"),
        ("x/instances_default.json", ""),
        ("test/_annotations.coco.json", "test"),
        ("train2017/labels.json", "train"),
        ("my_test_set/labels.json", ""),
        ("somewhere/labels.json", ""),
    ],
)
def test_the_split_is_in_the_name(path: str, split: str) -> None:
    assert split_of_file(Path(path)) == split


def test_a_json_in_each_split_folder(tmp_path: Path) -> None:
    for number, folder in enumerate(("train", "valid"), start=1):
        write_jpeg(tmp_path / folder / "same_name.jpg", seed=number)
        text = coco_json([{"id": 1, "file_name": "same_name.jpg"}], [coco_box(1, 1, [0, 0, number, 9])])
        (tmp_path / folder / "_annotations.coco.json").write_text(text)
    dataset = clean(tmp_path)
    assert dataset.images.file == ("train/same_name.jpg", "valid/same_name.jpg")
    assert dataset.images.split == ("train", "val")
    assert dataset.boxes.xyxy[:, 2].tolist() == [1, 2]


def test_files_whose_category_ids_differ_agree_by_name(tmp_path: Path) -> None:
    make_coco(tmp_path, [coco_box(1, 1, [0, 0, 9, 9], 7)])
    write_jpeg(tmp_path / "val2017" / "9.jpg", seed=9)
    text = coco_json([{"id": 9, "file_name": "9.jpg"}], [coco_box(1, 9, [0, 0, 8, 8], 1)], [(1, "dog"), (2, "owl")])
    (tmp_path / "annotations" / "instances_val2017.json").write_text(text)
    (tmp_path / "annotations" / "captions_val2017.json").write_text('{"images": [], "annotations": []}')
    dataset = clean(tmp_path)
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.boxes.class_id.tolist() == [1, 1]
    assert dataset.images.split == ("train", "train", "val")


def test_an_image_in_two_files_is_taken_once(tmp_path: Path) -> None:
    make_coco(tmp_path, [coco_box(1, 1, [0, 0, 9, 9])])
    source = tmp_path / "annotations" / "instances_train2017.json"
    (tmp_path / "annotations" / "instances_all.json").write_text(source.read_text())
    raw = read_coco(tmp_path, images=tmp_path / "train2017")
    assert [image.split for image in raw.images] == ["train", "train"]
    assert len(raw.boxes) == 1
    assert [str(problem) for problem in raw.problems] == [
        "note: annotations/instances_all.json: Images that an earlier file has are taken from there: 2."
    ]


def test_a_json_cut_in_half_is_refused(tmp_path: Path) -> None:
    make_coco(tmp_path, [coco_box(number, 1, [0, 0, 9, 9]) for number in range(50)])
    path = tmp_path / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[: len(path.read_text()) // 2])
    with pytest.raises(DataError, match=r"instances_train2017.json is not whole JSON: it breaks at line 1, column \d+"):
        read_coco(tmp_path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[]", "has no list 'images'"),
        ('{"images": [], "categories": []}', "has no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "has a category without id or name"),
    ],
)
def test_json_that_is_no_coco_is_refused(tmp_path: Path, document: str, message: str) -> None:
    (tmp_path / "x.json").write_text(document)
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (coco_box(8, 99, [0, 0, 9, 9]), "is of image 99, which is not listed; it was dropped."),
        (coco_box(8, 1, [0, 0, 9, 9], 44), "has the unknown category 44, which is not listed; it was dropped."),
        (coco_box(8, 1, [0, 0, 9]), "has no bbox of four numbers; it was dropped."),
        (coco_box(8, 1, [0, 0, 9, None]), "has no bbox of four numbers; it was dropped."),
        (coco_box(8, 1, [0, 0, 9, 10**400]), "has no bbox of four numbers; it was dropped."),
        ({"id": 8, "image_id": [1], "category_id": {}}, "is of image None, which is not listed; it was dropped."),
    ],
)
def test_an_unusable_annotation_is_dropped_and_told(tmp_path: Path, box: dict[str, object], message: str) -> None:
    raw = read_coco(make_coco(tmp_path, [coco_box(1, 1, [0, 0, 9, 9]), box]))
    assert len(raw.boxes) == 1
    assert [str(problem) for problem in raw.problems] == [
        f"warning: annotations/instances_train2017.json, box 8: {message}"
    ]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"id": 1, "file_name": "other.jpg"}, "has two images with id 1."),
        ({"id": 5, "file_name": "../../etc/x.jpg"}, "names an image '../../etc/x.jpg', which is not below"),
        ({"id": 5}, "has an image without id or file name"),
        ({"id": 5, "file_name": "1.jpg"}, "names the image 1.jpg, which x.json annotates already."),
    ],
)
def test_an_unusable_image_entry_is_an_error(tmp_path: Path, image: dict[str, object], message: str) -> None:
    write_jpeg(tmp_path / "1.jpg")
    entries = [{"id": 1, "file_name": "1.jpg"}, image]
    (tmp_path / "x.json").write_text(coco_json(entries, [coco_box(1, 1, [0, 0, 9, 9]), coco_box(2, 5, [0, 0, 9, 9])]))
    raw = read_coco(tmp_path)
    errors = [problem for problem in raw.problems if problem.severity == Severity.ERROR]
    assert len(errors) == 1
    assert errors[0].message.startswith(message)
    assert len(raw.images) == len(raw.boxes) == 1


def test_images_elsewhere_are_found_or_asked_for(tmp_path: Path) -> None:
    labels = tmp_path / "gts" / "coco"
    labels.mkdir(parents=True)
    (labels / "instances_default.json").write_text(
        coco_json([{"id": 1, "file_name": "a.jpg"}], [coco_box(1, 1, [0, 0, 9, 9])])
    )
    with pytest.raises(DataError, match=r"No image of .* was found; looked in .*say where they are with --images"):
        read_coco(labels)
    write_jpeg(tmp_path / "images" / "a.jpg")
    assert clean(labels).root == tmp_path / "images"


def varied(tmp_path: Path) -> Dataset:
    boxes = [
        coco_box(1, 1, [0.1, 0.7, 0.2, 12.3], ignore=1),
        coco_box(2, 1, [0, 0, 60, 40], iscrowd=1),
        coco_box(3, 2, [17.13, 1.01, 22.22, 33.33], 7, truncated=1, area=501.25),
        coco_box(4, 3, [3, 4, 10.1, 20.2], area=10.1 * 20.2),
        coco_box(5, 3, [30, 4, 10, 20], area="much"),
    ]
    make_coco(tmp_path, boxes, images=3)
    write_jpeg(tmp_path / "default" / "4.jpg", seed=4)
    text = coco_json([{"id": 4, "file_name": "4.jpg"}], [coco_box(1, 4, [1, 1, 2, 2])])
    (tmp_path / "annotations" / "instances_default.json").write_text(text)
    return clean(tmp_path)


def test_writing_and_reading_gives_the_very_same_dataset(tmp_path: Path) -> None:
    dataset = varied(tmp_path / "in")
    write_coco(dataset, dataset.boxes, tmp_path / "out")
    assert clean(tmp_path / "out", images=dataset.root).content_hash == dataset.content_hash
    written = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    assert written["annotations"][1]["bbox"] == [0, 0, 60, 40]
    assert written["annotations"][1]["area"] == 2400
    assert sorted(dataset.boxes.outline_area[~np.isnan(dataset.boxes.outline_area)].tolist()) == [501.25]
    assert [annotation["area"] for annotation in written["annotations"]].count(501.25) == 1
    assert [category["id"] for category in written["categories"]] == [1, 2]


@pytest.mark.parametrize("images", ["link", "copy"])
def test_an_export_with_images_stands_alone(tmp_path: Path, images: str) -> None:
    dataset = varied(tmp_path / "in")
    kept = dataset.boxes.take(np.array([0, 3]))
    write_coco(dataset, kept, tmp_path / "out", images=images)
    again = clean(tmp_path / "out")
    assert again.root == tmp_path / "out"
    assert again.images.file == dataset.images.file
    assert again.boxes.box_id.tolist() == kept.box_id.tolist()


@given(
    st.lists(
        st.tuples(*(st.floats(min_value=0, max_value=5000) for _ in range(4))).map(
            lambda four: (min(four[:2]), min(four[2:]), max(four[:2]), max(four[2:]))
        ),
        max_size=20,
    )
)
def test_settled_far_edges_survive_being_written_as_sides(corners: list[tuple[float, ...]]) -> None:
    given_xyxy = np.array([*corners, (25.9, 125.2, 111.7, 254.09)])
    xyxy = settle(given_xyxy)
    assert np.allclose(xyxy, given_xyxy, rtol=1e-15)
    assert np.array_equal(xyxy_to_xywh(xyxy)[:, 2:] + xyxy[:, :2], xyxy[:, 2:])


@given(st.floats(0, 4999), st.integers(5000, 20000))
def test_settling_never_moves_the_image_border(near: float, border: int) -> None:
    assert settle(np.array([[near, 0, border, 1]]))[0, 2] == border


def test_float_corners_of_voc_survive_coco(tmp_path: Path) -> None:
    make_voc(tmp_path / "in", {"a": [voc_object("cat", ("26.9", "12.5", "55.7", "25.4"))]})
    dataset = validate(read_voc(tmp_path / "in"), "tiny", tmp_path)[0]
    write_coco(dataset, dataset.boxes, tmp_path / "out")
    assert clean(tmp_path / "out", images=dataset.root).content_hash == dataset.content_hash
