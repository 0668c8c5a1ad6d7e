"""The tolerated rate against a walk along the curve, and how often its interval covers in 1,000 simulated studies."""

import numpy as np
import pytest

from noisedash.studies.tolerance import tolerance
from noisedash.studies.uncertainty import estimate

RATES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
DROPS = np.array([0.0, 1.0, 2.5, 4.5, 8.0, 14.0])
STUDIES = 1000


def slow_crossing(values, limit: float) -> float:
    """Walks along the curve in small steps until it reaches the limit."""
    for rate in np.arange(0, 0.5, 1e-5):
        if np.interp(rate, RATES, values) >= limit:
            return rate
    return np.inf


@pytest.mark.parametrize("limit", [0.5, 2.5, 5.0, 13.9])
def test_the_rate_is_where_the_curve_first_reaches_the_limit(limit: float) -> None:
    curves = np.stack([DROPS, 1.2 * DROPS])
    made = tolerance(RATES, curves, limit, [0, 1], [0, 1])
    assert made.rate == pytest.approx(slow_crossing(curves.mean(axis=0), limit), abs=2e-5)


def test_the_interval_ends_where_the_t_interval_of_the_drop_crosses_the_limit() -> None:
    rng = np.random.default_rng(0)
    curves = DROPS + np.concatenate([np.zeros((4, 1)), rng.normal(0, 0.4, (4, 5))], axis=1)
    made = tolerance(RATES, curves, 5.0, range(4), range(4))
    assert made.low < made.rate < made.high

    def ends(rate: float) -> list[float]:
        runs = np.array([np.interp(rate, RATES, curve) for curve in curves])
        return [float(end) for end in estimate(runs, range(4), range(4)).interval()]

    assert ends(float(made.low))[1] == pytest.approx(5.0, abs=1e-3)
    assert ends(float(made.high))[0] == pytest.approx(5.0, abs=1e-3)


def test_a_limit_that_is_never_reached_is_beyond_what_was_measured() -> None:
    curves = np.stack([DROPS, 1.1 * DROPS, 0.9 * DROPS])
    made = tolerance(RATES, curves, 20.0, range(3), range(3))
    assert (made.rate, made.low, made.high, made.measured_to) == (np.inf, np.inf, np.inf, 0.5)
    near = tolerance(RATES, curves, 13.0, range(3), range(3))
    assert near.low < near.rate < 0.5
    assert near.high == np.inf


def test_a_curve_that_comes_back_counts_from_its_first_fall() -> None:
    made = tolerance([0.0, 0.2, 0.4], np.array([[0.0, 4.0, 1.0], [0.0, 4.0, 1.0]]), 2.0, [0, 1], [0, 1])
    assert made.rate == pytest.approx(0.1)
    assert made.low == pytest.approx(0.1)
    assert made.high == np.inf


def test_one_run_has_a_rate_and_no_interval_and_an_unknown_class_nothing() -> None:
    drops = np.stack([DROPS, np.where(DROPS > 0, np.nan, 0)], axis=-1)[None]
    made = tolerance(RATES, drops, 4.5, [0], [0])
    assert made.rate[0] == pytest.approx(0.3)
    assert np.isnan([made.rate[1], *made.low, *made.high]).all()


@pytest.mark.parametrize("runs", [2, 3, 5])
@pytest.mark.parametrize("limit", [2.0, 6.0])
def test_intervals_cover(runs: int, limit: float) -> None:
    """Runs differ in height of their clean AP and from rate to rate; the true curve is the mean of all."""
    rng = np.random.default_rng(runs)
    shape = (runs, len(RATES) - 1, STUDIES)
    noise = rng.normal(0, 0.5, (runs, 1, STUDIES)) + rng.normal(0, 0.5, shape)
    drops = np.concatenate([np.zeros((runs, 1, STUDIES)), DROPS[1:, None] + noise], axis=1)
    made = tolerance(RATES, drops, limit, range(runs), range(runs))
    true = float(np.interp(limit, DROPS, RATES))
    coverage = float(((made.low <= true) & (true <= made.high)).mean())
    assert 0.93 <= coverage <= (0.97 if runs > 2 else 1.0), coverage
