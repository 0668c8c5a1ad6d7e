"""COCO JSON: annotations/instances_*.json beside folders of images, or one JSON file beside its images.

Boxes are x, y, width, height in pixel edges, floats. Crowd regions keep their flag and box; their run-length mask is
not needed. Categories keep the order of their ids, which may have gaps, and stay even without a box.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from noisedash.boxes import FloatArray, xyxy_to_xywh
from noisedash.datasets.checks import Severity
from noisedash.datasets.dataset import Boxes, Dataset, IntArray
from noisedash.datasets.raw import Corners, RawDataset, RawImage, is_below
from noisedash.datasets.references import ImageReferences, refer_to_image
from noisedash.errors import DataError
from noisedash.files import written_aside

HEAD_BYTES = 1 << 20
KEYS = (b'"images"', b'"annotations"', b'"categories"')
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

Json = Mapping[str, Any]


def find_coco(path: Path) -> list[Path]:
    """The COCO files at `path`: itself, those in annotations/, in it, or in its folders; instances_*.json first."""
    if path.is_file():
        return [path] if path.suffix == ".json" else []
    for pattern in ("annotations/*.json", "*.json", "*/*.json", "*/annotations/*.json"):
        found = [file for file in sorted(path.glob(pattern)) if _looks_like_coco(file)]
        if found:
            return [file for file in found if file.name.startswith("instances_")] or found
    return []


def _looks_like_coco(path: Path) -> bool:
    """Whether a COCO key is in the first megabyte; the file may be cut short."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    return any(key in head for key in KEYS) and b'"shapes"' not in head


def split_of_file(path: Path) -> str:
    """The split that a COCO file's name, else its folder's, tells; '' for none.

    >>> split_of_file(Path("annotations/instances_train2017.json")), split_of_file(Path("instances_default.json"))
    ('train', '')
    >>> split_of_file(Path("valid/_annotations.coco.json"))
    'val'
    """
    stem = path.stem
    if stem.startswith("instances_"):
        name = re.sub(r"(19|20)\d\d$", "", stem.removeprefix("instances_"))
        return "" if name == "default" else SPLIT_NAMES.get(name, name)
    words = [*re.findall("[a-z]+", stem.lower()), path.parent.name.lower().rstrip("0123456789")]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")


def read_coco(path: Path, *, images: Path | None = None) -> RawDataset:
    """Read the COCO file or files at `path`; `images` is the folder of the images where it is not beside them.

    The split of an image is its file's (see `split_of_file`); an image in several files is taken from the first,
    train, val and test before others. Raises DataError where a file is no COCO JSON, or is cut short.
    """
    path = path.resolve()
    files = sorted(find_coco(path), key=lambda file: split_of_file(file) not in SPLIT_NAMES.values())
    if not files:
        raise DataError(f"{path} holds no COCO JSON (a file with images, annotations and categories).")
    base = _base(files)
    documents = [_load(file) for file in files]
    raw = RawDataset("coco", base)
    raw.classes, mappings = _categories(documents, files)
    folders = [_image_folder(file, document, base, images) for file, document in zip(files, documents, strict=True)]
    raw.root = images.resolve() if images is not None else _root(base, folders)
    for file, document, folder, class_of_category in zip(files, documents, folders, mappings, strict=True):
        name = file.relative_to(base).as_posix()
        index = _collect_images(raw, document, name, split_of_file(file), folder.relative_to(raw.root))
        _collect_boxes(raw, document, name, index, class_of_category)
    return raw


def _load(path: Path) -> Json:
    """The file's content without masks. Raises DataError where it is no whole COCO JSON."""
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not whole JSON: it breaks at line {error.lineno}, column {error.colno} "
            f"({error.msg[0].lower()}{error.msg[1:]}); it may have been cut short, so copy or download it again."
        ) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}): copy or download it again.") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise DataError(f"{path} is no COCO annotation file: it has no list {key!r}.")
        document[key] = [entry for entry in document[key] if isinstance(entry, dict)]
    for annotation in document["annotations"]:
        annotation.pop("segmentation", None)
    return document


def _base(files: list[Path]) -> Path:
    """The folder that the images of all files are likely to lie below."""
    common = _common([file.parent for file in files])
    return common.parent if common.name == "annotations" else common


def _root(base: Path, folders: list[Path]) -> Path:
    return base if all(folder.is_relative_to(base) for folder in folders) else _common(folders)


def _common(folders: list[Path]) -> Path:
    return Path(os.path.commonpath(folders))


def _categories(documents: list[Json], files: list[Path]) -> tuple[tuple[str, ...], list[dict[int | str, int]]]:
    """All class names, in the order of their ids in the first file that has them, and each file's ids to classes."""
    class_id: dict[str, int] = {}
    mappings = []
    for document, file in zip(documents, files, strict=True):
        mapping: dict[int | str, int] = {}
        for category in sorted(document["categories"], key=_category_order):
            key, name = _key(category.get("id")), category.get("name")
            if key is None or not isinstance(name, str) or not name.strip():
                raise DataError(f"{file} has a category without id or name ({category}): mend it.")
            mapping[key] = class_id.setdefault(name.strip(), len(class_id))
        mappings.append(mapping)
    return tuple(class_id), mappings


def _category_order(category: Json) -> tuple[int, str]:
    key = category.get("id")
    return (key, "") if isinstance(key, int) else (0, str(key))


def _key(value: object) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _image_folder(file: Path, document: Json, base: Path, images: Path | None) -> Path:
    """The first likely folder that holds one of the file's images."""
    token = file.stem.removeprefix("instances_")
    parts = list(dict.fromkeys(part for part in (token, re.sub(r"\d{4}$", "", token), split_of_file(file)) if part))
    names = [name for name in (image.get("file_name") for image in document["images"]) if _usable_name(name)]
    folders = list(_likely_folders(file, base, parts)) if images is None else [images.resolve()]
    if images is not None:
        folders += [folders[0] / part for part in parts]
    for folder in folders:
        if folder.is_dir() and any((folder / name).is_file() for name in names):
            return folder
    if not names:
        return folders[-1] if images is not None else base
    looked = ", ".join(str(folder) for folder in folders if folder.is_dir()) or str(images)
    raise DataError(f"No image of {file} was found; looked in {looked}: say where they are with --images FOLDER.")


def _likely_folders(file: Path, base: Path, parts: list[str]) -> Iterator[Path]:
    for part in parts:
        yield from (base / part, base / "images" / part)
    yield from (file.parent, base / "images", base / "JPEGImages", base)
    for ancestor in list(base.parents)[:2]:
        yield from (ancestor / "images", ancestor)


def _usable_name(name: object) -> bool:
    return isinstance(name, str) and is_below(name)


def _collect_images(
    raw: RawDataset, document: Json, file: str, split: str, prefix: Path
) -> dict[int | str, int | None]:
    """The row of each image id; None for an image that is not taken from this file."""
    index: dict[int | str, int | None] = {}
    taken = set(raw.annotation_of)
    elsewhere = 0
    for image in document["images"]:
        key, name = _key(image.get("id")), image.get("file_name")
        if key is None or not isinstance(name, str):
            raw.report(Severity.ERROR, file, None, f"has an image without id or file name ({str(image)[:80]}).")
        elif not is_below(name):
            raw.report(Severity.ERROR, file, None, f"names an image {name!r}, which is not below the images' folder.")
        elif key in index:
            raw.report(Severity.ERROR, file, None, f"has two images with id {key}.")
        elif (path := (prefix / name).as_posix()) in taken:
            index[key] = None
            elsewhere += 1
        else:
            width, height = (_size(image.get(side)) for side in ("width", "height"))
            index[key] = raw.add_image(RawImage(path, width, height, split, file))
    if elsewhere:
        raw.report(Severity.NOTE, file, None, f"Images that an earlier file has are taken from there: {elsewhere}.")
    return index


def _size(value: object) -> int:
    """A width or height, 0 where it is not given."""
    return value if isinstance(value, int) and value > 0 else 0


def _collect_boxes(
    raw: RawDataset,
    document: Json,
    file: str,
    index: dict[int | str, int | None],
    class_of_category: dict[int | str, int],
) -> None:
    for place, annotation in enumerate(document["annotations"], start=1):
        number = annotation.get("id")
        number = number if isinstance(number, int) and abs(number) < 1 << 63 else place
        image, category = _key(annotation.get("image_id")), _key(annotation.get("category_id"))
        corners = _corners(annotation.get("bbox"))
        if image not in index:
            raw.report(Severity.WARNING, file, number, f"is of image {image}, which is not listed; it was dropped.")
        elif (row := index[image]) is None:
            continue
        elif category not in class_of_category:
            message = f"has the unknown category {category}, which is not listed; it was dropped."
            raw.report(Severity.WARNING, file, number, message)
        elif corners is None:
            raw.report(Severity.WARNING, file, number, "has no bbox of four numbers; it was dropped.")
        else:
            raw.boxes.append(
                row,
                class_of_category[category],
                corners,
                number,
                crowd=bool(annotation.get("iscrowd")),
                difficult=bool(annotation.get("ignore")) or bool(annotation.get("difficult")),
                truncated=bool(annotation.get("truncated")),
                outline_area=_outline_area(annotation.get("area"), corners),
            )


def _outline_area(area: object, corners: Corners) -> float:
    """The annotation's area in square pixels; not a number where it is none, or the box's own up to rounding."""
    if isinstance(area, bool) or not isinstance(area, int | float) or not 0 <= area < math.inf:
        return math.nan
    left, top, right, bottom = corners
    of_box = (right - left) * (bottom - top)
    return math.nan if math.isclose(area, of_box, rel_tol=1e-9) else float(area)


def _corners(bbox: object) -> Corners | None:
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    try:
        left, top, width, height = (float(value) for value in bbox)
    except (TypeError, ValueError, OverflowError):
        return None
    return left, top, left + width, top + height


def write_coco(dataset: Dataset, boxes: Boxes, out: Path, *, images: ImageReferences = "none") -> None:
    """Write `boxes` over the images of `dataset` as annotations/instances_SPLIT.json into the new folder `out`.

    Wholly or not at all. Images without split go to instances_default.json. `images`: 'link' or 'copy' puts the
    pictures below `out` too; with 'none' read the set back with `read_coco(out, images=dataset.root)`. Read back,
    boxes, classes, flags and splits are the very same. Raises StorageError, and DataError where a picture is gone.
    """
    xywh = xyxy_to_xywh(boxes.xyxy)
    split_of_box = np.array(dataset.images.split, dtype=object)[boxes.image_index]
    with written_aside(out) as aside:
        (aside / "annotations").mkdir()
        for row, image in enumerate(dataset.images.file):
            refer_to_image(dataset, row, aside / image, images)
        for split in sorted(set(dataset.images.split)):
            image_rows = [row for row, of in enumerate(dataset.images.split) if of == split]
            document = {
                "info": {"description": f"{dataset.name}, written by NoiseDash"},
                "licenses": [],
                "images": [_image_entry(dataset, row) for row in image_rows],
                "annotations": _annotations(boxes, xywh, np.flatnonzero(split_of_box == split)),
                "categories": [
                    {"id": class_id, "name": name, "supercategory": ""}
                    for class_id, name in enumerate(dataset.classes, start=1)
                ],
            }
            file = aside / "annotations" / f"instances_{split or 'default'}.json"
            file.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False), encoding="utf-8")


def _image_entry(dataset: Dataset, row: int) -> Json:
    images = dataset.images
    size = {"width": int(images.width[row]), "height": int(images.height[row])}
    return {"id": row + 1, "file_name": images.file[row], **size}


def _annotations(boxes: Boxes, xywh: FloatArray, rows: IntArray) -> list[Json]:
    area = boxes.area
    annotations: list[Json] = []
    for row in rows.tolist():
        annotation = {
            "id": row + 1,
            "image_id": int(boxes.image_index[row]) + 1,
            "category_id": int(boxes.class_id[row]) + 1,
            "bbox": [int(value) if value.is_integer() else value for value in xywh[row].tolist()],
            "area": float(area[row]),
            "iscrowd": int(boxes.crowd[row]),
            "segmentation": [],
        }
        flags = {"ignore": int(boxes.difficult[row]), "truncated": int(boxes.truncated[row])}
        annotations.append(annotation | {name: value for name, value in flags.items() if value})
    return annotations
