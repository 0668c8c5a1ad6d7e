"""What walls and floors are made of: grey textures that repeat in both directions. T is the texture's side."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from noisedash.datasets.indoor.pen import Image

Texture = NDArray[np.float32]
"""(T, T), 200 where the material has its plain colour."""

MATERIAL_PX = 512
PLAIN_GREY = 200

FLOORS = (
    ("planks", 1.6),
    ("planks", 2.4),
    ("tiles", 1.6),
    ("tiles", 2.8),
    ("carpet", 1.5),
    ("concrete", 3.0),
    ("checks", 1.6),
)
WALLS = (("plain", 2.0), ("bricks", 1.6), ("stripes", 1.8), ("panels", 2.4), ("tiles", 1.2), ("concrete", 3.0))
WALL_SHARES = (0.5, 0.1, 0.1, 0.12, 0.06, 0.12)


@lru_cache(maxsize=64)
def material(kind: str, variant: int) -> Image:
    """A grey texture (512, 512), 200 where the material has its plain colour, repeating in both directions."""
    rng = np.random.default_rng([len(kind), variant, *kind.encode()])
    texture = np.full((MATERIAL_PX, MATERIAL_PX), 200.0, np.float32)
    _PAINTERS[kind](rng, texture)
    return np.clip(np.round(texture), 0, 255).astype(np.uint8)


def _plain(rng: Generator, texture: Texture) -> None:
    texture += _blotches(rng, 8) * 1.2 + rng.normal(0, 1.5, texture.shape).astype(np.float32)


def _carpet(rng: Generator, texture: Texture) -> None:
    texture += _blotches(rng, 128) * 9 + rng.normal(0, 9, texture.shape).astype(np.float32)


def _concrete(rng: Generator, texture: Texture) -> None:
    texture += _blotches(rng, 6) * 5 + _blotches(rng, 40) * 3 + rng.normal(0, 3, texture.shape).astype(np.float32)


def _planks(rng: Generator, texture: Texture) -> None:
    """Eight rows of boards with their grain and joints."""
    grain = cv2.resize(rng.normal(0, 1, (128, 8)).astype(np.float32), (MATERIAL_PX, MATERIAL_PX))
    texture += grain * 5
    for row in range(8):
        top = row * 64
        joint = int(rng.integers(MATERIAL_PX))
        texture[top : top + 64, :joint] += rng.normal(0, 10)
        texture[top : top + 64, joint:] += rng.normal(0, 10)
        texture[top : top + 64, max(joint - 1, 0) : joint + 1] -= 55
        texture[top : top + 2] -= 55


def _tiles(rng: Generator, texture: Texture) -> None:
    shades = rng.normal(0, 4, (4, 4)).astype(np.float32)
    texture += np.kron(shades, np.ones((128, 128), np.float32)) + _blotches(rng, 30) * 2
    for line in range(0, MATERIAL_PX, 128):
        texture[line : line + 4] -= 45
        texture[:, line : line + 4] -= 45


def _checks(rng: Generator, texture: Texture) -> None:
    dark = -rng.uniform(25, 90)
    texture += np.kron(np.indices((4, 4)).sum(axis=0) % 2 * dark, np.ones((128, 128))).astype(np.float32)
    texture += _blotches(rng, 30) * 2


def _bricks(rng: Generator, texture: Texture) -> None:
    for row in range(16):
        top, shift = row * 32, (row % 2) * 32
        for column in range(8):
            left = (column * 64 + shift) % MATERIAL_PX
            texture[top : top + 32, left : left + 64] += rng.normal(0, 9)
            texture[top : top + 32, left : left + 3] -= 30
        texture[top : top + 3] -= 30
    texture += _blotches(rng, 60) * 4


def _stripes(rng: Generator, texture: Texture) -> None:
    period = int(rng.choice([32, 64, 128]))
    columns = (np.arange(MATERIAL_PX) // (period // 2)) % 2
    texture += columns * -rng.uniform(8, 30) + rng.normal(0, 1.5, texture.shape).astype(np.float32)


def _panels(rng: Generator, texture: Texture) -> None:
    width = int(rng.choice([64, 128, 256]))
    texture += _blotches(rng, 16) * 2
    for left in range(0, MATERIAL_PX, width):
        texture[:, left : left + 3] -= 28
        texture[:, left + 3 : left + 5] += 14


def _blotches(rng: Generator, cells: int) -> Texture:
    """Smooth noise (512, 512) of unit scale, that many cells to a side."""
    noise = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(noise, (MATERIAL_PX, MATERIAL_PX), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


_PAINTERS = {
    "plain": _plain, "carpet": _carpet, "concrete": _concrete, "planks": _planks, "tiles": _tiles, "checks": _checks,
    "bricks": _bricks, "stripes": _stripes, "panels": _panels,
}  # fmt: skip
