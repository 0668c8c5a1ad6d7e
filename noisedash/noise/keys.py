"""One 64-bit key per box and purpose: the only source of chance in label noise. M boxes.

What is made of keys uses integers and the floating-point operations that IEEE 754 rounds correctly (+ - * / and the
square root) and nothing else, so it has the same bits on every machine; a library's log or pow has not.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

KeyArray = NDArray[np.uint64]
FloatArray = NDArray[np.float64]

LN_2 = 0.6931471805599453
_SERIES_TERMS = 11
"""Terms of artanh's series: the next one is below 1e-17 of the sum for |z| <= .172."""


def box_keys(box_id: KeyArray, kind: str, seed: int) -> KeyArray:
    """Keys (M,) of boxes: a pure function of (seed, kind, box id), as good as uniform over 64 bits.

    Each (kind, seed) is a stream of its own, and within a stream the map from box id to key is one-to-one, so
    distinct boxes never tie.

    >>> box_keys(np.array([1, 2], dtype=np.uint64), "missing", seed=0).tolist()
    [5720145283866645999, 16536645652094287325]
    """
    name = f"{kind}:{seed}".encode()
    stream = np.uint64(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little"))
    return splitmix64(box_id ^ stream)


def unit_interval(keys: KeyArray) -> FloatArray:
    """Keys as numbers (M,) in [0, 1): multiples of 2 ** -53, evenly.

    >>> unit_interval(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)).tolist()
    [0.0, 0.5, 0.9999999999999999]
    """
    return np.asarray((keys >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def choice(keys: KeyArray, count: int) -> NDArray[np.int64]:
    """Keys as whole numbers (M,) from 0 to count - 1, evenly; `count` is below 2 ** 32.

    >>> choice(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64), 3).tolist()
    [0, 1, 2]
    """
    return ((keys >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def exponential(keys: KeyArray) -> FloatArray:
    """Keys as draws (M,) of the exponential distribution with mean 1, rising with the key.

    -ln(1 - u), ln(2 ** e m) = e ln 2 + 2 artanh((m - 1) / (m + 1)) with m in [.707, 1.414).

    >>> exponential(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)).round(6).tolist()
    [0.0, 0.693147, 37.429948]
    """
    rest = ((~keys >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    mantissa, power = np.frexp(rest)
    low = mantissa < 0.7071067811865476
    mantissa, power = np.where(low, 2 * mantissa, mantissa), power - low
    z = (mantissa - 1) / (mantissa + 1)
    square, series = z * z, np.zeros(len(keys))
    for term in range(_SERIES_TERMS - 1, -1, -1):
        series = series * square + 1 / (2 * term + 1)
    return np.asarray(0.0 - (power * LN_2 + 2 * z * series))


def splitmix64(values: KeyArray) -> KeyArray:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014; constants of Vigna's splitmix64.c), a bijection.

    >>> [hex(value) for value in splitmix64(np.array([0, 0x9E3779B97F4A7C15], dtype=np.uint64)).tolist()]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
