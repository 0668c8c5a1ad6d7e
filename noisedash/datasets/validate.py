"""Annotations as read, held against the images, to a Dataset. N images, M boxes, C classes.

Refused (or, with skip_bad, left out with all their boxes): images that are missing or do not decode, annotation
files that cannot be read. Dropped: boxes that are inverted, have no area, are not finite or lie wholly outside.
Clipped: boxes that reach out of the image. Kept and reported: duplicates, boxes of one pixel at most.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.checks import Problem, Severity, image_problems
from noisedash.datasets.dataset import BoolArray, Boxes, Dataset, Images, IntArray, stable_box_ids
from noisedash.datasets.decode import Progress, Scanned, scan_all
from noisedash.datasets.raw import RawDataset
from noisedash.errors import DataError

SHOWN_IN_ONE_MESSAGE = 5

FloatArray = NDArray[np.float64]


def validate(
    raw: RawDataset,
    name: str,
    source: Path,
    *,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> tuple[Dataset, list[Problem]]:
    """The clean Dataset of what was read, images in order of their files, and everything that was found wrong.

    `classes`: keep only these, in this order. Raises DataError where a file cannot be used and skip_bad is false,
    and where nothing is left.
    """
    scanned = scan_all([raw.root / image.file for image in raw.images], progress)
    problems = raw.problems + [
        Problem(Severity.ERROR, image.file, None, look.fault)
        for image, look in zip(raw.images, scanned, strict=True)
        if look.fault
    ]
    _refuse([problem for problem in problems if problem.severity == Severity.ERROR], source, skip_bad)
    good = sorted((row for row, look in enumerate(scanned) if not look.fault), key=lambda row: raw.images[row].file)
    if not good:
        raise DataError(f"{source} has no image that can be used: check that the images belong to the annotations.")
    problems += _size_problems(raw, scanned, good)
    images = _images(raw, scanned, good)
    kept_classes, boxes = _boxes(raw, images, good, classes, problems)
    dataset = Dataset(name, raw.root, kept_classes, images, boxes)
    if len(boxes) == 0:
        raise DataError(
            f"{source} has no box that can be used in any of its {len(images)} images: check that the annotations "
            "belong to the images."
        )
    return dataset, problems + image_problems(dataset)


def _refuse(errors: list[Problem], source: Path, skip_bad: bool) -> None:
    if not errors or skip_bad:
        return
    shown = "; ".join(f"{error.file} {error.message.rstrip('.')}" for error in errors[:SHOWN_IN_ONE_MESSAGE])
    more = len(errors) - SHOWN_IN_ONE_MESSAGE
    rest = f"; and {more} more" if more > 0 else ""
    files = "1 file" if len(errors) == 1 else f"{len(errors)} files"
    raise DataError(
        f"{files} of {source} cannot be used: {shown}{rest}. Mend them, or leave their images out with --skip-bad."
    )


def _size_problems(raw: RawDataset, scanned: list[Scanned], good: list[int]) -> list[Problem]:
    problems = []
    for row in good:
        said, found = raw.images[row], scanned[row]
        if said.width and said.height and (said.width, said.height) != (found.width, found.height):
            message = (
                f"says that {said.file} is {said.width} x {said.height} pixels, but it is "
                f"{found.width} x {found.height}; boxes are taken as pixels of the file."
            )
            problems.append(Problem(Severity.WARNING, said.annotation_file, None, message))
    return problems


def _images(raw: RawDataset, scanned: list[Scanned], good: list[int]) -> Images:
    return Images(
        file=tuple(raw.images[row].file for row in good),
        width=np.array([scanned[row].width for row in good], dtype=np.int64),
        height=np.array([scanned[row].height for row in good], dtype=np.int64),
        split=tuple(raw.images[row].split for row in good),
        sha256=tuple(scanned[row].sha256 for row in good),
    )


class _Columns:
    """The boxes of the good images as arrays, rows of the raw image list already renumbered."""

    def __init__(self, raw: RawDataset, good: list[int]):
        new_index = np.full(len(raw.images), -1, dtype=np.int64)
        new_index[good] = np.arange(len(good))
        image_index = new_index[np.array(raw.boxes.image_index, dtype=np.int64)]
        order = np.argsort(image_index, kind="stable")
        order = order[image_index[order] >= 0]
        self.annotation_file = [raw.images[row].annotation_file for row in good]
        self.image_index = image_index[order]
        self.class_id = np.array(raw.boxes.class_id, dtype=np.int64)[order]
        self.xyxy = np.array(raw.boxes.xyxy, dtype=np.float64).reshape(-1, 4)[order]
        self.crowd = np.array(raw.boxes.crowd, dtype=bool)[order]
        self.difficult = np.array(raw.boxes.difficult, dtype=bool)[order]
        self.truncated = np.array(raw.boxes.truncated, dtype=bool)[order]
        self.outline_area = np.array(raw.boxes.outline_area, dtype=np.float64)[order]
        self.number = np.array(raw.boxes.number, dtype=np.int64)[order]

    def keep(self, mask: BoolArray) -> None:
        for name in ("image_index", "class_id", "xyxy", "crowd", "difficult", "truncated", "outline_area", "number"):
            setattr(self, name, getattr(self, name)[mask])

    def problem(self, row: int, message: str) -> Problem:
        file = self.annotation_file[self.image_index[row]]
        return Problem(Severity.WARNING, file, int(self.number[row]), message)


def _boxes(
    raw: RawDataset, images: Images, good: list[int], classes: Sequence[str] | None, problems: list[Problem]
) -> tuple[tuple[str, ...], Boxes]:
    columns = _Columns(raw, good)
    kept_classes = raw.classes if classes is None else tuple(classes)
    if classes is not None:
        problems += _select_classes(columns, raw.classes, kept_classes)
    size_wh = np.stack([images.width, images.height], axis=1)[columns.image_index].astype(np.float64)
    dropped, reasons = _unusable(columns.xyxy, size_wh)
    problems += [columns.problem(row, reasons[row]) for row in np.flatnonzero(dropped).tolist()]
    columns.keep(~dropped)
    problems += _clip(columns, size_wh[~dropped])
    problems += _suspicious(columns)
    box_id = stable_box_ids(
        [images.file[row] for row in columns.image_index],
        [kept_classes[class_id] for class_id in columns.class_id],
        columns.xyxy,
        columns.crowd,
    )
    return kept_classes, Boxes(
        box_id,
        columns.image_index,
        columns.class_id,
        columns.xyxy,
        columns.crowd,
        columns.difficult,
        columns.truncated,
        columns.outline_area,
    )


def _select_classes(columns: _Columns, found: tuple[str, ...], wanted: tuple[str, ...]) -> list[Problem]:
    if len(set(wanted)) != len(wanted):
        raise DataError(f"The list of classes names one twice: {', '.join(wanted)}.")
    absent = [name for name in wanted if name not in found]
    if absent:
        raise DataError(
            f"The dataset has no class {', '.join(map(repr, absent))}; it has {', '.join(map(repr, found))}."
        )
    new_id = np.array([wanted.index(name) if name in wanted else -1 for name in found], dtype=np.int64)
    problems = []
    for class_id, name in enumerate(found):
        count = int((columns.class_id == class_id).sum())
        if new_id[class_id] < 0 and count:
            message = f"Boxes of class {name!r}, which is not in the list of classes, are left out: {count}."
            problems.append(Problem(Severity.NOTE, "", None, message))
    columns.class_id = new_id[columns.class_id]
    columns.keep(columns.class_id >= 0)
    return problems


def _unusable(xyxy: FloatArray, size_wh: FloatArray) -> tuple[BoolArray, dict[int, str]]:
    """Mask (M,) of boxes to drop, and why by row."""
    sides = xyxy[:, 2:] - xyxy[:, :2]
    tests = {
        "has a corner that is no finite number, in an image": ~np.isfinite(xyxy).all(axis=1),
        "is inverted (right before left, or bottom before top), in an image": (sides < 0).any(axis=1),
        "has no area, in an image": (sides == 0).any(axis=1),
        "lies wholly outside its image": (xyxy[:, 2:] <= 0).any(axis=1) | (xyxy[:, :2] >= size_wh).any(axis=1),
    }
    dropped = np.zeros(len(xyxy), dtype=bool)
    reasons: dict[int, str] = {}
    for reason, mask in tests.items():
        for row in np.flatnonzero(mask & ~dropped).tolist():
            width, height = size_wh[row]
            corners = _corners(xyxy[row])
            reasons[row] = f"{corners} {reason} of {width:g} x {height:g} pixels; it was dropped."
        dropped |= mask
    return dropped, reasons


def _clip(columns: _Columns, size_wh: FloatArray) -> list[Problem]:
    high = np.concatenate([size_wh, size_wh], axis=1)
    clipped = np.clip(columns.xyxy, 0, high)
    changed = np.flatnonzero((clipped != columns.xyxy).any(axis=1))
    problems = [
        columns.problem(
            int(row),
            f"{_corners(columns.xyxy[row])} reaches out of its image of {size_wh[row, 0]:g} x {size_wh[row, 1]:g} "
            "pixels; it was clipped.",
        )
        for row in changed
    ]
    columns.xyxy = settle(clipped) + 0.0
    return problems


def settle(xyxy: FloatArray) -> FloatArray:
    """Boxes (M, 4) whose far edges are what floats make of near edge + side, which moves few, and by one last digit.

    So sides can be written and added again, as COCO does, and nothing changes. An edge at a whole number stays.

    >>> settle(np.array([[125.2, 3.0, 254.09, 40.0]])).tolist()
    [[125.2, 3.0, 254.08999999999997, 40.0]]
    """
    near, far = xyxy[:, :2], xyxy[:, 2:]
    return np.concatenate([near, near + (far - near)], axis=1)


def _suspicious(columns: _Columns) -> list[Problem]:
    sides = columns.xyxy[:, 2:] - columns.xyxy[:, :2]
    problems = [
        columns.problem(int(row), f"{_corners(columns.xyxy[row])} is at most one pixel wide and high; it was kept.")
        for row in np.flatnonzero((sides <= 1).all(axis=1))
    ]
    problems += [
        columns.problem(int(row), f"{_corners(columns.xyxy[row])} repeats box {columns.number[first]}; both were kept.")
        for row, first in zip(*_repeats(columns.image_index, columns.class_id, columns.xyxy), strict=True)
    ]
    return problems


def _repeats(image_index: IntArray, class_id: IntArray, xyxy: FloatArray) -> tuple[IntArray, IntArray]:
    """Rows of boxes equal to an earlier one (same image, class, corners), and that earlier row."""
    keys = np.column_stack([image_index.astype(np.float64), class_id.astype(np.float64), xyxy])
    order = np.lexsort(keys.T[::-1])
    same = (keys[order][1:] == keys[order][:-1]).all(axis=1)
    return order[1:][same], order[:-1][same]


def _corners(xyxy: FloatArray) -> str:
    """Pixel edges: left, top, right, bottom."""
    return "(" + ", ".join(f"{value:g}" for value in xyxy) + ")"
