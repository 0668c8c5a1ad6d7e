import json
from pathlib import Path

import numpy as np
import pytest
from dataset_files import coco_box, jpeg, make_coco, make_voc, voc_object, voc_xml, write_jpeg

from noisedash.datasets.checks import Problem, Severity
from noisedash.datasets.coco import read_coco
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.validate import validate
from noisedash.datasets.voc import read_voc
from noisedash.errors import DataError

CAT = voc_object("cat", (1, 1, 60, 40))
WHERE = "annotations/instances_train2017.json"


def checked(folder: Path, *boxes: dict[str, object]) -> tuple[Dataset, list[str]]:
    good = coco_box(1, 1, [0, 0, 9, 9])
    dataset, problems = validate(read_coco(make_coco(folder, [good, *boxes])), "tiny", folder)
    return dataset, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ([50, 0, -10, 9], "(50, 0, 40, 9) is inverted (right before left, or bottom before top), in an image"),
        ([5, 5, 10, 0], "(5, 5, 15, 5) has no area, in an image"),
        ([60, 0, 5, 5], "(60, 0, 65, 5) lies wholly outside its image"),
        ([-9, -9, 9, 5], "(-9, -9, 0, -4) lies wholly outside its image"),
        ([float("nan"), 0, 5, 5], "(nan, 0, nan, 5) has a corner that is no finite number, in an image"),
        ([0, 0, 1e999, 5], "(0, 0, inf, 5) has a corner that is no finite number, in an image"),
    ],
)
def test_an_impossible_box_is_dropped_and_told(tmp_path: Path, bbox: list[float], message: str) -> None:
    dataset, problems = checked(tmp_path, coco_box(2, 1, bbox))
    assert len(dataset.boxes) == 1
    assert problems == [f"warning: {WHERE}, box 2: {message} of 60 x 40 pixels; it was dropped."]


def test_a_box_that_reaches_out_is_clipped_and_told(tmp_path: Path) -> None:
    dataset, problems = checked(tmp_path, coco_box(2, 2, [-3, 20, 100, 30.5]))
    assert dataset.boxes.xyxy[1].tolist() == [0, 20, 60, 40]
    assert problems == [
        f"warning: {WHERE}, box 2: (-3, 20, 97, 50.5) reaches out of its image of 60 x 40 pixels; it was clipped."
    ]


def test_a_box_is_clipped_to_its_own_image_whatever_was_dropped_before(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [voc_object("cat", (9, 9, 1, 1))], "b": [voc_object("cat", (1, 1, 99, 99))]})
    write_jpeg(tmp_path / "JPEGImages" / "b.jpg", (20, 30))
    assert validate(read_voc(tmp_path), "tiny", tmp_path)[0].boxes.xyxy.tolist() == [[0, 0, 20, 30]]


def test_repeated_and_one_pixel_boxes_are_kept_and_told(tmp_path: Path) -> None:
    boxes = (coco_box(2, 1, [0, 0, 9, 9]), coco_box(3, 1, [0, 0, 9, 9], 7), coco_box(4, 2, [5, 5, 1, 0.5]))
    dataset, problems = checked(tmp_path, *boxes)
    assert len(dataset.boxes) == len(set(dataset.boxes.box_id.tolist())) == 4
    assert problems == [
        f"warning: {WHERE}, box 4: (5, 5, 6, 5.5) is at most one pixel wide and high; it was kept.",
        f"warning: {WHERE}, box 2: (0, 0, 9, 9) repeats box 1; both were kept.",
    ]


def test_a_size_that_differs_from_the_file_is_told(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT]})
    (tmp_path / "Annotations" / "a.xml").write_text(voc_xml([CAT], "a.jpg", (500, 40)))
    dataset, problems = validate(read_voc(tmp_path), "tiny", tmp_path)
    assert (dataset.images.width[0], dataset.images.height[0]) == (60, 40)
    assert str(problems[0]).startswith("warning: Annotations/a.xml: says that JPEGImages/a.jpg is 500 x 40 pixels, but")


def spoil_three(folder: Path) -> None:
    """One image missing, one truncated, one XML cut; one image stays good."""
    make_voc(folder, {stem: [CAT] for stem in ("gone", "short", "cut", "good")})
    (folder / "JPEGImages" / "gone.jpg").unlink()
    (folder / "JPEGImages" / "short.jpg").write_bytes(jpeg((600, 400))[:-300])
    (folder / "Annotations" / "cut.xml").write_text("<annotation><obj")


def test_unusable_files_refuse_the_dataset_all_named_at_once(tmp_path: Path) -> None:
    spoil_three(tmp_path)
    with pytest.raises(DataError) as caught:
        validate(read_voc(tmp_path), "tiny", tmp_path)
    assert str(caught.value) == (
        f"3 files of {tmp_path} cannot be used: "
        "Annotations/cut.xml is not whole XML (unclosed token: line 1, column 12); "
        "JPEGImages/gone.jpg is missing; "
        "JPEGImages/short.jpg is not a whole image: it is truncated, damaged or of a kind that cannot be decoded. "
        "Mend them, or leave their images out with --skip-bad."
    )


def test_unusable_files_are_left_out_on_request_and_told(tmp_path: Path) -> None:
    spoil_three(tmp_path)
    dataset, problems = validate(read_voc(tmp_path), "tiny", tmp_path, skip_bad=True)
    assert dataset.images.file == ("JPEGImages/good.jpg",)
    assert len(dataset.boxes) == 1
    assert [(problem.severity, problem.file) for problem in problems] == [
        ("error", "Annotations/cut.xml"),
        ("error", "JPEGImages/gone.jpg"),
        ("error", "JPEGImages/short.jpg"),
    ]


def test_many_unusable_files_are_counted(tmp_path: Path) -> None:
    make_voc(tmp_path, {f"{number}": [CAT] for number in range(9)})
    for number in range(8):
        (tmp_path / "JPEGImages" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"8 files of .*4\.jpg is empty; and 3 more\. Mend them"):
        validate(read_voc(tmp_path), "tiny", tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_image_is_noticed_whatever_its_kind(tmp_path: Path, suffix: str, share: float) -> None:
    import cv2

    make_voc(tmp_path, {"a": [CAT], "b": [CAT]})
    data = cv2.imencode(suffix, np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))[1].tobytes()
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    path = tmp_path / "JPEGImages" / f"b{suffix}"
    path.write_bytes(data)
    assert len(validate(read_voc(tmp_path), "tiny", tmp_path)[0].images) == 2
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match="is not a whole image"):
        validate(read_voc(tmp_path), "tiny", tmp_path)


def test_nothing_that_can_be_used_is_an_error(tmp_path: Path) -> None:
    make_voc(tmp_path / "empty", {"a": [], "b": []})
    with pytest.raises(DataError, match="has no box that can be used in any of its 2 images"):
        validate(read_voc(tmp_path / "empty"), "tiny", tmp_path)
    make_voc(tmp_path / "bad", {"a": [CAT]})
    (tmp_path / "bad" / "JPEGImages" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="has no image that can be used"):
        validate(read_voc(tmp_path / "bad"), "tiny", tmp_path, skip_bad=True)


def test_a_list_of_classes_keeps_only_these_in_its_order(tmp_path: Path) -> None:
    objects = [voc_object(name, (1, 1, 9, 9)) for name in ("ant", "bee", "cow", "cow")]
    make_voc(tmp_path, {"a": objects})
    dataset, problems = validate(read_voc(tmp_path), "tiny", tmp_path, classes=("cow", "ant"))
    assert dataset.classes == ("cow", "ant")
    assert dataset.boxes.class_id.tolist() == [1, 0, 0]
    assert str(problems[0]) == "note: Boxes of class 'bee', which is not in the list of classes, are left out: 1."
    with pytest.raises(DataError, match=r"no class 'dog'; it has 'ant', 'bee', 'cow'\."):
        validate(read_voc(tmp_path), "tiny", tmp_path, classes=("cow", "dog"))
    with pytest.raises(DataError, match="names one twice: cow, cow"):
        validate(read_voc(tmp_path), "tiny", tmp_path, classes=("cow", "cow"))


def test_equal_pictures_in_two_splits_are_told(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT], "b": [CAT], "c": [CAT]}, {"train": "ac", "test": "b"})
    for stem in "bc":
        write_jpeg(tmp_path / "JPEGImages" / f"{stem}.jpg", seed=0)
    problems = validate(read_voc(tmp_path), "tiny", tmp_path)[1]
    assert [(problem.file, "tested on what it was trained on" in problem.message) for problem in problems] == [
        ("JPEGImages/b.jpg", True),
        ("JPEGImages/c.jpg", False),
    ]


def test_the_content_does_not_depend_on_the_order_in_the_file(tmp_path: Path) -> None:
    boxes = [coco_box(number, number % 2 + 1, [number, 0, 5, 5]) for number in range(1, 9)]
    hashes = set()
    for order in (boxes, boxes[::-1]):
        folder = tmp_path / str(len(hashes))
        path = make_coco(folder, order) / WHERE
        document = json.loads(path.read_text())
        path.write_text(json.dumps(document | {"images": document["images"][:: -1 if hashes else 1]}))
        dataset = validate(read_coco(folder), "tiny", folder)[0]
        assert dataset.images.file == ("train2017/1.jpg", "train2017/2.jpg")
        hashes.add(dataset.content_hash)
    assert len(hashes) == 1


def test_problems_speak() -> None:
    assert str(Problem(Severity.NOTE, "", None, "All is well.")) == "note: All is well."
