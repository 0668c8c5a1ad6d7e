"""Recipe and clean training set to noisy training set, with the fate of every box."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.dataset import Boxes, Dataset
from noisedash.spec import NoiseRecipe


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
    """The damaged annotations over the images of `clean`."""


def apply_recipe(clean: Dataset, recipe: NoiseRecipe) -> NoisyDataset:
    """Damage the training set `clean` (the training split only) as the recipe says.

    `missing` keeps exactly floor(N (1 - rate)) of the N boxes, uniformly over the whole set, nested in the rate.
    """
    raise NotImplementedError
