"""Pictures, posters, signs and boards: flat things on walls, some much like exit signs and screens."""

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Frame
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import (
    BLACK,
    STEEL,
    WHITE,
    WOODS,
    any_colour,
    blank,
    fill,
    mixed,
    pick,
    write,
)
from noisedash.datasets.indoor.pen import Colour, Image, Pen


def picture(rng: Generator) -> Model:
    """A framed picture, of blocks, hills or circles."""
    width, height = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.7)
    frame_colour = pick(rng, (*WOODS, BLACK, WHITE, STEEL))
    texture = _painting(rng)

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame.moved(y=-height / 2, z=0.012), (width, height, 0.024), frame_colour)
        edge = 0.03
        mount = frame.moved(z=0.025)
        pen.picture(mount, (width - edge, height - edge), blank(4, 4, WHITE), body)
        pen.picture(mount.moved(z=0.001), (width - edge - 0.07, height - edge - 0.07), texture, body - 1e-3)

    return Model("", Mount.WALL, (width, height, 0.03), draw, heights=(1.1, 2.1))


def _painting(rng: Generator) -> Image:
    texture = blank(96, 96, any_colour(rng, (0.05, 0.6)))
    kind = rng.random()
    for _ in range(int(rng.integers(3, 8))):
        colour = any_colour(rng, (0.1, 0.9))
        x, y, reach = rng.uniform(0, 96), rng.uniform(0, 96), rng.uniform(8, 40)
        if kind < 0.4:
            corners = np.array([x, y]) + rng.uniform(-reach, reach, (4, 2))
            fill(texture, corners, colour)
        elif kind < 0.7:
            fill(texture, [(0, 96), (0, y), (x, y - reach), (96, y + reach / 2), (96, 96)], colour)
        else:
            angles = np.linspace(0, 2 * np.pi, 24)
            fill(texture, np.array([x, y]) + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1), colour)
    return texture


_WORDS = ("SALE", "FIRE", "NOTE", "MENU", "INFO", "QUIET", "LAB 3", "TEAM", "OPEN", "NEWS", "2ND FLOOR", "PUSH", "EXAM")


def poster(rng: Generator) -> Model:
    """Paper on the wall: a headline and lines of print on a coloured ground."""
    width = rng.uniform(0.25, 0.6)
    height = width * rng.uniform(1.1, 1.5)
    ground = any_colour(rng, (0.1, 0.9))
    ink = WHITE if sum(ground) < 380 else BLACK
    texture = blank(96, 128, ground)
    write(texture, _WORDS[int(rng.integers(len(_WORDS)))], (48, 22), 16, ink, 700)
    for line in range(42, 118, 8):
        _line_of_print(texture, 12, 12 + int(rng.integers(30, 72)), line, mixed(ink, ground, 0.3))
    if rng.random() < 0.6:
        fill(texture, [(14, 52), (82, 52), (82, 98), (14, 98)], any_colour(rng))
    return _flat_on_wall(width, height, texture, (1.1, 2.0))


def _line_of_print(texture: Image, start: int, end: int, row: int, colour: Colour) -> None:
    """A line of print."""
    fill(texture, [(start, row - 1.5), (end, row - 1.5), (end, row + 1.5), (start, row + 1.5)], colour)


def safety_sign(rng: Generator) -> Model:
    """A sign that is no exit sign: first aid, a warning, a duty, a prohibition, a door plate."""
    side = rng.uniform(0.16, 0.3)
    kinds = (_first_aid, _warning, _duty, _prohibition, _plate)
    wide = rng.random() < 0.35
    texture = kinds[int(rng.integers(len(kinds)))](rng, 160 if wide else 96)
    return _flat_on_wall(side * (160 / 96 if wide else 1), side, texture, (1.3, 2.5))


def _first_aid(rng: Generator, width: int) -> Image:
    texture = blank(width, 96, pick(rng, ((0, 132, 78), (16, 150, 84), (200, 30, 34))))
    x = width / 2
    fill(texture, [(x - 9, 16), (x + 9, 16), (x + 9, 80), (x - 9, 80)], WHITE)
    fill(texture, [(x - 32, 39), (x + 32, 39), (x + 32, 57), (x - 32, 57)], WHITE)
    return texture


def _warning(rng: Generator, width: int) -> Image:
    texture = blank(width, 96, WHITE if rng.random() < 0.5 else (250, 206, 40))
    x = width / 2
    fill(texture, [(x, 8), (x + 42, 84), (x - 42, 84)], BLACK)
    fill(texture, [(x, 20), (x + 33, 79), (x - 33, 79)], (250, 206, 40))
    write(texture, "!", (x, 57), 32, BLACK, 800)
    return texture


def _duty(rng: Generator, width: int) -> Image:
    texture = blank(width, 96, WHITE)
    angles = np.linspace(0, 2 * np.pi, 32)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    fill(texture, np.array([width / 2, 48]) + 42 * circle, (20, 84, 170))
    write(texture, str(rng.choice(["i", "P", "?", "H"])), (width / 2, 48), 44, WHITE, 800)
    return texture


def _prohibition(rng: Generator, width: int) -> Image:
    texture = _duty(rng, width)
    angles = np.linspace(0, 2 * np.pi, 32)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centre = np.array([width / 2, 48])
    fill(texture, centre + 42 * circle, (206, 30, 36))
    fill(texture, centre + 33 * circle, WHITE)
    fill(texture, centre + np.array([(-12, 6), (18, 6), (18, 13), (-12, 13)]), BLACK)
    fill(texture, centre + np.array([(-27, -22), (-22, -27), (27, 22), (22, 27)]), (206, 30, 36))
    return texture


def _plate(rng: Generator, width: int) -> Image:
    ground = any_colour(rng, (0.3, 0.9))
    texture = blank(width, 96, ground)
    text = (
        f"{rng.integers(1, 9)}{rng.integers(10, 99)}"
        if rng.random() < 0.6
        else str(rng.choice(["WC", "LIFT", "TAXI", "BAR"]))
    )
    write(texture, text, (width / 2, 48), 34, WHITE if sum(ground) < 420 else BLACK, 700)
    return texture


def _flat_on_wall(width: float, height: float, texture: Image, heights: tuple[float, float]) -> Model:
    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame.moved(y=-height / 2, z=0.003), (width, height, 0.006), WHITE)
        pen.picture(frame.moved(z=0.007), (width, height), texture, body)

    return Model("", Mount.WALL, (width, height, 0.01), draw, heights=heights)


def whiteboard(rng: Generator) -> Model:
    """A white, black or cork board with writing or notes: rectangular, and no screen."""
    width, height = rng.uniform(0.7, 1.3), rng.uniform(0.5, 0.85)
    ground = pick(rng, (WHITE, WHITE, (60, 84, 72), (190, 150, 104)), 5)
    texture = blank(160, 104, ground)
    if ground[0] > 170 and ground[2] < 150:
        for _ in range(int(rng.integers(3, 9))):
            x, y, side = rng.uniform(6, 130), rng.uniform(6, 76), rng.uniform(14, 26)
            fill(
                texture,
                [(x, y), (x + side, y + 2), (x + side - 2, y + side), (x - 2, y + side)],
                any_colour(rng, (0.05, 0.6)),
            )
    else:
        for line in range(14, 96, 12):
            if rng.random() < 0.7:
                start = int(rng.integers(8, 60))
                _line_of_print(texture, start, start + int(rng.integers(20, 90)), line, any_colour(rng, (0.4, 0.9)))
    edge = pick(rng, (STEEL, *WOODS))

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame.moved(y=-height / 2, z=0.01), (width, height, 0.02), edge)
        pen.picture(frame.moved(z=0.021), (width - 0.05, height - 0.05), texture, body)
        pen.box(frame.moved(y=-height / 2 - 0.01, z=0.035), (width * 0.6, 0.015, 0.07), edge, body)

    return Model("", Mount.WALL, (width, height, 0.07), draw, heights=(1.2, 1.8))
