"""Keys and what is made of them: the right distributions, from operations that are exact on every machine."""

import hashlib

import numpy as np
import pytest

from noisedash.noise.keys import box_keys, choice, exponential, splitmix64, unit_interval

KEYS = box_keys(np.arange(200_000, dtype=np.uint64), "test", 0)
EDGES = np.array([0, 1, 2**11, 2**52, 2**63 - 1, 2**63, 2**64 - 2**11, 2**64 - 1], dtype=np.uint64)


def test_the_exponential_is_the_logarithm() -> None:
    keys = np.concatenate([KEYS, EDGES])
    rest = ((~keys >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53
    np.testing.assert_allclose(exponential(keys), -np.log(rest), rtol=1e-14, atol=1e-16)
    assert (exponential(keys) >= 0).all()


def test_the_exponential_rises_with_the_key() -> None:
    ordered = exponential(np.sort(KEYS))
    assert (np.diff(ordered) >= 0).all()
    assert ordered.mean() == pytest.approx(1, abs=0.01)
    assert ordered.var() == pytest.approx(1, abs=0.03)


def test_units_and_choices_are_even() -> None:
    units = unit_interval(np.concatenate([KEYS, EDGES]))
    assert units.min() >= 0
    assert units.max() < 1
    assert np.histogram(units, 20, (0, 1))[0] == pytest.approx(np.full(20, 10_000), rel=0.06)
    assert np.bincount(choice(KEYS, 7)) == pytest.approx(np.full(7, 200_000 / 7), rel=0.03)


def test_the_bits_are_the_same_on_every_machine() -> None:
    """Pinned: a machine on which one of these differs would make other noise of the same recipe."""
    told = b"".join(array.tobytes() for array in (KEYS, unit_interval(KEYS), exponential(KEYS), splitmix64(EDGES)))
    assert hashlib.sha256(told).hexdigest() == "a8a16a11610b266f98528b523e061789cde1d66054806f81e31cda53a91e50f5"
