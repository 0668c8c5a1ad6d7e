"""The sigmoid focal loss in closed form, and where it stops to care (Lin et al. 2017; the paper's Figures 2 and 6).

A score is p = sigmoid(logit). A positive costs weight (1 - p)^gamma (-log p); a negative is the mirror image, p and
1 - p exchanged. Cross-entropy is gamma 0 with weight 1. Everything is written in logits, so it holds at any of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]


def focal_loss(logits: ArrayLike, positive: bool, gamma: float, weight: float = 1.0) -> FloatArray:
    """Loss (...,) of examples with `logits` (...,) that are all positive, or all negative.

    `weight` is alpha for positives and 1 - alpha for negatives; gamma >= 0.

    >>> focal_loss([0.0], positive=True, gamma=0.0).round(4).tolist()
    [0.6931]
    >>> focal_loss([0.0], positive=False, gamma=2.0, weight=0.25).round(4).tolist()
    [0.0433]
    """
    z = _towards_label(logits, positive)
    return np.asarray(weight * np.exp(gamma * _log_sigmoid(-z)) * -_log_sigmoid(z))


def focal_gradient(logits: ArrayLike, positive: bool, gamma: float, weight: float = 1.0) -> FloatArray:
    """Derivative (...,) of `focal_loss` by the logit: never positive for positives, never negative for negatives.

    For a positive: weight (1 - p)^gamma (gamma p log p - (1 - p)).

    >>> focal_gradient([0.0], positive=True, gamma=0.0).tolist()
    [-0.5]
    """
    z = _towards_label(logits, positive)
    log_p, log_rest = _log_sigmoid(z), _log_sigmoid(-z)
    pull = np.exp(gamma * log_rest) * (np.exp(log_rest) - gamma * np.exp(log_p) * log_p)
    return np.asarray((-weight if positive else weight) * pull)


def score_to_logit(scores: ArrayLike) -> FloatArray:
    """Logits (...,) of scores (...,) in (0, 1).

    >>> score_to_logit([0.5]).tolist()
    [0.0]
    """
    p = np.asarray(scores, dtype=np.float64)
    return np.asarray(np.log(p) - np.log1p(-p))


SHARE = 0.05
"""Of the strongest pull, below which an example is said not to care, unless a person says otherwise."""


@dataclass(frozen=True)
class DontCare:
    """The scores at which an example pulls with less than a share of the strongest pull of its kind.

    The strongest pull is the largest |dL/dlogit|; alpha and other weights cancel out, since they scale a kind's pull at
    every score alike. Cross-entropy has the region of gamma 0: positives above 1 - share, negatives below share.
    """

    gamma: float
    share: float
    positives: tuple[Interval, ...]
    """Open intervals of scores in [0, 1], ascending."""
    negatives: tuple[Interval, ...]
    band: Interval | None
    """The scores in the middle at which neither kind pulls: where annotated and dropped objects alike can rest."""


def dont_care(gamma: float, share: float = SHARE) -> DontCare:
    """The don't-care region of the focal loss, ends exact to 1e-9. Needs gamma >= 0 and 0 < share < 1.

    >>> region = dont_care(gamma=8, share=0.1)
    >>> [round(end, 3) for end in region.band]
    [0.331, 0.669]
    >>> dont_care(gamma=0, share=0.1).band is None
    True
    """
    if not gamma >= 0 or not 0 < share < 1:
        raise ValueError(f"gamma must be at least 0 and share between 0 and 1, got {gamma} and {share}.")
    peak = strongest_pull_score(gamma)
    level = share * _pull(peak, gamma)
    end = _bisect(lambda p: _pull(p, gamma) - level, peak, 1.0)
    positives: tuple[Interval, ...] = ((end, 1.0),)
    if _pull(0.0, gamma) < level:
        positives = ((0.0, _bisect(lambda p: level - _pull(p, gamma), 0.0, peak)), *positives)
    negatives = tuple((1 - high, 1 - low) for low, high in reversed(positives))
    band = (end, 1 - end) if end < 0.5 else None
    return DontCare(gamma, share, positives, negatives, band)


def strongest_pull_score(gamma: float) -> float:
    """The score at which a positive pulls hardest, |dL/dlogit| largest; negatives: 1 minus it. 0 at gamma 0.

    Found where the derivative by p, over (1 - p)^(gamma - 1), is zero; it is negative from exp(-2 - 1/gamma) on.

    >>> strongest_pull_score(0.0)
    0.0
    """
    if gamma < 1e-3:  # the peak lies below the smallest number
        return 0.0

    def slope(p: float) -> float:
        return gamma**2 * p * math.log(p) - (1 - p) * (1 + 2 * gamma + gamma * math.log(p))

    above_peak = math.exp(-2 - 1 / gamma)
    return _bisect(slope, 0.0, above_peak)


def smallest_gamma_with_band(share: float) -> float:
    """The gamma from which on positives and negatives share a don't-care band, for 0 < share < 1; exact to 1e-9.

    >>> round(smallest_gamma_with_band(0.1), 3)
    3.876
    """

    def still_apart(gamma: float) -> float:
        return dont_care(gamma, share).positives[-1][0] - 0.5

    high = 1.0
    while still_apart(high) > 0:
        high *= 2
    return _bisect(still_apart, 0.0, high)


def _pull(p: float, gamma: float) -> float:
    """|dL/dlogit| of a positive of weight 1 at score p in [0, 1]."""
    entropy_part = -gamma * p * math.log(p) if p > 0 else 0.0
    return float((1 - p) ** gamma * (1 - p + entropy_part))


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """A zero of a function that is positive at `low` and negative towards `high`, to the last bit."""
    while low < (middle := (low + high) / 2) < high:
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return low


def _towards_label(logits: ArrayLike, positive: bool) -> FloatArray:
    z = np.asarray(logits, dtype=np.float64)
    return z if positive else -z


def _log_sigmoid(z: FloatArray) -> FloatArray:
    return np.asarray(-np.logaddexp(0.0, -z))
