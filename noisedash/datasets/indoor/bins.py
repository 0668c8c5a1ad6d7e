"""Trash bins: open baskets, swing lids, pedal bins and bins for recycling."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Frame, rectangle
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import BLACK, PLASTICS, STEEL, WHITE, any_colour, blank, fill, mixed, pick
from noisedash.datasets.indoor.pen import Colour, Image, Pen

_Draw = Callable[[Pen, Frame], None]


def trash_bin(rng: Generator) -> Model:
    """One of four kinds of bin."""
    kinds = (_basket, _basket, _swing, _pedal, _recycling)
    size, draw = kinds[int(rng.integers(len(kinds)))](rng)
    return Model("trash bin", Mount.FLOOR, size, draw, turn=0.8)


def _basket(rng: Generator) -> tuple[tuple[float, float, float], _Draw]:
    """Open and wider at the top: of plastic with ribs, of mesh, with or without a liner, with paper or without."""
    height, radius = rng.uniform(0.27, 0.42), rng.uniform(0.12, 0.17)
    colour = pick(rng, (*PLASTICS, BLACK, STEEL))
    liner = pick(rng, (WHITE, (30, 30, 34), (120, 160, 210))) if rng.random() < 0.4 else None
    mesh = rng.random() < 0.35
    litter = [
        (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.25, 0.4)) for _ in range(rng.integers(0, 4))
    ]

    def draw(pen: Pen, frame: Frame) -> None:
        profile = [
            (radius * 0.78, 0.0),
            (radius * 0.95, height * 0.8),
            (radius, height * 0.95),
            (radius * 1.04, height),
        ]
        body = pen.turned(frame, profile, colour)
        if mesh:
            _mesh(pen, frame, radius, height, mixed(colour, WHITE, 0.3), body)
        top = frame.moved(y=height).tilted(np.pi / 2)
        if pen.camera.position[1] > height:
            rim = pen.disc(top, radius * 1.04, liner or mixed(colour, WHITE, 0.15), body)
            inside = pen.disc(top, radius * 0.92, mixed(liner or colour, BLACK, 0.65), rim)
            for x, z, size in litter:
                place = top.moved(x * radius, z * radius).turned(x)
                inside = pen.disc(place, radius * size, mixed(WHITE, colour, abs(x)), inside)
        if liner:
            pen.turned(frame, [(radius * 1.0, height * 0.9), (radius * 1.06, height * 0.99)], liner, over=body + 5e-5)

    return (radius * 2.08, height, radius * 2.08), draw


def _mesh(pen: Pen, frame: Frame, radius: float, height: float, colour: Colour, body: float) -> None:
    towards = np.arctan2(*((pen.camera.position - frame.origin) @ frame.axes.T)[[0, 2]])
    for angle in np.linspace(towards - 1.3, towards + 1.3, 9):
        low = (np.sin(angle) * radius * 0.79, 0.02, np.cos(angle) * radius * 0.79)
        high = (np.sin(angle) * radius * 0.98, height * 0.9, np.cos(angle) * radius * 0.98)
        pen.rod(frame, [low, high], 0.003, colour, body)


def _swing(rng: Generator) -> tuple[tuple[float, float, float], _Draw]:
    """A tall box with a lid like a small roof and a dark flap."""
    width, depth, height = rng.uniform(0.28, 0.4), rng.uniform(0.24, 0.34), rng.uniform(0.45, 0.72)
    body_colour = pick(rng, (*PLASTICS, STEEL, WHITE))
    lid_colour = pick(rng, (BLACK, WHITE, STEEL, *PLASTICS))
    flap = mixed(lid_colour, BLACK, 0.45)

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame, (width * 0.88, height * 0.74, depth * 0.88), body_colour, taper=1.12)
        collar = pen.box(frame.moved(y=height * 0.73), (width, 0.045, depth), lid_colour, body)
        slope = height * 0.27 - 0.045
        top = frame.moved(y=height * 0.73 + 0.045)
        roof = pen.box(top, (width * 0.98, slope, depth * 0.98), lid_colour, collar, taper=0.66)
        low, high = height * 0.73 + 0.06, height * 0.73 + 0.045 + slope * 0.85
        for towards in (frame, frame.turned(np.pi)):
            z_low, z_high = depth * 0.49 + 0.002, depth * 0.36 + 0.002
            corners = [
                (-width * 0.36, low, z_low),
                (width * 0.36, low, z_low),
                (width * 0.3, high, z_high),
                (-width * 0.3, high, z_high),
            ]
            pen.face(towards, corners, flap, roof)

    return (width, height, depth), draw


def _pedal(rng: Generator) -> tuple[tuple[float, float, float], _Draw]:
    """A cylinder of metal or paint with a domed lid and a pedal."""
    height, radius = rng.uniform(0.3, 0.6), rng.uniform(0.11, 0.17)
    colour = STEEL if rng.random() < 0.5 else any_colour(rng)
    lid = mixed(colour, BLACK, rng.uniform(0.1, 0.7))

    def draw(pen: Pen, frame: Frame) -> None:
        base = pen.turned(frame, [(radius * 1.03, 0.0), (radius * 1.03, 0.04)], BLACK)
        body = pen.turned(frame, [(radius, 0.04), (radius, height * 0.86)], colour, 0.5, base)
        dome = [
            (radius * 1.03, height * 0.86),
            (radius * 1.03, height * 0.9),
            (radius * 0.75, height * 0.97),
            (radius * 0.2, height),
        ]
        pen.turned(frame, dome, lid, 0.5, body)
        pen.box(
            frame.moved(y=0.012, z=radius * 1.1),
            (0.07, 0.018, 0.07),
            BLACK,
            base if pen.is_before(frame) else base + 0.1,
        )

    return (radius * 2.06, height, radius * 2.3), draw


def _recycling(rng: Generator) -> tuple[tuple[float, float, float], _Draw]:
    """A box with a coloured lid with a slot, and the sign of what goes in."""
    width, depth, height = rng.uniform(0.3, 0.42), rng.uniform(0.28, 0.4), rng.uniform(0.5, 0.85)
    body_colour = pick(rng, ((70, 74, 80), (150, 154, 158), WHITE, (40, 90, 150), (40, 120, 70)))
    lid_colour = pick(rng, ((30, 90, 180), (240, 190, 30), (40, 140, 70), (200, 50, 40), BLACK))
    mark = _arrows(body_colour, lid_colour if rng.random() < 0.5 else WHITE)

    def draw(pen: Pen, frame: Frame) -> None:
        body = pen.box(frame, (width * 0.9, height * 0.88, depth * 0.9), body_colour, taper=1.08)
        lean = np.arctan(0.036 * depth / height)
        face = frame.moved(y=height * 0.5, z=depth * 0.471).tilted(-lean)
        pen.picture(face, (width * 0.5, width * 0.5), mark, body)
        lid = pen.box(frame.moved(y=height * 0.87), (width, height * 0.13, depth), lid_colour, body, taper=0.92)
        slot = frame.moved(y=height * 1.002).tilted(np.pi / 2)
        pen.face(slot, rectangle(width * 0.6, depth * 0.26), BLACK, lid)

    return (width, height, depth), draw


def _arrows(ground: Colour, ink: Colour) -> Image:
    """Three bent arrows that chase each other."""
    texture = blank(64, 64, ground)
    for turn in range(3):
        angle = turn * 2 * np.pi / 3
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shaft = np.array([(-14, 12), (6, 12), (6, 5), (17, 16), (6, 27), (6, 20), (-18, 20)], dtype=np.float64)
        fill(texture, shaft @ rotation.T + (32, 34), ink)
    return texture
