"""Bells, plates, mirrors, dartboards, loudspeakers and vents: round on the wall, and no clocks."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Frame
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import (
    BLACK,
    REDS,
    STEEL,
    WHITE,
    any_colour,
    blank,
    circle,
    fill,
    mixed,
    pick,
    round_mask,
)
from noisedash.datasets.indoor.pen import Colour, Image, Pen


@dataclass(frozen=True)
class _Colours:
    outer: Colour
    inner: Colour


def alarm_bell(rng: Generator) -> Model:
    """Red and round, and neither a clock nor an extinguisher."""
    radius = rng.uniform(0.09, 0.17)
    red = pick(rng, REDS)

    def draw(pen: Pen, frame: Frame) -> None:
        away = frame.tilted(-np.pi / 2)
        profile = [(radius, 0.0), (radius * 0.97, 0.04), (radius * 0.7, 0.075), (radius * 0.25, 0.09)]
        bell = pen.turned(away, profile, red, 0.6)
        pen.disc(frame.moved(z=0.092), radius * 0.16, STEEL, bell)

    return Model("", Mount.WALL, (radius * 2, radius * 2, 0.09), draw, heights=(1.4, 2.5))


def round_thing(rng: Generator) -> Model:
    """A plate, a mirror, a dartboard, a loudspeaker or a vent: round on the wall, and no clock."""
    radius = rng.uniform(0.1, 0.24)
    outer, inner = any_colour(rng, (0.05, 0.5)), any_colour(rng, (0.05, 0.6))
    kinds = (_rings, _plate, _mirror, _sectors, _speaker, _vent)
    texture = round_mask(kinds[int(rng.integers(len(kinds)))](rng, _Colours(outer, inner)))

    def draw(pen: Pen, frame: Frame) -> None:
        away = frame.tilted(-np.pi / 2)
        body = pen.turned(away, [(radius, 0.0), (radius * 0.96, 0.03)], mixed(outer, BLACK, 0.2))
        pen.picture(frame.moved(z=0.031), (radius * 1.86, radius * 1.86), texture, body)

    return Model("", Mount.WALL, (radius * 2, radius * 2, 0.03), draw, heights=(1.2, 2.6))


def _rings(rng: Generator, colours: _Colours) -> Image:
    texture = blank(96, 96, colours.outer)
    rings = int(rng.integers(2, 5))
    for ring in range(rings):
        circle(
            texture,
            (48, 48),
            44 * (1 - (ring + 0.5) / (rings + 0.5)),
            colours.inner if ring % 2 == 0 else colours.outer,
        )
    return texture


def _plate(rng: Generator, colours: _Colours) -> Image:
    texture = blank(96, 96, mixed(colours.outer, WHITE, 0.7))
    circle(texture, (48, 48), 34, mixed(colours.outer, WHITE, 0.85))
    for petal in range(int(rng.integers(0, 9))):
        angle = petal * 0.78
        circle(texture, (48 + 39 * np.sin(angle), 48 - 39 * np.cos(angle)), 4, colours.inner)
    return texture


def _mirror(rng: Generator, colours: _Colours) -> Image:
    share = np.linspace(0, 1, 96)[:, None, None]
    glass = np.array((206, 220, 228)) * (1 - share) + np.array(mixed(colours.inner, (150, 160, 168), 0.7)) * share
    texture = np.ascontiguousarray(np.broadcast_to(np.round(glass), (96, 96, 3)).astype(np.uint8))
    left = rng.uniform(10, 40)
    fill(texture, [(left, 0), (left + 18, 0), (left - 8, 96), (left - 26, 96)], (232, 240, 244))
    return texture


def _sectors(rng: Generator, colours: _Colours) -> Image:
    texture = blank(96, 96, colours.outer)
    count = int(rng.choice([6, 8, 10, 20]))
    for sector in range(0, count, 2):
        angles = np.array([sector, sector + 0.5, sector + 1]) * 2 * np.pi / count
        fill(
            texture,
            [(48, 48), *(48 + 60 * np.stack([np.sin(angles), -np.cos(angles)], axis=1)).tolist()],
            colours.inner,
        )
    circle(texture, (48, 48), 6, (200, 40, 40))
    return texture


def _speaker(_rng: Generator, colours: _Colours) -> Image:
    texture = blank(96, 96, mixed(colours.outer, WHITE, 0.6))
    for x in range(16, 84, 8):
        for y in range(16, 84, 8):
            if np.hypot(x - 48, y - 48) < 36:
                circle(texture, (x, y), 2.4, mixed(colours.inner, BLACK, 0.7))
    return texture


def _vent(_rng: Generator, colours: _Colours) -> Image:
    texture = blank(96, 96, mixed(colours.outer, WHITE, 0.75))
    for row in range(20, 80, 10):
        half = np.sqrt(max(38.0**2 - (row - 48) ** 2, 0.0)) - 4
        fill(texture, [(48 - half, row), (48 + half, row), (48 + half, row + 4), (48 - half, row + 4)], (70, 72, 76))
    return texture
