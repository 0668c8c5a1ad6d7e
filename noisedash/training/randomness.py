"""Random generators of training, each a pure function of the run's seed and of the place where it is used."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a generator is for; generators of different purposes share no numbers."""

    AUGMENTATION = 0
    """Places are (step, position in the batch)."""
    EPOCH_ORDER = 1
    """Places are (epoch,)."""


def generator_at(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """The generator of one place of one or two numbers, each below 2^64.

    Philox is a counter-based generator: seed and purpose are its key, and the place fills the upper half of its
    counter, so that places are 2^128 draws apart. Take `random()` of it only: that stream NumPy keeps the same over
    its versions.

    >>> generator_at(1, Purpose.AUGMENTATION, 2, 3).random() == generator_at(1, Purpose.AUGMENTATION, 2, 3).random()
    True
    """
    key = np.array([seed % 2**64, purpose], dtype=np.uint64)
    counter = np.zeros(4, dtype=np.uint64)
    counter[4 - len(place) :] = place
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
