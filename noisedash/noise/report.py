"""What a recipe really hit: for each step, in all, per class and per size."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import box_area
from noisedash.datasets.dataset import Boxes
from noisedash.noise.overlaps import countable
from noisedash.noise.recipe import INVENTED, Fate, NoisyDataset
from noisedash.noise_spec import Noise

SIZES = (("small", 0.0, 32.0**2), ("medium", 32.0**2, 96.0**2), ("large", 96.0**2, np.inf))
"""COCO's sizes: name, least area and the area below which a box has it, in square pixels."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Hits:
    """What one step did to one group of boxes."""

    kind: str
    group: Literal["all", "class", "size"]
    name: str
    """The class or size; '' for all."""
    boxes: int
    """How many it could hit: for `inaccurate` and `wrong_class` those that `missing` left, else all countable ones."""
    hit: int
    """How many it hit; for `extra`, how many of this class or size it added."""
    mean_iou: float | None
    """For `inaccurate`, of the boxes that it moved: the mean IoU with where they were. None where there is none."""

    @property
    def share(self) -> float | None:
        """hit / boxes; None where there was nothing to hit."""
        return self.hit / self.boxes if self.boxes else None


def hits(noisy: NoisyDataset) -> tuple[Hits, ...]:
    """A row for each step and group: all boxes, then each class, then each size. Class and size are the clean box's."""
    return tuple(row for step in noisy.recipe.steps for row in _hits_of(noisy, step))


def relabellings(noisy: NoisyDataset) -> tuple[tuple[str, str, int], ...]:
    """How many boxes of each class got which other class, the most frequent first."""
    clean, classes = noisy.clean.boxes, noisy.clean.classes
    rows = np.flatnonzero(noisy.fate & Fate.RELABELLED)
    became = noisy.boxes.class_id[noisy.row_after[rows]]
    counted = Counter(zip(clean.class_id[rows].tolist(), became.tolist(), strict=True))
    return tuple((classes[own], classes[wrong], number) for (own, wrong), number in sorted(counted.items(), key=_most))


def emptied_images(noisy: NoisyDataset) -> int:
    """How many images had a real box to train on, and have none left."""
    clean, real = noisy.clean.boxes, noisy.boxes.take(noisy.origin != INVENTED)
    had = np.unique(clean.image_index[countable(clean)])
    return len(np.setdiff1d(had, real.image_index[countable(real)]))


def _most(item: tuple[tuple[int, int], int]) -> tuple[int, tuple[int, int]]:
    return -item[1], item[0]


def _hits_of(noisy: NoisyDataset, step: Noise) -> Iterator[Hits]:
    """Rows of one step: for each group the boxes that could be hit and those that were."""
    clean = noisy.clean.boxes
    can, iou = countable(clean), np.zeros(0)
    if step.kind == "extra":
        could, was = clean.take(can), noisy.invented
    elif step.kind == "missing":
        could, was = clean.take(can), noisy.dropped
    else:
        flag = Fate.MOVED if step.kind == "inaccurate" else Fate.RELABELLED
        hit = noisy.fate & flag > 0
        could, was = clean.take(can & (noisy.fate != Fate.DROPPED)), clean.take(hit)
        if step.kind == "inaccurate":
            iou = noisy.iou[noisy.row_after[hit]]
    for group, name, of_could, of_was in _groups(could, was, noisy.clean.classes):
        moved = iou[of_was] if len(iou) else iou
        mean_iou = float(moved.mean()) if len(moved) else None
        yield Hits(step.kind, group, name, int(of_could.sum()), int(of_was.sum()), mean_iou)


def _groups(
    could: Boxes, was: Boxes, classes: tuple[str, ...]
) -> Iterator[tuple[Literal["all", "class", "size"], str, BoolArray, BoolArray]]:
    """Each group with masks over the boxes that could be hit and over those that were."""
    yield "all", "", np.ones(len(could), dtype=bool), np.ones(len(was), dtype=bool)
    for class_id, name in enumerate(classes):
        yield "class", name, could.class_id == class_id, was.class_id == class_id
    areas = box_area(could.xyxy), box_area(was.xyxy)
    for name, least, below in SIZES:
        of_could, of_was = ((area >= least) & (area < below) for area in areas)
        yield "size", name, of_could, of_was
