"""Recipe and clean training set to noisy training set, with the fate of every box. M clean boxes, N of them countable.

Crowd regions are not countable: they are never trained on, so they are neither among the N nor ever hit. They stay in
the noisy set, so that what is exported keeps them, and training leaves them out.
"""

from dataclasses import dataclass, replace
from enum import IntFlag
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import FloatArray
from noisedash.datasets.dataset import Boxes, Dataset, IntArray
from noisedash.errors import DataError
from noisedash.noise.extra import extra_boxes
from noisedash.noise.hitting import hit_count, hit_order
from noisedash.noise.inaccurate import drawn_badly
from noisedash.noise.overlaps import countable, iou_of_each
from noisedash.noise.wrong_class import mistaken
from noisedash.noise_spec import (
    ByClass,
    ExtraNoise,
    InaccurateNoise,
    MissingNoise,
    Noise,
    NoiseRecipe,
    WrongClassNoise,
)

INVENTED = -1
"""The clean row of a box that no clean box became."""


class Fate(IntFlag):
    """What became of a clean box: kept as it was, dropped, or moved, relabelled, or both."""

    KEPT = 0
    DROPPED = 1
    MOVED = 2
    RELABELLED = 4


FATE_IN_WORDS = {
    Fate.KEPT: "kept",
    Fate.DROPPED: "dropped",
    Fate.MOVED: "moved",
    Fate.RELABELLED: "relabelled",
    Fate.MOVED | Fate.RELABELLED: "moved and relabelled",
}
INVENTED_IN_WORDS = "invented"
CROWD_IN_WORDS = "crowd"
"""A crowd region: kept, and no part of the noise."""


@dataclass(frozen=True, eq=False)
class NoisyDataset:
    """What training sees. Training accepts nothing else; evaluation accepts a clean Dataset only."""

    clean: Dataset
    recipe: NoiseRecipe
    fate: NDArray[np.int8]
    """(M,) Fate of each clean box."""
    boxes: Boxes
    """(K,) the damaged annotations over the images of `clean`, crowd regions among them; ids are the clean boxes'."""
    origin: IntArray
    """(K,) row of the clean box that each of `boxes` was, or INVENTED; clean rows in their order, then the invented."""

    @property
    def dropped(self) -> Boxes:
        """The clean boxes that training does not see, in the order of `clean.boxes`."""
        return self.clean.boxes.take(self.fate == Fate.DROPPED)

    @property
    def invented(self) -> Boxes:
        """The boxes where no object is."""
        return self.boxes.take(self.origin == INVENTED)

    @cached_property
    def row_after(self) -> IntArray:
        """(M,) the row in `boxes` of each clean box, -1 where it was dropped."""
        rows = np.full(len(self.clean.boxes), -1, dtype=np.int64)
        real = self.origin != INVENTED
        rows[self.origin[real]] = np.flatnonzero(real)
        return rows

    @cached_property
    def iou(self) -> FloatArray:
        """(K,) IoU of each box with the clean box that it was; 1 where it was not moved, 0 where it is invented."""
        result = np.where(self.origin == INVENTED, 0.0, 1.0)
        moved = np.flatnonzero((self.origin != INVENTED) & (self.fate[self.origin] & Fate.MOVED > 0))
        result[moved] = iou_of_each(self.boxes.xyxy[moved], self.clean.boxes.xyxy[self.origin[moved]])
        return result

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what training sees: equal on every machine that applies the recipe to the same clean set."""
        clean = self.clean
        return Dataset(clean.name, clean.root, clean.classes, clean.images, self.boxes).content_hash


def apply_recipe(clean: Dataset, recipe: NoiseRecipe) -> NoisyDataset:
    """Damage the training set `clean` (the training split only) as the recipe says, its steps in order.

    A step hits an exact number of boxes, nested in its rate: `missing` keeps floor(N (1 - rate)) of all N, `inaccurate`
    and `wrong_class` leave so many of the boxes that are left as they are, and `extra` adds what `missing` would drop
    of N. The outcome depends on the recipe and on what the set holds alone: not on the order of rows or files, nor on
    what is trained. Raises DataError where the recipe does not fit the data.
    """
    check_recipe(recipe, clean.classes)
    fate = np.full(len(clean.boxes), Fate.KEPT, dtype=np.int8)
    xyxy, class_id, outline = (getattr(clean.boxes, name).copy() for name in ("xyxy", "class_id", "outline_area"))
    invented = clean.boxes.take(np.zeros(0, dtype=np.int64))
    for step in recipe.steps:
        match step:
            case MissingNoise():
                fate[_hit(clean, fate, step)] = Fate.DROPPED
            case InaccurateNoise():
                rows = _hit(clean, fate, step)
                fate[rows] |= Fate.MOVED
                xyxy[rows], outline[rows] = drawn_badly(clean, rows, step), np.nan  # the outline is another's now
            case WrongClassNoise():
                rows = _hit(clean, fate, step)
                fate[rows] |= Fate.RELABELLED
                class_id[rows] = mistaken(clean, rows, step)
            case ExtraNoise():
                invented = extra_boxes(clean, step)
    left = np.flatnonzero(fate != Fate.DROPPED)
    real = replace(clean.boxes, xyxy=xyxy, class_id=class_id, outline_area=outline).take(left)
    origin = np.concatenate([left, np.full(len(invented), INVENTED)])
    return NoisyDataset(clean, recipe, fate, _together(real, invented), origin)


def check_recipe(recipe: NoiseRecipe, classes: tuple[str, ...]) -> None:
    """Raises DataError where the recipe names a class that is not there, or the only class shall be mistaken."""
    named: set[str] = set()
    for step in recipe.steps:
        if isinstance(step.weighting, ByClass):
            named |= {name for name, _ in step.weighting.weights}
        if isinstance(step, WrongClassNoise):
            named |= {name for own, row in step.confusion or () for name in (own, *dict(row))}
            if len(classes) < 2 and step.rate > 0:
                raise DataError(f"Wrong classes need two classes at least, and there is only {', '.join(classes)}.")
    if unknown := sorted(named - set(classes)):
        raise DataError(
            f"The noise names {', '.join(map(repr, unknown))}, which is no class of the dataset: it has "
            f"{', '.join(map(repr, classes))}."
        )


def drop_order(clean: Dataset, step: MissingNoise) -> IntArray:
    """For each box (M,) its place, from 0, in the queue of those that go missing; countable boxes only come first.

    At any rate the boxes with a place below N - kept_count(N, rate) are dropped: what one rate drops, each higher
    rate drops too. Crowd regions stand behind all N, in the order of their rows.
    """
    can = countable(clean.boxes)
    queue = np.concatenate([hit_order(clean, step, np.flatnonzero(can)), np.flatnonzero(~can)])
    order = np.empty(len(queue), dtype=np.int64)
    order[queue] = np.arange(len(queue))
    return order


def _hit(clean: Dataset, fate: NDArray[np.int8], step: Noise) -> IntArray:
    """The rows that `step` hits of the boxes that `missing` left."""
    left = np.flatnonzero((fate != Fate.DROPPED) & countable(clean.boxes))
    return hit_order(clean, step, left)[: hit_count(len(left), step.rate)]


def _together(first: Boxes, second: Boxes) -> Boxes:
    return Boxes(**{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in first.__dict__})
