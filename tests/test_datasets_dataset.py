from dataclasses import replace

import numpy as np
from dataset_files import dataset_in_memory
from hypothesis import given
from hypothesis import strategies as st

from noisedash.datasets.dataset import Boxes, Dataset, rows_by_image, stable_box_ids


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    """The same content with images and boxes in another order."""
    rng = np.random.default_rng(seed)
    again = dataset.subset(rng.permutation(len(dataset.images)))
    return replace(again, boxes=again.boxes.take(rng.permutation(len(again.boxes))))


@given(st.integers(0, 1000))
def test_content_hash_does_not_depend_on_row_order(seed: int) -> None:
    dataset = dataset_in_memory([f"{number}.jpg" for number in range(7)])
    assert shuffled(dataset, seed).content_hash == dataset.content_hash


def test_content_hash_depends_on_each_column() -> None:
    dataset = dataset_in_memory(["a.jpg", "b.jpg"])
    boxes, images = dataset.boxes, dataset.images
    changed = [
        replace(dataset, classes=("cat", "cow")),
        replace(dataset, images=replace(images, file=("a.jpg", "c.jpg"))),
        replace(dataset, images=replace(images, width=images.width + 1)),
        replace(dataset, images=replace(images, split=("train", ""))),
        replace(dataset, images=replace(images, sha256=(images.sha256[1], images.sha256[0]))),
        replace(dataset, boxes=replace(boxes, class_id=boxes.class_id + 1)),
        replace(dataset, boxes=replace(boxes, xyxy=boxes.xyxy + 1)),
        replace(dataset, boxes=replace(boxes, crowd=~boxes.crowd)),
        replace(dataset, boxes=replace(boxes, difficult=~boxes.difficult)),
        replace(dataset, boxes=replace(boxes, truncated=~boxes.truncated)),
        replace(dataset, boxes=replace(boxes, outline_area=np.array([9.0, np.nan]))),
    ]
    assert len({dataset.content_hash, *(other.content_hash for other in changed)}) == len(changed) + 1


def test_a_set_without_outlines_has_the_hash_that_it_ever_had() -> None:
    """Runs are known by it."""
    known = "195d0e3162178c90ea0ce0b9d9b9b4d9d16aea441810b41ed8217618cf244361"
    assert dataset_in_memory(["a.jpg", "b.jpg"]).content_hash == known


def test_an_objects_area_is_its_outlines_where_there_is_one() -> None:
    boxes = dataset_in_memory(["a.jpg", "b.jpg"]).boxes
    assert boxes.area.tolist() == [29 * 18, 29 * 18]
    assert replace(boxes, outline_area=np.array([np.nan, 7.0])).area.tolist() == [29 * 18, 7.0]
    assert boxes.take(np.array([True, False])).area.tolist() == [29 * 18]


def test_equal_boxes_on_one_image_have_ids_of_their_own() -> None:
    corners = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    ids = stable_box_ids(["a", "a", "b"], ["cat"] * 3, corners, np.zeros(3, dtype=bool))
    assert len(set(ids.tolist())) == 3


@given(st.lists(st.integers(0, 5)))
def test_rows_by_image_against_a_loop(image_index: list[int]) -> None:
    rows = rows_by_image(np.array(image_index, dtype=np.int64), 6)
    expected = [[row for row, image in enumerate(image_index) if image == wanted] for wanted in range(6)]
    assert [some.tolist() for some in rows] == expected


def test_boxes_without_truncated_flags_have_them_all_false() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    flags = np.zeros(2, dtype=bool)
    boxes = Boxes(
        np.arange(2, dtype=np.uint64), np.zeros(2, np.int64), np.zeros(2, np.int64), np.ones((2, 4)), flags, flags
    )
    assert boxes.truncated.tolist() == [False, False]
    assert len(boxes.take(nothing).truncated) == 0


def test_a_subset_keeps_ids_and_points_to_its_own_images() -> None:
    dataset = dataset_in_memory(["a.jpg", "b.jpg", "c.jpg"])
    subset = dataset.subset(np.array([2, 0]))
    assert subset.images.file == ("c.jpg", "a.jpg")
    assert [dataset.boxes.box_id.tolist().index(box_id) for box_id in subset.boxes.box_id.tolist()] == [0, 2]
    assert subset.boxes.image_index.tolist() == [1, 0]
    assert [rows.tolist() for rows in subset.boxes_of_image] == [[1], [0]]
