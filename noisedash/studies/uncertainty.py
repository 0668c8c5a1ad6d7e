"""What a few runs say about training in general: means with intervals, sources of variance, and risk. n runs.

The model. A run's result is mu + seed effect + noise-draw effect + rest, all normal and independent; the test images
are given. Which effects can be told apart depends on the runs (`Design`):

- PAIRS: every run has a seed and a noise draw of its own, as in a `grid` with `noise_seed=None`. Both effects act
  together; Student's t interval is exact for any n >= 2.
- SEEDS, DRAWS: one noise draw (or none) for all seeds, or one seed for all draws. Exact too, but what is held fixed
  is not covered: the interval is for that draw, or that seed, alone.
- CROSSED: each of S seeds with each of D draws. Variance components by the analysis of variance (Searle, Casella and
  McCulloch 1992, section 4.3), intervals by Satterthwaite's (1946) degrees of freedom. For few seeds and draws they
  are wider than need be: 95 % intervals cover 95 to 99.6 %.

With two runs a 95 % interval is 12.7 standard errors to each side, with three 4.3. That is no fault of the method.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisedash.studies.student import normal_cdf, shift_of, t_cdf, t_quantile

FloatArray = NDArray[np.float64]


class Design(StrEnum):
    """What varies between the runs, in words for people."""

    ONE_RUN = "one run: nothing is known of its spread"
    PAIRS = "seed and noise draw together"
    SEEDS = "seed, for this noise draw"
    DRAWS = "noise draw, for this seed"
    CROSSED = "seed and noise draw apart"


@dataclass(frozen=True, eq=False)
class Estimate:
    """A mean over runs, of each of any number of quantities (...), with what is known of its error.

    Where there is one run only, errors are nan.
    """

    value: FloatArray
    """(...)"""
    standard_error: FloatArray
    """(...) of `value`."""
    df: FloatArray
    """(...) degrees of freedom of `standard_error`."""
    spread: FloatArray
    """(...) standard deviation of a new run with a new seed and draw (or of what the design lets vary)."""
    spread_df: FloatArray
    """(...)"""
    runs: int
    design: Design
    seed_variance: FloatArray
    """(...) of the seed effect; nan unless the design is CROSSED. 0 where the estimate is negative."""
    draw_variance: FloatArray
    """(...) of the noise-draw effect, likewise."""
    rest_variance: FloatArray
    """(...) of what seed and draw do not explain, likewise."""

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Lower and upper end (...) of the two-sided interval; nan for a single run."""
        reach = t_quantile(0.5 + level / 2, self.df) * self.standard_error
        return self.value - reach, self.value + reach

    def p_value(self, null: float = 0.0) -> FloatArray:
        """Two-sided p (...) of the hypothesis that the mean is `null`; nan for a single run."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(2 * t_cdf(-np.abs(self.value - null) / self.standard_error, self.df))

    def with_images(self, image_error: ArrayLike) -> "Estimate":
        """The estimate for other test images too: their standard error (...) of `value` joined in.

        All runs are tested on the same images, so this part does not shrink with more runs: it is the bootstrap's
        standard deviation of the mean over the runs. Degrees of freedom by Welch (1947), with the images' infinite.
        """
        images = np.asarray(image_error, dtype=np.float64)
        total = self.standard_error**2 + images**2
        with np.errstate(divide="ignore", invalid="ignore"):
            df = np.asarray(self.df * (total / self.standard_error**2) ** 2)
        return replace(self, standard_error=np.sqrt(total), df=df)


@dataclass(frozen=True, eq=False)
class Risk:
    """The probability (...) that a new run exceeds a limit, and its interval (...)."""

    probability: FloatArray
    """Predictive: the error of mean and spread is in it."""
    low: FloatArray
    high: FloatArray


def estimate(values: FloatArray, seeds: Sequence[Hashable], draws: Sequence[Hashable]) -> Estimate:
    """The mean of values (n, ...) of runs with these seeds and noise draws (n each; equal for runs without noise).

    A grid of seeds and draws that is not complete is cut down to runs that share neither, in the given order.

    >>> made = estimate(np.array([1.0, 2.0, 3.0]), [0, 1, 2], [0, 1, 2])
    >>> made.value.item(), made.design.value, [end.round(2).item() for end in made.interval()]
    (2.0, 'seed and noise draw together', [-0.48, 4.48])
    """
    assert len(values) == len(seeds) == len(draws) > 0, "a value, a seed and a draw for each run"
    seed_of, draw_of = _numbered(seeds), _numbered(draws)
    some_seeds, some_draws = len(set(seed_of)), len(set(draw_of))
    assert len(set(zip(seed_of, draw_of, strict=True))) == len(values), "a run of this seed and draw came twice"
    if some_seeds > 1 and some_draws > 1 and len(values) == some_seeds * some_draws:
        grid = np.empty((some_seeds, some_draws, *values.shape[1:]))
        grid[seed_of, draw_of] = values
        return _crossed(grid)
    if some_draws == 1:
        return _independent(values, Design.SEEDS)
    if some_seeds == 1:
        return _independent(values, Design.DRAWS)
    return _independent(values[_without_sharing(seed_of, draw_of)], Design.PAIRS)


def risk(drops: Estimate, limit: float, level: float = 0.95) -> Risk:
    """How likely a new run drops by more than `limit`, in the unit of `drops`; nan for a single run.

    The probability is that of Student's predictive distribution; the interval of 1 - Phi((limit - mu) / sigma) is
    exact for independent runs, from the noncentral t (Owen 1968, "one-sided tolerance").
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        off = drops.value - limit
        probability = t_cdf(off / np.hypot(drops.spread, drops.standard_error), drops.spread_df)
        runs = (drops.spread / drops.standard_error) ** 2
        t = off / drops.standard_error
        low, high = (shift_of(share, t, drops.spread_df) for share in (0.5 + level / 2, 0.5 - level / 2))
        return Risk(probability, normal_cdf(low / np.sqrt(runs)), normal_cdf(high / np.sqrt(runs)))


def _independent(values: FloatArray, design: Design) -> Estimate:
    """Runs (n, ...) that share nothing that varies."""
    runs, nothing = len(values), np.full(values.shape[1:], np.nan)
    mean = np.asarray(values.mean(axis=0))
    if runs == 1:
        return Estimate(mean, nothing, nothing, nothing, nothing, 1, Design.ONE_RUN, nothing, nothing, nothing)
    spread = np.asarray(values.std(axis=0, ddof=1))
    df = np.full(values.shape[1:], runs - 1.0)
    return Estimate(mean, spread / np.sqrt(runs), df, spread, df, runs, design, nothing, nothing, nothing)


def _crossed(values: FloatArray) -> Estimate:
    """Runs (S, D, ...), each seed with each draw."""
    seeds, draws = values.shape[:2]
    mean, of_seed, of_draw = values.mean(axis=(0, 1)), values.mean(axis=1), values.mean(axis=0)
    rest = values - of_seed[:, None] - of_draw[None] + mean
    rest_df = (seeds - 1) * (draws - 1)
    square_seed, square_draw = draws * of_seed.var(axis=0, ddof=1), seeds * of_draw.var(axis=0, ddof=1)
    square_rest = (rest**2).sum(axis=(0, 1)) / rest_df
    squares, freedom = (square_seed, square_draw, square_rest), (seeds - 1, draws - 1, rest_df)
    runs = seeds * draws
    shares = (1 / runs, 1 / runs, -1 / runs)
    error, df = _combined(squares, freedom, shares)
    spread, spread_df = _combined(squares, freedom, (1 / draws, 1 / seeds, 1 - 1 / draws - 1 / seeds))
    return Estimate(
        value=mean,
        standard_error=np.sqrt(np.maximum(error, np.maximum(square_seed, square_draw) / runs)),
        df=df,
        spread=np.sqrt(spread),
        spread_df=spread_df,
        runs=runs,
        design=Design.CROSSED,
        seed_variance=np.maximum(square_seed - square_rest, 0) / draws,
        draw_variance=np.maximum(square_draw - square_rest, 0) / seeds,
        rest_variance=square_rest,
    )


def _combined(
    squares: Sequence[FloatArray], freedom: Sequence[int], shares: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """A weighted sum (...) of mean squares, and Satterthwaite's degrees of freedom (...) of it, at least 1."""
    parts = [share * square for share, square in zip(shares, squares, strict=True)]
    total = np.asarray(sum(parts))
    doubt = sum(part**2 / df for part, df in zip(parts, freedom, strict=True))
    df = np.divide(total**2, doubt, out=np.ones_like(total), where=np.asarray(doubt) > 0)
    return total, np.maximum(df, 1.0)


def _numbered(labels: Sequence[Hashable]) -> list[int]:
    """0, 1, ... for each label in the order in which they come."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def _without_sharing(seed_of: Sequence[int], draw_of: Sequence[int]) -> list[int]:
    """Rows, the earliest first, no two of one seed or one draw."""
    rows: list[int] = []
    for row, (seed, draw) in enumerate(zip(seed_of, draw_of, strict=True)):
        if all(seed != seed_of[other] and draw != draw_of[other] for other in rows):
            rows.append(row)
    return rows
