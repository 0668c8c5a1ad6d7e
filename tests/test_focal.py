import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisedash.focal import dont_care, focal_gradient, focal_loss, score_to_logit, strongest_pull_score

GAMMAS = st.one_of(st.just(0.0), st.floats(0.0, 20.0))
SHARES = st.floats(0.001, 0.999)
GRID = np.linspace(0, 1, 20_001)[1:-1]


def pull_of_positives(gamma: float) -> np.ndarray:
    return -focal_gradient(score_to_logit(GRID), positive=True, gamma=gamma)


def inside(scores: np.ndarray, intervals: tuple[tuple[float, float], ...]) -> np.ndarray:
    return np.any([(low < scores) & (scores < high) for low, high in intervals], axis=0)


def test_loss_by_hand() -> None:
    logits = score_to_logit([0.8, 0.3])
    expected = [0.75 * 0.2**2 * -math.log(0.8), 0.75 * 0.7**2 * -math.log(0.3)]
    np.testing.assert_allclose(focal_loss(logits, positive=True, gamma=2, weight=0.75), expected, rtol=1e-12)
    expected = [0.25 * 0.8**2 * -math.log(0.2), 0.25 * 0.3**2 * -math.log(0.7)]
    np.testing.assert_allclose(focal_loss(logits, positive=False, gamma=2, weight=0.25), expected, rtol=1e-12)


def test_cross_entropy_is_gamma_zero() -> None:
    logits = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(focal_loss(logits, True, 0), np.log1p(np.exp(-logits)), rtol=1e-12)
    np.testing.assert_allclose(focal_gradient(logits, False, 0), 1 / (1 + np.exp(-logits)), rtol=1e-12)


@given(GAMMAS, st.floats(-30, 30), st.booleans())
def test_gradient_is_the_derivative_of_the_loss(gamma: float, logit: float, positive: bool) -> None:
    step = 1e-5
    around = focal_loss([logit - step, logit + step], positive, gamma)
    difference = (around[1] - around[0]) / (2 * step)
    gradient = focal_gradient([logit], positive, gamma)[0]
    assert gradient == pytest.approx(difference, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0, 8.0])
def test_finite_at_saturated_logits(gamma: float) -> None:
    for logits in ([-800.0, -80.0], [80.0, 800.0]):
        for positive in (True, False):
            assert np.isfinite(focal_loss(logits, positive, gamma)).all()
            assert np.isfinite(focal_gradient(logits, positive, gamma)).all()


@given(GAMMAS)
def test_strongest_pull_beats_a_dense_grid(gamma: float) -> None:
    peak = strongest_pull_score(gamma)
    at_peak = 1.0 if peak == 0 else -focal_gradient(score_to_logit([peak]), True, gamma)[0]
    assert at_peak >= pull_of_positives(gamma).max() * (1 - 1e-9)


@given(GAMMAS, SHARES)
def test_dont_care_region_agrees_with_a_dense_grid(gamma: float, share: float) -> None:
    region = dont_care(gamma, share)
    peak = strongest_pull_score(gamma)
    strongest = 1.0 if peak == 0 else -focal_gradient(score_to_logit([peak]), True, gamma)[0]
    pull = pull_of_positives(gamma)
    clear = np.abs(pull / strongest - share) > 1e-9
    expected = pull < share * strongest
    np.testing.assert_array_equal(inside(GRID, region.positives)[clear], expected[clear])
    np.testing.assert_array_equal(inside(GRID, region.negatives)[::-1][clear], expected[clear])


@given(st.floats(0.0, 20.0), SHARES)
def test_ends_are_exact(gamma: float, share: float) -> None:
    end = dont_care(gamma, share).positives[-1][0]
    peak = strongest_pull_score(gamma)
    strongest = 1.0 if peak == 0 else -focal_gradient(score_to_logit([peak]), True, gamma)[0]
    below, above = (-focal_gradient(score_to_logit([end + shift]), True, gamma)[0] for shift in (-1e-9, 1e-9))
    assert below >= share * strongest >= above


def test_band_is_where_neither_pulls() -> None:
    region = dont_care(8, 0.1)
    assert region.band is not None
    low, high = region.band
    assert low == pytest.approx(1 - high)
    assert inside(np.array([low + 1e-6, high - 1e-6]), region.positives).all()
    assert inside(np.array([low + 1e-6, high - 1e-6]), region.negatives).all()


def test_paper_band_at_gamma_8() -> None:
    assert dont_care(8, 0.1).band == pytest.approx((0.3, 0.7), abs=0.05)


@pytest.mark.parametrize(("gamma", "share"), [(-1, 0.1), (math.nan, 0.1), (2, 0), (2, 1)])
def test_refuses_what_makes_no_sense(gamma: float, share: float) -> None:
    with pytest.raises(ValueError, match="gamma must be at least 0"):
        dont_care(gamma, share)
