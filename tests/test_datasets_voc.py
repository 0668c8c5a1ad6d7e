from pathlib import Path

import numpy as np
import pytest
from dataset_files import jpeg, make_voc, voc_object, voc_xml, write_jpeg
from hypothesis import given
from hypothesis import strategies as st

from noisedash.datasets.checks import Severity
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.validate import validate
from noisedash.datasets.voc import read_voc, write_voc
from noisedash.datasets.voc_xml import from_edge, to_edge
from noisedash.errors import DataError, StorageError

CAT = voc_object("cat", (1, 1, 60, 40))


def clean(path: Path, **options: Path) -> Dataset:
    return validate(read_voc(path, **options), "tiny", path)[0]


@given(st.floats(min_value=0, max_value=1e6), st.sampled_from([0, 1]))
def test_any_coordinate_survives_writing_and_reading(edge: float, shift: int) -> None:
    assert to_edge(from_edge(edge, shift), shift) == edge


def test_pixels_count_from_one_and_corners_are_inside(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT, voc_object("dog", (11, 21, 11, 21))]})
    assert clean(tmp_path).boxes.xyxy.tolist() == [[0, 0, 60, 40], [10, 20, 11, 21]]


def test_zero_based_files_are_read_as_written(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [voc_object("cat", (0, 0, 60, 40))]})
    raw = read_voc(tmp_path, first_pixel=0)
    assert (raw.format, raw.boxes.xyxy) == ("voc-zero-based", [(0, 0, 60, 40)])
    assert raw.problems == []


def test_boxes_from_pixel_zero_are_noted(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [voc_object("cat", (0, 5, 60, 40)), CAT]})
    (note,) = read_voc(tmp_path).problems
    assert note.severity == Severity.NOTE
    assert note.message.startswith("Boxes with a left or top of 0, though PASCAL VOC counts from 1: 1;")
    assert "voc-zero-based" in note.message


def test_flags_float_corners_and_parts(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    flags = "<difficult>1</difficult><truncated>0</truncated>"
    make_voc(
        tmp_path,
        {
            "a": [
                voc_object("cat", ("1.5", "2.25", "30.0", "20"), flags + part),
                voc_object("dog", (1, 1, 9, 9), "<truncated>1</truncated>"),
            ]
        },
    )
    dataset = clean(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.boxes.xyxy.tolist() == [[0.5, 1.25, 30, 20], [0, 0, 9, 9]]
    assert dataset.boxes.difficult.tolist() == [True, False]
    assert dataset.boxes.truncated.tolist() == [False, True]


def test_an_image_gets_its_most_specific_list(tmp_path: Path) -> None:
    lists = {"trainval": "abc", "train": "a", "val": "b", "test": "d", "cat_train": ["a  1", "b -1"]}
    make_voc(tmp_path, {stem: [CAT] for stem in "abcde"}, lists)
    raw = read_voc(tmp_path)
    assert {image.file: image.split for image in raw.images} == {
        "JPEGImages/a.jpg": "train",
        "JPEGImages/b.jpg": "val",
        "JPEGImages/c.jpg": "trainval",
        "JPEGImages/d.jpg": "test",
    }
    (note,) = raw.problems
    assert note.message == "Annotated images in no list of ImageSets/Main are left out: 1."


def test_an_image_in_train_and_test_is_told(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT], "b": [CAT]}, {"train": "ab", "test": "b"})
    raw = read_voc(tmp_path)
    assert [image.split for image in raw.images] == ["train", "train"]
    assert str(raw.problems[0]) == (
        "warning: ImageSets/Main/test.txt: lists b, which is in train.txt too; it is taken as 'train'."
    )


def test_a_listed_image_without_annotation_is_an_error(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT]}, {"train": ["a", "ghost"]})
    (problem,) = read_voc(tmp_path).problems
    assert (problem.severity, problem.file) == (Severity.ERROR, "Annotations/ghost.xml")
    assert problem.message == "is missing, but listed in ImageSets/Main/train.txt."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty."),
        ("<annotation><object>", "is not whole XML (no element found: line 1, column 20)."),
        ("<annotations/>", "is not of PASCAL VOC: its root is <annotations>, not <annotation>."),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotation>&a;</annotation>', "defines XML entities"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "is not whole XML (unknown encoding"),
    ],
)
def test_an_unusable_xml_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    make_voc(tmp_path, {"a": [CAT], "b": []})
    (tmp_path / "Annotations" / "b.xml").write_text(text)
    raw = read_voc(tmp_path)
    (problem,) = raw.problems
    assert (problem.severity, problem.file, problem.box) == (Severity.ERROR, "Annotations/b.xml", None)
    assert problem.message.startswith(message)
    assert [image.file for image in raw.images] == ["JPEGImages/a.jpg"]


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (voc_object("cat", ("x", 1, 2, 3)), "has a corner that is no number; it was dropped."),
        (voc_object("cat", ("", 1, 2, 3)), "has a corner that is no number; it was dropped."),
        (voc_object("cat", ("1e999999999", 1, 2, 3)), "has a corner that is no number; it was dropped."),
        (voc_object(" ", (1, 1, 2, 3)), "has no class (<name>); it was dropped."),
        ("<object><name>cat</name></object>", "has no <bndbox>; it was dropped."),
    ],
)
def test_an_unreadable_object_is_dropped_and_told(tmp_path: Path, element: str, message: str) -> None:
    make_voc(tmp_path, {"a": [CAT, element]})
    raw = read_voc(tmp_path)
    assert len(raw.boxes) == 1
    assert str(raw.problems[0]) == f"warning: Annotations/a.xml, box 2: {message}"


def test_two_files_for_one_image_are_an_error(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT]})
    (tmp_path / "Annotations" / "copy.xml").write_text(voc_xml([CAT], "a.jpg"))
    (problem,) = read_voc(tmp_path).problems
    assert (problem.severity, problem.file) == (Severity.ERROR, "Annotations/copy.xml")
    assert problem.message == "names the image JPEGImages/a.jpg, which Annotations/a.xml annotates already."


def test_a_set_one_level_below_has_the_same_content(tmp_path: Path) -> None:
    make_voc(tmp_path / "outer" / "VOC", {"a": [CAT]})
    assert clean(tmp_path / "outer").content_hash == clean(tmp_path / "outer" / "VOC").content_hash


def test_two_sets_below_are_refused(tmp_path: Path) -> None:
    make_voc(tmp_path / "VOC2007", {"a": [CAT]})
    make_voc(tmp_path / "VOC2012", {"a": [CAT]})
    with pytest.raises(DataError, match=r"holds several PASCAL VOC sets \(VOC2007, VOC2012\): add one of them"):
        read_voc(tmp_path)


def test_images_elsewhere_are_found_or_asked_for(tmp_path: Path) -> None:
    sheets = tmp_path / "gts" / "xml"
    sheets.mkdir(parents=True)
    (sheets / "a.xml").write_text(voc_xml([CAT], "wrong.jpg"))
    with pytest.raises(DataError, match=r"No image of .*xml was found; looked in .*say where they are with --images"):
        read_voc(sheets)
    write_jpeg(tmp_path / "images" / "a.png")
    assert clean(sheets).root == tmp_path / "images"
    write_jpeg(tmp_path / "far" / "a.jpg")
    assert clean(sheets, images=tmp_path / "far").image_path(0) == tmp_path / "far" / "a.jpg"


def test_a_file_name_never_leaves_the_folder(tmp_path: Path) -> None:
    make_voc(tmp_path / "set", {"a": [CAT]})
    write_jpeg(tmp_path / "secret.jpg")
    (tmp_path / "set" / "Annotations" / "b.xml").write_text(voc_xml([CAT], "../../secret.jpg"))
    assert [image.file for image in read_voc(tmp_path / "set").images] == ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]


def varied(tmp_path: Path) -> Dataset:
    """Splits, flags, fractions, an image without boxes and two images of one name in different folders."""
    objects = [
        voc_object("cat", ("1.1", "2.7", "30.3", "20.9"), "<difficult>1</difficult>"),
        voc_object("a <b> & c", (1, 1, 60, 40), "<truncated>1</truncated>"),
        voc_object("cat", (3, 3, 9, 9), "<crowd>1</crowd>"),
    ]
    make_voc(tmp_path, {"a": [], "b": [CAT], "c": [CAT]}, {"train": "a", "val": "b", "default": "c"})
    (tmp_path / "Annotations" / "a.xml").write_text(
        voc_xml([element.replace("a <b> & c", "a &lt;b&gt; &amp; c") for element in objects])
    )
    (tmp_path / "Annotations" / "d.xml").write_text(voc_xml([], "sub/b.jpg"))
    write_jpeg(tmp_path / "JPEGImages" / "sub" / "b.jpg", seed=9)
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("d\n")
    (tmp_path / "classes.txt").write_text("zebra\ncat\n")
    return clean(tmp_path)


def test_writing_and_reading_gives_the_very_same_dataset(tmp_path: Path) -> None:
    dataset = varied(tmp_path / "in")
    assert dataset.classes == ("zebra", "cat", "a <b> & c")
    assert dataset.images.split == ("train", "val", "", "test")
    assert dataset.boxes.crowd.sum() == dataset.boxes.difficult.sum() == dataset.boxes.truncated.sum() == 1
    write_voc(dataset, dataset.boxes, tmp_path / "out")
    assert clean(tmp_path / "out", images=dataset.root).content_hash == dataset.content_hash
    assert (tmp_path / "out" / "ImageSets" / "Main" / "trainval.txt").read_text() == "a\nJPEGImages__b.jpg\n"


@pytest.mark.parametrize("images", ["link", "copy"])
def test_an_export_with_images_stands_alone(tmp_path: Path, images: str) -> None:
    dataset = varied(tmp_path / "in")
    write_voc(dataset, dataset.boxes, tmp_path / "out", images=images)
    again = clean(tmp_path / "out")
    assert sorted(again.images.sha256) == sorted(dataset.images.sha256)
    assert np.array_equal(np.sort(again.boxes.xyxy, axis=0), np.sort(dataset.boxes.xyxy, axis=0))
    assert (tmp_path / "out" / "JPEGImages" / "a.jpg").is_symlink() == (images == "link")


def test_nothing_is_left_of_an_export_that_fails(tmp_path: Path) -> None:
    dataset = varied(tmp_path / "in")
    (dataset.root / "JPEGImages" / "c.jpg").unlink()
    with pytest.raises(DataError, match=r"c.jpg is gone, though it is part of dataset 'tiny'"):
        write_voc(dataset, dataset.boxes, tmp_path / "out", images="copy")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    dataset = varied(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_bytes(jpeg())
    with pytest.raises(StorageError, match="exists already: choose another place"):
        write_voc(dataset, dataset.boxes, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_bytes() == jpeg()
