"""How many labels may be missing before AP falls by a limit: a rate with its interval. R rates, n runs.

Assumed: between two measured rates AP changes linearly, in every run. The tolerated rate is the first at which the mean
drop reaches the limit. Its interval holds all rates at which a t test of the drops would not refuse that they reach
the limit there (Fieller's way), and what lies between such rates. If the mean drop rises with the rate, a 95 % interval
covers 95 % for three or more independent runs and 98 to 99 % for two. What is not reached up to the highest measured
rate is unknown beyond it: inf.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from noisedash.studies.uncertainty import Estimate, estimate

FloatArray = NDArray[np.float64]

_STEPS = 200
"""Between two measured rates the limits of the drop are looked at so often."""


@dataclass(frozen=True, eq=False)
class Tolerance:
    """Rates (...): inf where the limit is not reached up to `measured_to`, nan for a class that has no AP.

    The ends are nan for a single run too.
    """

    rate: FloatArray
    low: FloatArray
    high: FloatArray
    measured_to: float
    drops: Estimate
    """Of the drops at the measured rates (R, ...)."""


def tolerance(
    rates: Sequence[float],
    drops: FloatArray,
    limit: float,
    seeds: Sequence[Hashable],
    draws: Sequence[Hashable],
    level: float = 0.95,
) -> Tolerance:
    """The tolerated rate of runs with drops (n, R, ...), in the unit of `limit`, at rising `rates` (R), the first 0.

    >>> drops = np.array([[0.0, 1.0, 4.0], [0.0, 2.0, 6.0]])
    >>> made = tolerance([0.0, 0.2, 0.4], drops, 2.5, [0, 1], [0, 1])
    >>> round(made.rate.item(), 3)
    0.257
    """
    assert len(rates) == drops.shape[1] > 1, "a drop for each of two or more rates"
    assert rates[0] == 0, "the first rate is 0"
    assert all(np.diff(rates) > 0), "rates rise"
    assert limit > 0, "a limit above 0"
    between = np.unique(np.concatenate([np.linspace(a, b, _STEPS + 1) for a, b in pairwise(rates)]))
    over = estimate(_interpolated(np.array(rates), drops, between), seeds, draws)
    low_drop, high_drop = over.interval(level)
    known = ~np.isnan(over.standard_error).any(axis=0)
    return Tolerance(
        rate=np.where(np.isnan(over.value).any(axis=0), np.nan, _first_reaching(between, over.value, limit)),
        low=np.where(known, _first_reaching(between, high_drop, limit), np.nan),
        high=np.where(known, _last_below(between, low_drop, limit), np.nan),
        measured_to=float(rates[-1]),
        drops=estimate(drops, seeds, draws),
    )


def _interpolated(rates: FloatArray, drops: FloatArray, between: FloatArray) -> FloatArray:
    """Drops (n, X, ...) at the rates `between` (X,), linear between those measured (n, R, ...)."""
    left = np.clip(np.searchsorted(rates, between, side="right") - 1, 0, len(rates) - 2)
    share = (between - rates[left]) / (rates[left + 1] - rates[left])
    share = share.reshape(-1, *[1] * (drops.ndim - 2))
    return np.asarray(drops[:, left] * (1 - share) + drops[:, left + 1] * share)


def _first_reaching(x: FloatArray, curve: FloatArray, limit: float) -> FloatArray:
    """The first of x (X,) at which curves (X, ...) reach the limit, linear between them; inf where they do not."""
    above = curve >= limit
    at = np.argmax(above, axis=0)
    return np.where(above.any(axis=0), _crossing(x, curve, limit, np.maximum(at - 1, 0)), np.inf)


def _last_below(x: FloatArray, curve: FloatArray, limit: float) -> FloatArray:
    """The last of x (X,) up to which curves (X, ...) that start below the limit are not above it for good."""
    below = curve <= limit
    at = len(x) - 1 - np.argmax(below[::-1], axis=0)
    return np.where(at == len(x) - 1, np.inf, _crossing(x, curve, limit, np.minimum(at, len(x) - 2)))


def _crossing(x: FloatArray, curve: FloatArray, limit: float, left: NDArray[np.int64]) -> FloatArray:
    """Where the curves (X, ...) cross the limit between points `left` (...) and the next."""
    start, end = (np.take_along_axis(curve, (left + next_)[None], axis=0)[0] for next_ in (0, 1))
    share = np.divide(limit - start, end - start, out=np.zeros_like(start), where=end != start)
    return np.asarray(x[left] + np.clip(share, 0, 1) * (x[left + 1] - x[left]))
