"""Windows, doors, shelves and boxes on walls."""

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Frame, rectangle
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import (
    BLACK,
    REDS,
    STEEL,
    WHITE,
    WOODS,
    any_colour,
    fill,
    mixed,
    pick,
)
from noisedash.datasets.indoor.pen import Colour, Pen


def window(rng: Generator) -> Model:
    """A window with sky behind it."""
    width, height = rng.uniform(0.7, 1.3), rng.uniform(0.8, 1.3)
    edge = pick(rng, (WHITE, WHITE, (80, 84, 90), *WOODS))
    low, high = (
        pick(rng, ((232, 240, 246), (250, 226, 196), (90, 110, 140))),
        pick(rng, ((150, 196, 236), (110, 160, 220), (40, 54, 84))),
    )
    share = np.linspace(0, 1, 64)[:, None, None]
    sky = np.asarray(high) * (1 - share) + np.asarray(low) * share
    texture = np.ascontiguousarray(np.broadcast_to(np.round(sky), (64, 64, 3)).astype(np.uint8))
    x = np.linspace(0, 64, 7)
    roofs = np.stack([x, 64 - rng.uniform(4, 26, 7)], axis=1)
    fill(
        texture, np.concatenate([roofs, [[64, 64], [0, 64]]]), pick(rng, ((90, 110, 96), (120, 116, 120), (70, 90, 70)))
    )

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame.moved(y=-height / 2, z=0.02), (width, height, 0.04), edge)
        for side in (-0.25, 0.25):
            pane = frame.moved(side * (width - 0.04), 0, 0.041)
            pen.picture(pane, ((width - 0.04) / 2 - 0.06, height - 0.12), texture, body, glow=True)
        pen.box(frame.moved(y=-height / 2 - 0.03, z=0.07), (width * 1.06, 0.03, 0.14), edge, body)

    return Model("", Mount.WALL, (width, height, 0.14), draw, heights=(1.3, 1.7))


def door(rng: Generator) -> Model:
    """A closed door with a handle, some with a pane of glass."""
    width, height = rng.uniform(0.8, 1.0), rng.uniform(1.98, 2.1)
    leaf, edge = pick(rng, (*WOODS, WHITE, (120, 140, 150), (90, 60, 50))), pick(rng, (WHITE, *WOODS))
    pane = rng.random() < 0.35
    side = 1 if rng.random() < 0.5 else -1

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame.moved(y=-height / 2, z=0.01), (width, height, 0.02), edge)
        inner = frame.moved(y=-0.03, z=0.021)
        panel = pen.face(inner, rectangle(width - 0.12, height - 0.06), leaf, body)
        if pane:
            pen.face(
                inner.moved(y=height * 0.2, z=0.001), rectangle(width * 0.4, height * 0.34), (186, 208, 216), panel
            )
        else:
            for y in (-0.24, 0.22):
                pen.face(
                    inner.moved(y=y * height, z=0.001),
                    rectangle(width * 0.6, height * 0.36),
                    mixed(leaf, BLACK, 0.08),
                    panel,
                )
        pen.box(inner.moved(side * width * 0.37, -0.02, 0.02), (0.12, 0.02, 0.03), STEEL, panel - 1e-3)

    return Model("", Mount.WALL, (width, height, 0.06), draw, heights=(height / 2, height / 2))


def shelf(rng: Generator) -> Model:
    """A board on the wall with books, boxes and a pot."""
    width, depth = rng.uniform(0.6, 1.1), rng.uniform(0.18, 0.26)
    board = pick(rng, (*WOODS, WHITE))
    books = _books(rng, width)

    def draw(pen: Pen, frame: Frame) -> None:
        low = frame.moved(y=-0.15, z=depth / 2)
        plank = pen.box(low, (width, 0.03, depth), board)
        for x, thick, tall, colour in books:
            pen.box(low.moved(x, 0.03, -0.02), (thick, tall, depth * 0.7), colour, plank - 0.01)

    return Model("", Mount.WALL, (width, 0.33, depth), draw, heights=(1.3, 1.9))


def _books(rng: Generator, width: float) -> list[tuple[float, float, float, Colour]]:
    books, x = [], -width / 2 + 0.04
    while x < width / 2 - 0.06:
        thick = rng.uniform(0.02, 0.06)
        if rng.random() < 0.85:
            books.append((x + thick / 2, thick, rng.uniform(0.16, 0.29), any_colour(rng)))
        x += thick + (0.0 if rng.random() < 0.8 else 0.08)
    return books


def small_box_on_wall(rng: Generator) -> Model:
    """A cabinet, an air conditioner, a heater, a dispenser: some red like a hose cabinet."""
    width, height, depth = rng.uniform(0.14, 0.7), rng.uniform(0.18, 0.5), rng.uniform(0.06, 0.2)
    colour = pick(rng, (WHITE, STEEL, (210, 214, 216), *REDS[:2], (80, 84, 90)))
    lines = int(rng.integers(0, 4))

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame.moved(y=-height / 2, z=depth / 2), (width, height, depth), colour)
        front = frame.moved(z=depth + 0.001)
        for line in range(lines):
            pen.face(
                front.moved(y=height * (0.3 - 0.2 * line)),
                rectangle(width * 0.7, height * 0.06),
                mixed(colour, BLACK, 0.4),
                body,
            )
        if lines == 0:
            pen.face(front, rectangle(width * 0.86, height * 0.86), mixed(colour, BLACK, 0.1), body)

    return Model("", Mount.WALL, (width, height, depth), draw, heights=(0.5, 2.3))
