from pathlib import Path

import pytest
from dataset_files import coco_box, make_coco, make_voc, voc_object

from noisedash.datasets.formats import detect, read
from noisedash.errors import DataError

CAT = voc_object("cat", (1, 1, 60, 40))
BOX = coco_box(1, 1, [0, 0, 9, 9])


def test_formats_are_found_where_they_lie(tmp_path: Path) -> None:
    voc = make_voc(tmp_path / "a" / "VOC2012", {"a": [CAT]})
    coco = make_coco(tmp_path / "b", [BOX])
    assert [detect(path) for path in (voc, voc.parent, voc / "Annotations")] == ["voc"] * 3
    assert [detect(path) for path in (coco, coco / "annotations")] == ["coco"] * 2
    assert detect(coco / "annotations" / "instances_train2017.json") == "coco"


def test_the_format_can_be_said(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT]})
    make_coco(tmp_path, [BOX])
    with pytest.raises(DataError, match="holds annotations of both voc and coco: say which with --format"):
        read(tmp_path)
    assert read(tmp_path, "coco").format == "coco"
    assert read(tmp_path, "voc-zero-based").boxes.xyxy == [(1, 1, 60, 40)]
    with pytest.raises(DataError, match="'yolo' is unknown: choose one of voc, voc-zero-based, coco"):
        read(tmp_path, "yolo")


def test_a_json_cut_in_half_is_still_known_for_coco(tmp_path: Path) -> None:
    make_coco(tmp_path, [BOX])
    path = tmp_path / "annotations" / "instances_train2017.json"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="is not whole JSON"):
        read(tmp_path)


def test_what_is_no_dataset_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder or file .*nowhere: check the path"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is an empty folder: expected PASCAL VOC"):
        read(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="found no files at or just below it"):
        read(tmp_path)
    for name in ("a.txt", "labels/b.TXT", "labels/c"):
        (tmp_path / name).write_text("0 .5 .5 .1 .1")
    (tmp_path / "labelme.json").write_text('{"shapes": [], "imagePath": "images"}')
    with pytest.raises(DataError, match=r"known format; .* found files: 2 \.txt, 1 \.json, 1 without suffix"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"found the file a\.txt"):
        read(tmp_path / "a.txt")


def test_a_folder_of_images_that_is_not_there_is_told(tmp_path: Path) -> None:
    make_voc(tmp_path, {"a": [CAT]})
    with pytest.raises(DataError, match=r"There is no folder .*pictures of images"):
        read(tmp_path, images=tmp_path / "pictures")
