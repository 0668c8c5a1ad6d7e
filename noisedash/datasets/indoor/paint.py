"""Colours, and the flat drawings that things carry: their texture and text. Textures are (h, w, 3 or 4)."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import FloatArray
from noisedash.datasets.indoor.pen import Colour, Image

WHITE: Colour = (246, 246, 244)
BLACK: Colour = (28, 28, 30)
STEEL: Colour = (176, 180, 184)
WOODS: tuple[Colour, ...] = ((196, 154, 108), (150, 108, 70), (222, 190, 148), (110, 74, 48), (235, 220, 196))
PLASTICS: tuple[Colour, ...] = (
    (44, 46, 50),
    (86, 90, 96),
    (150, 154, 158),
    (225, 226, 226),
    (40, 78, 140),
    (60, 130, 120),
    (190, 60, 50),
    (214, 160, 60),
    (96, 140, 70),
    (120, 70, 120),
)
REDS: tuple[Colour, ...] = ((206, 30, 32), (188, 24, 30), (222, 48, 38), (168, 20, 24), (226, 70, 54))


def pick(rng: Generator, palette: Sequence[Colour], spread: float = 10.0) -> Colour:
    """A colour near one of the palette's."""
    base = palette[int(rng.integers(len(palette)))]
    red, green, blue = np.clip(np.array(base) + rng.normal(0, spread * 0.5, 3) + rng.normal(0, spread), 6, 250).tolist()
    return red, green, blue


def any_colour(rng: Generator, saturation: tuple[float, float] = (0.1, 0.8)) -> Colour:
    """Any hue, with a saturation in [0, 1] from that range."""
    hue, value = rng.integers(180), rng.uniform(90, 245)
    pixel = np.array([[[hue, rng.uniform(*saturation) * 255, value]]], dtype=np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with that share of `second`.

    >>> mixed((0, 0, 0), (100, 200, 50), 0.5)
    (50.0, 100.0, 25.0)
    """
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def blank(width: int, height: int, colour: Colour) -> Image:
    """A texture (height, width, 3) of one colour."""
    return np.full((height, width, 3), np.round(colour), dtype=np.uint8)


_CAPITAL = 0.75
"""Height of a capital letter in the font's size."""
_MOST_OF_A_LINE = 0.86


@lru_cache(maxsize=1)
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def write(
    texture: Image, text: str, centre: tuple[float, float], height_px: float, colour: Colour, bold: int = 600
) -> None:
    """Write `text` about a centre (x, y) in capitals or figures of that height, `bold` from 100 to 900.

    What would be wider than the texture is written smaller.
    """
    size = round(height_px / _CAPITAL)
    width = _text_width(texture, text, size, bold)
    if width > texture.shape[1] * _MOST_OF_A_LINE:
        size = int(size * texture.shape[1] * _MOST_OF_A_LINE / width)
        width = _text_width(texture, text, size, bold)
    origin = (round(centre[0] - width / 2), round(centre[1] + size * _CAPITAL / 2))
    cv2.putText(texture, text, origin, colour, _font(), size, bold)


def _text_width(texture: Image, text: str, size: int, bold: int) -> int:
    canvas_wh = (texture.shape[1], texture.shape[0])
    return int(cv2.getTextSize(canvas_wh, text, (0, 0), _font(), size, bold)[2])


def fill(texture: Image, points: FloatArray | Sequence[tuple[float, float]], colour: Colour) -> None:
    """Fill a polygon (N, 2) of texture pixels."""
    cv2.fillPoly(texture, [np.round(np.asarray(points) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def circle(texture: Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """Fill a circle about a centre (x, y), in texture pixels."""
    x, y = round(centre[0] * 16), round(centre[1] * 16)
    cv2.circle(texture, (x, y), round(radius * 16), colour, -1, cv2.LINE_AA, 4)


def round_mask(texture: Image) -> Image:
    """The texture (h, w, 3) with a coverage channel: the ellipse that fits into it."""
    height, width = texture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 2 - 1, height // 2 - 1), 0, 0, 360, 255, -1, cv2.LINE_AA)
    return np.dstack([texture, mask])
