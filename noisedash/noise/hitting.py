"""Who is hit: boxes in the order in which a step of a recipe takes them. M boxes, K of them can be hit.

Each box draws a waiting time from the exponential distribution, by its key, and divides it by its weight; the shortest
times are hit first. So a box is the next one with a chance in proportion to its weight among those left (Efraimidis
and Spirakis 2006), a rate takes an exact number, and a higher rate takes more of the same order.
"""

import hashlib
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import FloatArray, box_area
from noisedash.datasets.dataset import Dataset, IntArray
from noisedash.noise.keys import KeyArray, box_keys, exponential
from noisedash.noise.overlaps import hidden_share, neighbours
from noisedash.noise_spec import (
    ByClass,
    ByCrowding,
    ByOcclusion,
    BySize,
    Noise,
    Uniform,
    Weighting,
    WholeImages,
)

LEAST_SIDE_PX = 1 / 64
"""Boxes weigh as if they had this side at least."""


def kept_count(count: int, rate: float) -> int:
    """floor(count (1 - rate)), exact for the rate as written: 10 boxes at .9 keep 1, where floats say 0.

    >>> kept_count(10, 0.9), int(10 * (1 - 0.9)), kept_count(4500, 0.3), kept_count(3, 0.5)
    (1, 0, 3150, 1)
    """
    return floor(count * (1 - Fraction(repr(float(rate)))))


def hit_count(count: int, rate: float) -> int:
    """How many of `count` boxes a step of that rate hits: all but `kept_count`."""
    return count - kept_count(count, rate)


def hit_order(clean: Dataset, step: Noise, rows: IntArray, lap: int = 0) -> IntArray:
    """The rows (K,) of boxes in the order in which the step hits them; each later `lap` is a draw of its own.

    A pure function of the step and of what `clean` holds, whatever the order of its rows.
    """
    stream = step.kind if lap == 0 else f"{step.kind}.{lap}"
    keys = box_keys(clean.boxes.box_id[rows], stream, step.seed)
    weighting: Weighting = step.weighting
    if isinstance(weighting, Uniform):
        return rows[np.argsort(keys)]
    if isinstance(weighting, WholeImages):
        of_image = box_keys(_image_ids(clean), f"{stream}.image", step.seed)
        return rows[np.lexsort((keys, of_image[clean.boxes.image_index[rows]]))]
    weight = box_weights(clean, weighting)[rows]
    waiting, never = np.full(len(rows), np.inf), weight == 0
    with np.errstate(over="ignore"):  # a weight below 1e-300 waits longer than a float can say: last, before `never`
        np.divide(exponential(keys), weight, out=waiting, where=~never)
    return rows[np.lexsort((keys, waiting, never))]


def box_weights(clean: Dataset, weighting: BySize | ByCrowding | ByOcclusion | ByClass) -> FloatArray:
    """The weight (M,) of every box of `clean`, crowd regions included, as the weighting says."""
    boxes = clean.boxes
    match weighting:
        case BySize():
            return _power(np.sqrt(np.maximum(box_area(boxes.xyxy), LEAST_SIDE_PX**2)), weighting.exponent)
        case ByCrowding():
            return _power(1.0 + neighbours(clean), weighting.exponent)
        case ByOcclusion():
            hidden = np.where(boxes.truncated | boxes.difficult, 1.0, hidden_share(clean))
            return np.asarray(1 + (weighting.factor - 1) * hidden)
        case ByClass():
            of_class = dict(weighting.weights)
            return np.array([of_class.get(name, weighting.other) for name in clean.classes])[boxes.class_id]


def _power(base: NDArray[np.floating[Any]], exponent: float) -> FloatArray:
    """base ** exponent for multiples of a quarter, by roots and products alone: see noisedash.noise.keys."""
    root, result = np.sqrt(np.sqrt(base)), np.ones(len(base))
    for _ in range(round(abs(4 * exponent))):
        result = result * root
    return 1 / result if exponent < 0 else result


def _image_ids(clean: Dataset) -> KeyArray:
    """An identity (N,) of each image, from its file's name."""
    digests = (hashlib.blake2b(file.encode(), digest_size=8).digest() for file in clean.images.file)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)
