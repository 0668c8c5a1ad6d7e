"""One 64-bit key per box and noise kind: the only source of chance in label noise. M boxes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

KeyArray = NDArray[np.uint64]


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


def splitmix64(values: KeyArray) -> KeyArray:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014; constants of Vigna's splitmix64.c), a bijection.

    >>> [hex(value) for value in splitmix64(np.array([0, 0x9E3779B97F4A7C15], dtype=np.uint64)).tolist()]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
