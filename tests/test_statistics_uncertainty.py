"""Means over runs against slow sums, and how often their intervals cover in 1,000 simulated studies."""

import itertools

import numpy as np
import pytest

from noisedash.studies.student import normal_cdf
from noisedash.studies.uncertainty import Design, estimate, risk

STUDIES = 1000


def covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


def crossed(rng, seeds: int, draws: int, sds: tuple[float, float, float]) -> tuple[np.ndarray, list[int], list[int]]:
    """Results (S D, STUDIES) of mean 0 with these deviations of seed, draw and rest, and each run's seed and draw."""
    shape = (seeds, draws, STUDIES)
    made = (
        rng.normal(0, sds[0], (seeds, 1, STUDIES))
        + rng.normal(0, sds[1], (1, draws, STUDIES))
        + rng.normal(0, sds[2], shape)
    )
    pairs = list(itertools.product(range(seeds), range(draws)))
    return made.reshape(-1, STUDIES), [seed for seed, _ in pairs], [draw for _, draw in pairs]


def test_independent_runs_are_students_own_interval() -> None:
    values = np.array([3.1, 2.7, 4.4])
    made = estimate(values, [0, 1, 2], [5, 6, 7])
    assert made.design is Design.PAIRS
    assert made.value == pytest.approx(values.mean())
    assert made.standard_error == pytest.approx(values.std(ddof=1) / 3**0.5)
    assert made.interval() == pytest.approx(
        (values.mean() - 4.30265 * made.standard_error, values.mean() + 4.30265 * made.standard_error), abs=1e-5
    )
    assert made.p_value(values.mean()) == pytest.approx(1)
    assert made.p_value(made.interval()[0]) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("seeds", "draws", "design", "runs"),
    [
        ([0], [0], Design.ONE_RUN, 1),
        ([0, 1, 2], [0, 0, 0], Design.SEEDS, 3),
        ([0, 1, 2], [None, None, None], Design.SEEDS, 3),
        ([4, 4], [0, 1], Design.DRAWS, 2),
        ([0, 1], [0, 1], Design.PAIRS, 2),
        ([0, 0, 1, 1], [0, 1, 0, 1], Design.CROSSED, 4),
        ([0, 0, 1], [0, 1, 1], Design.PAIRS, 2),
        ([0, 0, 0, 1], [0, 1, 2, 0], Design.ONE_RUN, 1),
    ],
)
def test_the_runs_say_what_can_be_told_apart(seeds, draws, design, runs) -> None:
    made = estimate(np.arange(float(len(seeds))), seeds, draws)
    assert (made.design, made.runs) == (design, runs)


def test_a_single_run_has_a_value_and_no_error() -> None:
    made = estimate(np.array([[0.5, 0.6]]), [0], [0])
    assert made.value.tolist() == [0.5, 0.6]
    chance = risk(made, 0.1)
    for unknown in (*made.interval(), made.p_value(), chance.probability, chance.low, chance.high):
        assert np.isnan(unknown).all()


def test_runs_that_do_not_differ_are_certain() -> None:
    made = estimate(np.array([2.0, 2.0]), [0, 1], [0, 1])
    assert made.interval() == (2.0, 2.0)
    assert made.p_value() == pytest.approx(0, abs=1e-15)
    assert risk(made, 1.0).probability == pytest.approx(1)
    assert risk(made, 3.0).probability == pytest.approx(0, abs=1e-15)


def test_variances_of_a_grid_are_those_of_the_sums_of_squares() -> None:
    rng = np.random.default_rng(1)
    seeds, draws = 4, 3
    values = rng.normal(0, 1, (seeds, draws))
    order = rng.permutation(seeds * draws)
    made = estimate(values.ravel()[order], [int(i) // draws for i in order], [int(i) % draws for i in order])
    mean = values.mean()
    ss_seed = sum(draws * (values[s].mean() - mean) ** 2 for s in range(seeds)) / (seeds - 1)
    ss_draw = sum(seeds * (values[:, d].mean() - mean) ** 2 for d in range(draws)) / (draws - 1)
    ss_rest = 0.0
    for s, d in itertools.product(range(seeds), range(draws)):
        ss_rest += (values[s, d] - values[s].mean() - values[:, d].mean() + mean) ** 2 / 6
    assert made.rest_variance == pytest.approx(ss_rest)
    assert made.seed_variance == pytest.approx(max(ss_seed - ss_rest, 0) / draws)
    assert made.draw_variance == pytest.approx(max(ss_draw - ss_rest, 0) / seeds)
    assert made.standard_error**2 == pytest.approx(max(ss_seed + ss_draw - ss_rest, ss_seed, ss_draw) / 12)


def test_the_sources_of_variance_are_found() -> None:
    values, seeds, draws = crossed(np.random.default_rng(2), 5, 4, (1.0, 2.0, 0.5))
    made = estimate(values, seeds, draws)
    assert made.rest_variance.mean() == pytest.approx(0.25, rel=0.05)
    assert made.seed_variance.mean() == pytest.approx(1.0, rel=0.1)
    assert made.draw_variance.mean() == pytest.approx(4.0, rel=0.1)
    assert (made.spread**2).mean() == pytest.approx(5.25, rel=0.1)


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_intervals_of_independent_runs_cover(runs: int) -> None:
    values = np.random.default_rng(runs).normal(60, 2, (runs, STUDIES))
    made = estimate(values, range(runs), range(runs))
    assert 0.93 <= covered(*made.interval(), 60) <= 0.97
    assert 0.77 <= covered(*made.interval(0.8), 60) <= 0.83
    assert 0.03 <= (made.p_value(60) < 0.05).mean() <= 0.07


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (3, 3), (5, 3)])
@pytest.mark.parametrize("sds", [(1, 1, 0.3), (1, 0.0, 0.3), (0.3, 1, 0.3), (0.0, 0.0, 1)])
def test_intervals_of_a_grid_are_never_too_narrow(shape, sds) -> None:
    values, seeds, draws = crossed(np.random.default_rng(3), *shape, sds)
    assert covered(*estimate(values, seeds, draws).interval(), 0) >= 0.93


def test_intervals_of_a_large_grid_cover() -> None:
    values, seeds, draws = crossed(np.random.default_rng(4), 8, 8, (1, 1, 0.3))
    assert 0.93 <= covered(*estimate(values, seeds, draws).interval(), 0) <= 0.97


def test_a_paired_difference_covers_where_runs_share_their_seeds() -> None:
    """Seeds and draws move both losses alike; what is left of them is the difference's own error."""
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 5, (3, STUDIES))
    first = 62 + shared + rng.normal(0, 0.5, (3, STUDIES))
    second = 60 + shared + rng.normal(0, 0.5, (3, STUDIES))
    made = estimate(first - second, range(3), range(3))
    assert 0.93 <= covered(*made.interval(), 2) <= 0.97
    unpaired = estimate(first, range(3), range(3)).standard_error
    assert (made.standard_error < unpaired).mean() > 0.9


@pytest.mark.parametrize("runs", [3, 6])
@pytest.mark.parametrize("images_sd", [0.5, 2.0])
def test_with_images_joined_in_it_covers_other_images_too(runs: int, images_sd: float) -> None:
    rng = np.random.default_rng(6)
    values = 60 + rng.normal(0, images_sd, STUDIES) + rng.normal(0, 1, (runs, STUDIES))
    made = estimate(values, range(runs), range(runs))
    assert covered(*made.interval(), 60) < 0.95
    assert 0.93 <= covered(*made.with_images(images_sd).interval(), 60) <= 0.98


@pytest.mark.parametrize("runs", [2, 3, 6])
@pytest.mark.parametrize("limit", [4.0, 7.0])
def test_the_risks_interval_covers_and_its_value_is_the_share_of_new_runs(runs: int, limit: float) -> None:
    rng = np.random.default_rng(runs)
    drops = estimate(rng.normal(5, 2, (runs, STUDIES)), range(runs), range(runs))
    chance = risk(drops, limit)
    truth = float(normal_cdf((5 - limit) / 2))
    assert 0.93 <= covered(chance.low, chance.high, truth) <= 0.97
    assert ((chance.low <= chance.probability) & (chance.probability <= chance.high)).mean() > 0.99


def test_a_predicted_risk_is_right_on_the_average_of_its_quantiles() -> None:
    """A new run exceeds the limit that has a predicted risk of 10 % in 10 % of the studies."""
    rng = np.random.default_rng(9)
    known = rng.normal(5, 2, (3, 20_000))
    drops = estimate(known, range(3), range(3))
    tenth = 1.885618 * np.hypot(drops.spread, drops.standard_error) + drops.value
    assert (rng.normal(5, 2, 20_000) > tenth).mean() == pytest.approx(0.1, abs=0.01)
    one = estimate(known[:, 0], range(3), range(3))
    assert risk(one, float(tenth[0])).probability == pytest.approx(0.1, abs=1e-6)
