"""Desks and cabinets, and what lies on them beside screens and printers."""

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Frame, rectangle
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import (
    BLACK,
    PLASTICS,
    REDS,
    STEEL,
    WHITE,
    WOODS,
    any_colour,
    mixed,
    pick,
)
from noisedash.datasets.indoor.pen import Pen


def desk(rng: Generator) -> Model:
    """A table with four legs or two sides; things stand on it."""
    width, depth, height = rng.uniform(0.9, 1.4), rng.uniform(0.5, 0.7), rng.uniform(0.68, 0.76)
    top, legs = pick(rng, (*WOODS, WHITE, (90, 94, 100))), pick(rng, (*WOODS, STEEL, BLACK, WHITE))
    panels = rng.random() < 0.4

    def draw(pen: Pen, frame: Frame) -> None:
        for x in (-0.46, 0.46):
            if panels:
                pen.box(frame.moved(x * width), (0.03, height - 0.03, depth * 0.92), legs)
            else:
                for z in (-0.44, 0.44):
                    pen.box(frame.moved(x * width, 0, z * depth), (0.045, height - 0.03, 0.045), legs)
        nearest = float(np.linalg.norm(pen.camera.sees(frame.at((0, height, 0))))) - width
        pen.box(frame.moved(y=height - 0.035), (width, 0.035, depth), top, nearest)

    return Model("", Mount.FLOOR, (width, height, depth), draw, turn=0.35, top_m=height)


def cabinet(rng: Generator) -> Model:
    """A low cupboard with doors or drawers; things stand on it."""
    width, depth, height = rng.uniform(0.55, 1.0), rng.uniform(0.4, 0.5), rng.uniform(0.5, 0.9)
    colour = pick(rng, (*WOODS, WHITE, (180, 184, 188), (96, 110, 124)))
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame, (width, height, depth), colour)
        for column in range(columns):
            for row in range(rows):
                x = ((column + 0.5) / columns - 0.5) * width * 0.96
                y = 0.04 + (row + 0.5) / rows * (height - 0.08)
                front = frame.moved(x, y, depth / 2 + 0.001)
                size = (width * 0.92 / columns, (height - 0.12) / rows)
                leaf = pen.face(front, rectangle(*size), mixed(colour, BLACK, 0.07), body)
                pen.face(front.moved(y=size[1] * 0.3, z=0.002), rectangle(0.09, 0.014), mixed(colour, BLACK, 0.6), leaf)

    return Model("", Mount.FLOOR, (width, height, depth), draw, turn=0.35, top_m=height)


def desk_lamp(rng: Generator) -> Model:
    """A lamp with a bent arm."""
    colour = pick(rng, (*PLASTICS, *REDS[:1]))
    reach = rng.uniform(-0.16, 0.16)

    def draw(pen: Pen, frame: Frame) -> None:
        foot = pen.turned(frame, [(0.08, 0.0), (0.075, 0.02)], colour)
        arm = pen.rod(frame, [(0, 0.02, 0), (-reach, 0.2, 0), (reach, 0.38, 0.03)], 0.009, STEEL, foot)
        pen.turned(frame.moved(reach, 0.3, 0.05), [(0.08, 0.0), (0.03, 0.09)], colour, 0.3, arm)

    return Model("", Mount.TOP, (0.4, 0.4, 0.2), draw)


def books_and_mug(rng: Generator) -> Model:
    """A pile of books, and a mug."""
    pile = [
        (rng.uniform(0.18, 0.26), rng.uniform(0.02, 0.05), any_colour(rng), rng.uniform(-0.3, 0.3))
        for _ in range(rng.integers(1, 5))
    ]
    mug = any_colour(rng)
    height = sum(thick for _, thick, _, _ in pile)

    def draw(pen: Pen, frame: Frame) -> None:
        y, over = 0.0, None
        for width, thick, colour, angle in pile:
            over = pen.box(frame.moved(-0.07, y).turned(angle), (width, thick, width * 0.72), colour, over)
            y += thick
        pen.turned(frame.moved(0.13, 0, 0.05), [(0.036, 0.0), (0.04, 0.09)], mug, 0.3, over)

    return Model("", Mount.TOP, (0.36, max(height, 0.09), 0.2), draw)


def microwave(rng: Generator) -> Model:
    """An oven with a dark window: neither a screen nor a printer."""
    width, height, depth = rng.uniform(0.4, 0.5), rng.uniform(0.24, 0.3), rng.uniform(0.3, 0.38)
    case = pick(rng, (WHITE, STEEL, BLACK, (200, 60, 50)))

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame, (width, height, depth), case)
        front = frame.moved(y=height / 2, z=depth / 2 + 0.001)
        pane = pen.face(front.moved(-width * 0.11), rectangle(width * 0.68, height * 0.8), (30, 32, 36), body)
        pen.face(front.moved(-width * 0.11, 0, 0.001), rectangle(width * 0.5, height * 0.54), (64, 62, 60), pane)
        pen.disc(front.moved(width * 0.36, -height * 0.2, 0.002), height * 0.1, mixed(case, BLACK, 0.5), body - 1e-3)
        pen.face(
            front.moved(width * 0.36, height * 0.26, 0.002),
            rectangle(width * 0.14, height * 0.14),
            (60, 190, 120),
            body - 1e-3,
        )

    return Model("", Mount.TOP, (width, height, depth), draw, turn=0.5)
