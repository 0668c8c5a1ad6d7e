"""Chairs: on four legs, on castors, a shell on thin legs, and upholstered."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Frame
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import BLACK, PLASTICS, STEEL, WHITE, WOODS, any_colour, mixed, pick
from noisedash.datasets.indoor.pen import Colour, Pen


@dataclass(frozen=True)
class _Measures:
    width: float
    seat: float
    depth: float
    height: float
    lean: float


def chair(rng: Generator) -> Model:
    """One of four kinds of chair, in any colour and turned any way."""
    width, depth = rng.uniform(0.4, 0.52), rng.uniform(0.4, 0.5)
    measures = _Measures(width, rng.uniform(0.42, 0.5), depth, rng.uniform(0.8, 1.0), rng.uniform(0.05, 0.25))
    kinds = (_four_legged, _four_legged, _office, _office, _shell, _upholstered)
    draw = kinds[int(rng.integers(len(kinds)))](rng, measures)
    return Model("chair", Mount.FLOOR, (width * 1.12, measures.height, depth * 1.18), draw)


def _four_legged(rng: Generator, size: _Measures) -> Callable[[Pen, Frame], None]:
    frame_colour = pick(rng, (*WOODS, STEEL, BLACK, WHITE))
    seat_colour = frame_colour if rng.random() < 0.5 else any_colour(rng)
    leg = rng.uniform(0.025, 0.045)
    slats = int(rng.integers(0, 5))
    arms = rng.random() < 0.25

    def draw(pen: Pen, frame: Frame) -> None:
        x, z = size.width / 2 - leg / 2, size.depth / 2 - leg / 2
        for side in (-x, x):
            pen.box(frame.moved(side, 0, z), (leg, size.seat, leg), frame_colour)
            pen.box(frame.moved(side, 0, -z), (leg, size.seat, leg), frame_colour)
        seat = pen.box(frame.moved(y=size.seat), (size.width, 0.045, size.depth), seat_colour)
        back = frame.moved(y=size.seat + 0.03, z=-z).tilted(size.lean)
        rise = size.height - size.seat - 0.03
        for side in (-x, x):
            pen.box(back.moved(side), (leg, rise, leg), frame_colour, None if not pen.is_before(frame) else seat + 0.2)
        _back_rest(pen, back, size.width - leg * 2, rise, slats, (frame_colour, seat_colour))
        if arms:
            for side in (-x, x):
                pen.box(frame.moved(side, size.seat + 0.2, 0), (leg * 1.2, 0.03, size.depth * 0.9), frame_colour)
                pen.box(frame.moved(side, size.seat, z), (leg, 0.2, leg), frame_colour)

    return draw


def _back_rest(pen: Pen, back: Frame, width: float, rise: float, slats: int, colours: tuple[Colour, Colour]) -> None:
    rails, panel = colours
    if slats == 0:
        pen.box(back.moved(y=rise * 0.35), (width * 1.02, rise * 0.62, 0.03), panel)
        return
    pen.box(back.moved(y=rise * 0.86), (width * 1.06, rise * 0.14, 0.028), rails)
    if slats < 3:
        for row in range(slats):
            pen.box(back.moved(y=rise * (0.35 + 0.27 * row)), (width, rise * 0.12, 0.022), rails)
        return
    for column in range(slats):
        pen.box(back.moved(width * ((column + 0.5) / slats - 0.5)), (width * 0.09, rise * 0.88, 0.02), rails)


def _office(rng: Generator, size: _Measures) -> Callable[[Pen, Frame], None]:
    fabric = pick(rng, (*PLASTICS, BLACK, BLACK, (60, 70, 84)))
    metal = BLACK if rng.random() < 0.6 else STEEL
    arms = rng.random() < 0.6
    spin = rng.uniform(0, 1.2)
    tall = rng.uniform(0.4, 0.62)

    def draw(pen: Pen, frame: Frame) -> None:
        for arm in range(5):
            foot = frame.turned(spin + arm * 2 * np.pi / 5)
            pen.rod(foot, [(0, 0.1, 0.03), (0, 0.07, size.width * 0.56)], 0.022, metal)
            pen.turned(foot.moved(z=size.width * 0.56), [(0.024, 0.0), (0.03, 0.03), (0.02, 0.06)], BLACK)
        pen.rod(frame, [(0, 0.08, 0), (0, size.seat - 0.03, 0)], 0.028, metal)
        seat = pen.box(frame.moved(y=size.seat - 0.04), (size.width, 0.085, size.depth), fabric, taper=0.94)
        behind = not pen.is_before(frame)
        back = frame.moved(y=size.seat + 0.1, z=-size.depth * 0.5).tilted(size.lean)
        pen.rod(
            frame, [(0, size.seat - 0.02, -size.depth * 0.4), (0, size.seat + 0.2, -size.depth * 0.57)], 0.025, metal
        )
        pen.box(back, (size.width * 0.88, tall, 0.07), fabric, seat - 0.2 if behind else seat + 0.2, taper=0.86)
        if arms:
            for side in (-0.53, 0.53):
                x = side * size.width
                pen.rod(frame, [(x, size.seat, -0.05), (x, size.seat + 0.2, -0.02)], 0.018, metal)
                pen.box(frame.moved(x, size.seat + 0.2, 0.03), (0.06, 0.03, size.depth * 0.62), BLACK)

    return draw


def _shell(rng: Generator, size: _Measures) -> Callable[[Pen, Frame], None]:
    shell = any_colour(rng, (0.2, 0.9)) if rng.random() < 0.7 else pick(rng, PLASTICS)
    legs = pick(rng, (STEEL, BLACK, *WOODS))
    thick = rng.uniform(0.011, 0.02)

    def draw(pen: Pen, frame: Frame) -> None:
        x, z = size.width * 0.44, size.depth * 0.46
        for side_x in (-x, x):
            for side_z in (-z, z):
                pen.rod(frame, [(side_x, 0, side_z), (side_x * 0.75, size.seat, side_z * 0.7)], thick, legs)
        seat = pen.box(frame.moved(y=size.seat), (size.width * 0.94, 0.035, size.depth), shell, taper=1.05)
        behind = not pen.is_before(frame)
        back = frame.moved(y=size.seat + 0.02, z=-size.depth * 0.48).tilted(size.lean + 0.08)
        outline = _rounded(size.width * 0.98, size.height - size.seat)
        over = seat - 0.2 if behind else seat + 0.2
        panel = pen.sheet(back, outline, mixed(shell, BLACK, 0.1), over)
        hollow = outline * (0.86, 0.92, 1) + (0, 0.02, 0.004)
        pen.face(back, hollow, mixed(shell, WHITE, 0.06), panel)

    return draw


def _upholstered(rng: Generator, size: _Measures) -> Callable[[Pen, Frame], None]:
    fabric = any_colour(rng, (0.15, 0.6))
    legs = pick(rng, WOODS)
    wide = size.width * 1.1

    def draw(pen: Pen, frame: Frame) -> None:
        for x in (-0.42, 0.42):
            for z in (-0.42, 0.42):
                pen.box(frame.moved(x * wide, 0, z * size.depth), (0.035, 0.18, 0.035), legs)
        seat = pen.box(frame.moved(y=0.17), (wide * 0.98, size.seat - 0.2, size.depth), mixed(fabric, BLACK, 0.1))
        cushion = pen.box(frame.moved(y=size.seat - 0.04, z=0.02), (wide * 0.74, 0.09, size.depth * 0.94), fabric, seat)
        behind = not pen.is_before(frame)
        back = frame.moved(y=0.2, z=-size.depth * 0.46).tilted(size.lean * 0.6)
        over = cushion - 0.3 if behind else seat + 0.3
        pen.box(back, (wide, size.height - 0.22, 0.12), fabric, over)
        for side in (-0.46, 0.46):
            pen.box(frame.moved(side * wide, 0.17, 0.02), (wide * 0.13, size.seat + 0.02, size.depth * 0.95), fabric)

    return draw


def _rounded(width: float, height: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The outline (N, 3) of a back rest with round upper corners, standing on the origin."""
    arc = np.linspace(0, np.pi, 12)
    corner = width * 0.5
    x = np.concatenate([[-width * 0.4, width * 0.4], corner * np.cos(arc)])
    y = np.concatenate([[0.0, 0.0], height * 0.62 + height * 0.38 * np.sin(arc) ** 0.7])
    return np.stack([x, y, np.zeros_like(x)], axis=1)
