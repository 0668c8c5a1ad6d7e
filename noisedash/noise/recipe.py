"""Recipe and clean training set to noisy training set, with the fate of every box. M boxes, N of them countable.

Crowd regions are not countable: they are never trained on, so they are neither among the N nor ever dropped. They
stay in the noisy set, so that what is exported keeps them, and training leaves them out.
"""

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.dataset import Boxes, Dataset
from noisedash.noise.keys import box_keys
from noisedash.spec import MissingNoise, NoiseRecipe


class Fate(IntEnum):
    """What became of a clean box."""

    KEPT = 0
    DROPPED = 1


@dataclass(frozen=True, eq=False)
class NoisyDataset:
    """What training sees. Training accepts nothing else; evaluation accepts a clean Dataset only."""

    clean: Dataset
    recipe: NoiseRecipe
    fate: NDArray[np.int8]
    """(M,) Fate of each clean box."""
    boxes: Boxes
    """The damaged annotations over the images of `clean`; crowd regions among them."""

    @property
    def dropped(self) -> Boxes:
        """The clean boxes that training does not see, in the order of `clean.boxes`."""
        return self.clean.boxes.take(self.fate == Fate.DROPPED)


def apply_recipe(clean: Dataset, recipe: NoiseRecipe) -> NoisyDataset:
    """Damage the training set `clean` (the training split only) as the recipe says, its steps in order.

    `missing` keeps exactly floor(N (1 - rate)) of the N boxes, uniformly over the whole set, nested in the rate. The
    outcome depends on the recipe and the box ids alone: not on the order of rows or files, nor on what is trained.
    """
    fate = np.full(len(clean.boxes), Fate.KEPT, dtype=np.int8)
    for step in recipe.steps:
        assert isinstance(step, MissingNoise)
        fate[_missing(clean.boxes, fate, step)] = Fate.DROPPED
    return NoisyDataset(clean, recipe, fate, clean.boxes.take(fate == Fate.KEPT))


def _missing(boxes: Boxes, fate: NDArray[np.int8], step: MissingNoise) -> NDArray[np.int64]:
    """The rows that `step` drops of the boxes that earlier steps left."""
    left = np.flatnonzero((fate != Fate.DROPPED) & ~boxes.crowd)
    dropped = len(left) - kept_count(len(left), step.rate)
    return left[drop_order(boxes.take(left), step.seed) < dropped]


def drop_order(boxes: Boxes, seed: int) -> NDArray[np.int64]:
    """For each box (M,) its place, from 0, in the queue of those that go missing; countable boxes only come first.

    At any rate the boxes with a place below N - kept_count(N, rate) are dropped: what one rate drops, each higher
    rate drops too. Crowd regions stand behind all N, in the order of their rows.
    """
    key = box_keys(boxes.box_id, "missing", seed)
    countable = np.flatnonzero(~boxes.crowd)
    queue = np.concatenate([countable[np.argsort(key[countable])], np.flatnonzero(boxes.crowd)])
    order = np.empty(len(boxes), dtype=np.int64)
    order[queue] = np.arange(len(boxes))
    return order


def kept_count(count: int, rate: float) -> int:
    """floor(count (1 - rate)), exact for the rate as written: 10 boxes at .9 keep 1, where floats say 0.

    >>> kept_count(10, 0.9), int(10 * (1 - 0.9)), kept_count(4500, 0.3), kept_count(3, 0.5)
    (1, 0, 3150, 1)
    """
    return floor(count * (1 - Fraction(repr(float(rate)))))
