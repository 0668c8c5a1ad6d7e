"""What a dataset holds (Table 1 of the paper) and what is wrong with it. M boxes, C classes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import box_area
from noisedash.datasets.dataset import Dataset


class Severity(StrEnum):
    """How much a problem matters."""

    ERROR = "error"
    """A file cannot be used: it refuses the registration, or its image is left out."""
    WARNING = "warning"
    """A box was dropped or changed, or looks wrong."""
    NOTE = "note"
    """Something to know about the whole set."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, with its place."""

    severity: Severity
    file: str
    """The file below the dataset's root, '' for the whole set."""
    box: int | None
    """VOC: the object's number in its file, from 1. COCO: the annotation's id. None for the whole file."""
    message: str
    """One sentence, without file and box."""

    def __str__(self) -> str:
        place = self.file + (f", box {self.box}" if self.box is not None else "")
        return f"{self.severity}: {place}: {self.message}" if place else f"{self.severity}: {self.message}"


@dataclass(frozen=True)
class Quartiles:
    """Box sizes in pixels, a size being the square root of the area."""

    minimum: float
    lower: float
    median: float
    upper: float
    maximum: float


@dataclass(frozen=True)
class ClassRow:
    """One class of Table 1."""

    name: str
    instances: int
    images: int
    """Images with at least one instance."""
    size_px: Quartiles | None
    """None where there is no instance."""


@dataclass(frozen=True)
class Table1:
    """The characteristics of a dataset as in Table 1 of the paper, and per class."""

    images: int
    instances: int
    """Boxes, crowd regions included."""
    classes: int
    """Categories, with or without instances."""
    images_without_boxes: int
    crowd: int
    difficult: int
    size_px: Quartiles | None
    per_class: tuple[ClassRow, ...]
    images_of_split: dict[str, int]
    """Images of each split that the dataset brings; '' are those without one."""


@dataclass(frozen=True)
class Report:
    """What registration found. `problems` holds the first of them, `problem_count` counts all."""

    name: str
    format: str
    source: str
    """The path that was registered."""
    content_hash: str
    table: Table1
    problems: tuple[Problem, ...]
    problem_count: dict[Severity, int]
    """All problems, by severity."""


def table1(dataset: Dataset) -> Table1:
    """Table 1 of the paper for a dataset.

    >>> from pathlib import Path
    >>> from noisedash.datasets.dataset import Boxes, Images
    >>> images = Images(("a.jpg",), np.array([9]), np.array([9]), ("train",), ("0" * 64,))
    >>> boxes = Boxes(np.array([7], np.uint64), np.array([0]), np.array([0]), np.array([[0.0, 0.0, 2.0, 8.0]]),
    ...               np.array([False]), np.array([False]))
    >>> table = table1(Dataset("tiny", Path("."), ("cup", "hat"), images, boxes))
    >>> table.instances, table.size_px.median, [row.instances for row in table.per_class]
    (1, 4.0, [1, 0])
    """
    boxes = dataset.boxes
    size_px = np.sqrt(box_area(boxes.xyxy))
    rows = []
    for class_id, name in enumerate(dataset.classes):
        of_class = boxes.class_id == class_id
        images = len(np.unique(boxes.image_index[of_class]))
        rows.append(ClassRow(name, int(of_class.sum()), images, _quartiles(size_px[of_class])))
    return Table1(
        images=len(dataset.images),
        instances=len(boxes),
        classes=len(dataset.classes),
        images_without_boxes=len(dataset.images) - len(np.unique(boxes.image_index)),
        crowd=int(boxes.crowd.sum()),
        difficult=int(boxes.difficult.sum()),
        size_px=_quartiles(size_px),
        per_class=tuple(rows),
        images_of_split=dict(sorted(Counter(dataset.images.split).items())),
    )


def _quartiles(size_px: NDArray[np.float64]) -> Quartiles | None:
    if len(size_px) == 0:
        return None
    return Quartiles(*(float(value) for value in np.quantile(size_px, (0, 0.25, 0.5, 0.75, 1))))


def image_problems(dataset: Dataset) -> list[Problem]:
    """Exact duplicates among the images (equal bytes); those in two splits leak from training into testing."""
    first_row: dict[str, int] = {}
    problems = []
    images = dataset.images
    for row, sha256 in enumerate(images.sha256):
        first = first_row.setdefault(sha256, row)
        if first == row:
            continue
        if images.split[first] == images.split[row]:
            message = f"is the same picture as {images.file[first]}, byte for byte."
        else:
            message = (
                f"is the same picture as {images.file[first]}, byte for byte, but one is in split "
                f"{images.split[row]!r} and the other in {images.split[first]!r}: a model may be tested on what it "
                "was trained on."
            )
        problems.append(Problem(Severity.WARNING, images.file[row], None, message))
    return problems


def count_problems(problems: Iterable[Problem]) -> dict[Severity, int]:
    """How many problems of each severity.

    >>> count_problems([Problem(Severity.NOTE, "", None, "Counts from 0.")])
    {<Severity.NOTE: 'note'>: 1}
    """
    return dict(Counter(problem.severity for problem in problems))
