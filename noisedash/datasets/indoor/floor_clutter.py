"""What stands about: boxes, plants, lamps, cases, and red things that are no extinguishers."""

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
    mixed,
    pick,
)
from noisedash.datasets.indoor.pen import Pen


def cardboard(rng: Generator) -> Model:
    """A closed box with tape, or a coloured crate."""
    width, height, depth = rng.uniform(0.25, 0.55), rng.uniform(0.18, 0.5), rng.uniform(0.25, 0.45)
    colour = pick(rng, ((190, 148, 100), (172, 130, 84), (205, 168, 122))) if rng.random() < 0.7 else any_colour(rng)
    tape = mixed(colour, WHITE, 0.35)

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame, (width, height, depth), colour)
        top = frame.moved(y=height + 0.001).tilted(np.pi / 2)
        pen.face(top, rectangle(width, depth * 0.14), tape, body)
        for side in (frame.turned(np.pi / 2), frame.turned(-np.pi / 2)):
            pen.face(
                side.moved(y=height * 0.86, z=width / 2 + 0.001), rectangle(depth * 0.14, height * 0.28), tape, body
            )

    return Model("", Mount.FLOOR, (width, height, depth), draw)


def plant(rng: Generator) -> Model:
    """Leaves in a pot."""
    height, radius = rng.uniform(0.5, 1.2), rng.uniform(0.1, 0.17)
    pot = pick(rng, ((190, 110, 74), WHITE, (90, 96, 104), (60, 110, 120), *REDS[:1]))
    green = pick(rng, ((60, 120, 62), (88, 140, 70), (40, 96, 66), (120, 150, 80)))
    leaves = [
        (rng.uniform(0, 6.28), rng.uniform(0.3, 1.15), rng.uniform(0.55, 1.0), rng.uniform(-0.25, 0.25))
        for _ in range(16)
    ]

    def draw(pen: Pen, frame: Frame) -> None:
        base = pen.turned(frame, [(radius * 0.7, 0.0), (radius, height * 0.28), (radius * 1.05, height * 0.3)], pot)
        soil = frame.moved(y=height * 0.295).tilted(np.pi / 2)
        pen.disc(soil, radius * 0.9, (70, 52, 40), base)
        for angle, lean, reach, shade in leaves:
            leaf = frame.moved(y=height * 0.27).turned(angle).tilted(-lean)
            length = height * 0.73 * reach
            outline = [(0, 0, 0), (length * 0.13, length * 0.45, 0), (length * 0.1, length * 0.72, 0), (0, length, 0),
                       (-length * 0.1, length * 0.72, 0), (-length * 0.13, length * 0.45, 0)]  # fmt: skip
            near = (pen.camera.position - frame.origin) @ leaf.axes[1]
            pen.sheet(
                leaf,
                outline,
                mixed(green, WHITE if shade > 0 else BLACK, abs(shade)),
                base - 0.05 * np.sign(near) - 0.01,
            )

    return Model("", Mount.FLOOR, (radius * 2.6, height, radius * 2.6), draw)


def floor_lamp(rng: Generator) -> Model:
    """A lamp on a pole with a round shade."""
    height, radius = rng.uniform(1.2, 1.7), rng.uniform(0.13, 0.2)
    shade, pole = (
        pick(rng, ((250, 236, 200), WHITE, (220, 120, 90), (90, 130, 150))),
        pick(rng, (BLACK, STEEL, WOODS[0])),
    )

    def draw(pen: Pen, frame: Frame) -> None:
        foot = pen.turned(frame, [(0.13, 0.0), (0.13, 0.02)], pole)
        stem = pen.rod(frame, [(0, 0.02, 0), (0, height - 0.2, 0)], 0.012, pole, foot)
        pen.turned(frame, [(radius, height - 0.26), (radius * 0.68, height)], shade, over=stem)

    return Model("", Mount.FLOOR, (radius * 2, height, radius * 2), draw)


def suitcase(rng: Generator) -> Model:
    """An upright case with ribs and a handle."""
    width, height, depth = rng.uniform(0.34, 0.46), rng.uniform(0.5, 0.68), rng.uniform(0.2, 0.27)
    colour = any_colour(rng)

    def draw(pen: Pen, frame: Frame) -> None:
        for x in (-0.4, 0.4):
            pen.box(frame.moved(x * width), (0.04, 0.04, depth * 0.9), BLACK)
        body = pen.box(frame.moved(y=0.04), (width, height - 0.1, depth), colour)
        for towards in (frame, frame.turned(np.pi)):
            for rib in (-0.3, 0.0, 0.3):
                place = towards.moved(rib * width, height * 0.49, depth / 2 + 0.001)
                pen.face(place, rectangle(width * 0.05, height * 0.72), mixed(colour, BLACK, 0.25), body)
        pen.rod(
            frame,
            [(-0.07, height - 0.07, 0), (-0.07, height, 0), (0.07, height, 0), (0.07, height - 0.07, 0)],
            0.011,
            BLACK,
        )

    return Model("", Mount.FLOOR, (width, height, depth), draw)


def red_vessel(rng: Generator) -> Model:
    """A vase, a flask or a bucket, red more often than not: shaped somewhat like an extinguisher or a bin."""
    height, radius = rng.uniform(0.22, 0.55), rng.uniform(0.07, 0.13)
    colour = pick(rng, REDS) if rng.random() < 0.6 else any_colour(rng, (0.4, 0.9))
    waist, neck = rng.uniform(0.7, 1.2), rng.uniform(0.35, 0.9)

    def draw(pen: Pen, frame: Frame) -> None:
        profile = [
            (radius * 0.7, 0.0),
            (radius * waist, height * 0.4),
            (radius * neck, height * 0.85),
            (radius * neck * 1.15, height),
        ]
        body = pen.turned(frame, profile, colour, 0.6)
        if pen.camera.position[1] > frame.origin[1] + height:
            pen.disc(frame.moved(y=height).tilted(np.pi / 2), radius * neck, mixed(colour, BLACK, 0.6), body)

    return Model("", Mount.TOP if rng.random() < 0.4 else Mount.FLOOR, (radius * 2.4, height, radius * 2.4), draw)


def traffic_cone(rng: Generator) -> Model:
    """Orange-red with white bands."""
    height, radius = rng.uniform(0.35, 0.6), rng.uniform(0.11, 0.15)
    colour = pick(rng, ((236, 96, 30), (220, 60, 36)))

    def draw(pen: Pen, frame: Frame) -> None:
        base = pen.box(frame, (radius * 2.6, 0.025, radius * 2.6), mixed(colour, BLACK, 0.2))
        rings = np.linspace(radius, radius * 0.22, 6)
        heights = np.linspace(0.025, height, 6)
        for step in range(5):
            part = [(rings[step], heights[step]), (rings[step + 1], heights[step + 1])]
            base = pen.turned(frame, part, WHITE if step in (1, 3) else colour, over=base)

    return Model("", Mount.FLOOR, (radius * 2.6, height, radius * 2.6), draw, turn=0.8)


def stool(rng: Generator) -> Model:
    """A low round table or pouffe: it has no back, so it is no chair."""
    height, radius = rng.uniform(0.35, 0.5), rng.uniform(0.2, 0.32)
    colour, legs = any_colour(rng), pick(rng, (*WOODS, BLACK))
    solid = rng.random() < 0.5

    def draw(pen: Pen, frame: Frame) -> None:
        if solid:
            pen.turned(
                frame,
                [(radius * 0.92, 0.0), (radius, height * 0.3), (radius, height * 0.75), (radius * 0.9, height)],
                colour,
            )
            return
        for angle in np.arange(3) * 2.094 + 0.4:
            foot = (np.sin(angle) * radius, 0.0, np.cos(angle) * radius)
            pen.rod(frame, [foot, (foot[0] * 0.5, height - 0.03, foot[2] * 0.5)], 0.016, legs)
        top = float(np.linalg.norm(pen.camera.sees(frame.at((0, height, 0))))) - radius
        pen.turned(frame, [(radius, height - 0.035), (radius, height)], mixed(legs, colour, 0.5), over=top)

    return Model("", Mount.FLOOR, (radius * 2, height, radius * 2), draw)
