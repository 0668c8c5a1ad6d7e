"""Student's t for few runs: distribution functions, central and noncentral, and their inverses.

T = (Z + shift) / S with Z standard normal and S = sqrt(V / df), V chi squared: its distribution function is the mean of
the normal one over S, here by the trapezoidal rule over log S, which converges exponentially; about 1e-9.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_MOST_DF = 1e7
"""Beyond it T is normal to 1e-8."""
_POINTS = 160
_NEGLIGIBLE = 24.0
"""exp(-24) of the density's maximum is left out."""
_STEPS = 200
_CLOSE = 1e-10

_Z = np.linspace(-9.0, 9.0, 1801)
_HEIGHT = np.exp(-0.5 * _Z**2) / math.sqrt(2 * math.pi)
_CDF = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in _Z])


def normal_cdf(z: ArrayLike) -> FloatArray:
    """P(Z <= z) of a standard normal Z, by cubic interpolation of a table, to 1e-10.

    >>> normal_cdf([0.0, 1.959964]).round(6).tolist()
    [0.5, 0.975]
    """
    at = np.clip(np.asarray(z, dtype=np.float64), _Z[0], _Z[-1])
    step = _Z[1] - _Z[0]
    left = np.minimum((np.nan_to_num(at - _Z[0]) / step).astype(np.int64), len(_Z) - 2)
    u = (at - _Z[left]) / step
    rise = _CDF[left + 1] - _CDF[left]
    start, end = step * _HEIGHT[left], step * _HEIGHT[left + 1]
    bend = u * (1 - u) * ((1 - u) * (start - rise) - u * (end - rise))
    return np.asarray(_CDF[left] + u * rise + bend)


def t_cdf(t: ArrayLike, df: ArrayLike, shift: ArrayLike = 0.0) -> FloatArray:
    """P(T <= t) with df >= 1, which need not be whole and may be infinite; noncentral unless `shift` is 0.

    >>> t_cdf(12.7062, 1).round(4).item()
    0.975
    """
    at, by = (np.asarray(value, dtype=np.float64)[..., None] for value in (t, shift))
    s, share = _spreads(df)
    return np.asarray((share * normal_cdf(at * s - by)).sum(axis=-1))


def t_quantile(probability: float, df: ArrayLike) -> FloatArray:
    """The t (...) with P(T <= t) = probability in (0, 1), central, for df (...) >= 1.

    >>> t_quantile(0.975, [1, 2, 10, np.inf]).round(3).tolist()
    [12.706, 4.303, 2.228, 1.96]
    """
    freedom, place = np.unique(np.asarray(df, dtype=np.float64), return_inverse=True)
    return np.asarray(_quantiles(probability, tuple(freedom.tolist()))[place].reshape(np.shape(df)))


@lru_cache(maxsize=1024)
def _quantiles(probability: float, df: tuple[float, ...]) -> FloatArray:
    """The quantiles (K,) for K degrees of freedom; tables of many rows ask for the same again and again."""
    s, share = _spreads(df)

    def off(t: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = t[:, None] * s
        return (share * normal_cdf(z)).sum(axis=-1) - probability, (share * s * _density(z)).sum(axis=-1)

    return _root(off, np.full(len(df), NormalDist().inv_cdf(probability)))


def shift_of(probability: float, t: ArrayLike, df: ArrayLike) -> FloatArray:
    """The shift (...) of the noncentral T with P(T <= t) = probability: a confidence limit of the shift, given t.

    >>> t_cdf(2.0, 3, shift_of(0.1, 2.0, 3)).round(6).item()
    0.1
    """
    at, freedom = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64))
    s, share = _spreads(freedom)

    def off(shift: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = at[..., None] * s - shift[..., None]
        return probability - (share * normal_cdf(z)).sum(axis=-1), (share * _density(z)).sum(axis=-1)

    return np.where(np.isfinite(at), _root(off, at - NormalDist().inv_cdf(probability)), at)


def _spreads(df: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Values of S (..., K) and their probabilities (..., K) for df (...); nan for an unknown df."""
    freedom = np.minimum(np.asarray(df, dtype=np.float64), _MOST_DF)[..., None]
    width = np.sqrt(_NEGLIGIBLE / freedom)
    lowest, highest = -_NEGLIGIBLE / freedom - width, np.minimum(width, 0.5 * np.log(2 * _NEGLIGIBLE / freedom + 4))
    log_s = lowest + (highest - lowest) * np.linspace(0.0, 1.0, _POINTS)
    density = np.exp(freedom * (log_s + 0.5 - 0.5 * np.exp(2 * log_s)))
    return np.exp(log_s), density / density.sum(axis=-1, keepdims=True)


def _density(z: FloatArray) -> FloatArray:
    """The standard normal density."""
    return np.asarray(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def _root(rising: Callable[[FloatArray], tuple[FloatArray, FloatArray]], start: FloatArray) -> FloatArray:
    """Where a rising function (...), given with its slope (...), is 0: Newton's steps, kept within brackets.

    A bracket without an end yet is doubled. nan where the function is.
    """
    at = np.array(start)
    low, high = np.full(at.shape, -np.inf), np.full(at.shape, np.inf)
    for _ in range(_STEPS):
        value, slope = rising(at)
        low, high = np.where(value <= 0, at, low), np.where(value >= 0, at, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = np.clip(-value / slope, -1 - np.abs(at), 1 + np.abs(at))
            newton, middle = at + step, 0.5 * (low + high)
        inside = (newton > low) & (newton < high)
        following = np.where(inside | ~np.isfinite(middle), newton, middle)
        done = (value == 0) | ~(np.abs(following - at) > _CLOSE * (1 + np.abs(at)))
        at = np.where(value == 0, at, following)
        if done.all():
            break
    return at
