"""Distribution functions against closed forms, tables and slow sums."""

import math

import numpy as np
import pytest

from noisedash.studies.student import normal_cdf, shift_of, t_cdf, t_quantile

TIMES = np.array([-60.0, -4.3, -1.0, -0.1, 0.0, 0.3, 1.0, 2.5, 12.7, 60.0])


def test_normal_is_the_error_function() -> None:
    z = np.linspace(-8.9, 8.9, 999)
    np.testing.assert_allclose(normal_cdf(z), [0.5 * math.erfc(-at / math.sqrt(2)) for at in z], rtol=0, atol=1e-10)
    assert normal_cdf([-50, 50]).tolist() == pytest.approx([0, 1])


def test_t_has_its_closed_forms() -> None:
    np.testing.assert_allclose(t_cdf(TIMES, 1), 0.5 + np.arctan(TIMES) / np.pi, rtol=0, atol=1e-9)
    np.testing.assert_allclose(t_cdf(TIMES, 2), 0.5 + TIMES / (2 * np.sqrt(2 + TIMES**2)), rtol=0, atol=1e-9)
    x = TIMES / np.sqrt(3)
    np.testing.assert_allclose(t_cdf(TIMES, 3), 0.5 + (x / (1 + x**2) + np.arctan(x)) / np.pi, rtol=0, atol=1e-9)
    np.testing.assert_allclose(t_cdf(TIMES, np.inf), normal_cdf(TIMES), rtol=0, atol=1e-7)


@pytest.mark.parametrize("df", [1.3, 4.7, 33.3, 400.5])
def test_t_is_the_integral_of_its_density(df: float) -> None:
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    for upper in (0.4, 2.2, 7.0):
        x = np.linspace(0, upper, 20_001)
        density = np.exp(log_scale - (df + 1) / 2 * np.log1p(x**2 / df))
        assert t_cdf(upper, df) == pytest.approx(0.5 + np.trapezoid(density, x), abs=1e-8)


@pytest.mark.parametrize(("df", "probability", "t"), [(1, 0.975, 12.7062), (2, 0.995, 9.9248), (4, 0.975, 2.77645)])
def test_quantiles_are_those_of_the_tables(df, probability, t) -> None:
    assert t_quantile(probability, df) == pytest.approx(t, abs=1e-4)
    assert t_quantile(1 - probability, df) == pytest.approx(-t, abs=1e-4)


def test_quantiles_take_arrays_and_undo_the_distribution() -> None:
    df = np.array([[1.0, 2.5], [30.0, np.inf]])
    np.testing.assert_allclose(t_cdf(t_quantile(0.9, df), df), np.full((2, 2), 0.9), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("t", "df", "shift"), [(1.0, 2, 0.5), (-2.0, 4, -1.0), (6.0, 2, 8.0), (3.0, 9.5, 3.0)])
def test_noncentral_t_is_a_sum_over_the_spread(t: float, df: float, shift: float) -> None:
    v = np.linspace(1e-9, df + 60 * math.sqrt(2 * df), 400_001)
    log_density = (df / 2 - 1) * np.log(v) - v / 2 - df / 2 * math.log(2) - math.lgamma(df / 2)
    slow = np.trapezoid(np.exp(log_density) * normal_cdf(t * np.sqrt(v / df) - shift), v)
    assert t_cdf(t, df, shift) == pytest.approx(slow, abs=2e-6)
    assert shift_of(t_cdf(t, df, shift), t, df) == pytest.approx(shift, abs=1e-6)


def test_unknown_stays_unknown() -> None:
    assert np.isnan(t_cdf(np.nan, 3))
    assert np.isnan(t_quantile(0.9, np.nan))
    assert np.isnan(shift_of(0.9, np.nan, 3))
