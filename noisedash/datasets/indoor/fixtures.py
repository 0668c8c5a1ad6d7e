"""Exit signs, fire extinguishers and clocks."""

from itertools import pairwise

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.faces import clock_face, exit_face
from noisedash.datasets.indoor.geometry import Frame
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import (
    BLACK,
    PLASTICS,
    REDS,
    STEEL,
    WHITE,
    WOODS,
    mixed,
    pick,
    round_mask,
)
from noisedash.datasets.indoor.pen import Colour, Pen

_WIRE_M = 0.05


def exit_sign(rng: Generator) -> Model:
    """A lit or unlit sign, on the wall, across it on a bracket, or hanging from the ceiling."""
    wide = rng.random() < 0.55
    height = rng.uniform(0.17, 0.3)
    width = height * (2.4 if wide else 1.6) * rng.uniform(0.94, 1.06)
    depth = rng.uniform(0.02, 0.09)
    face, glow = exit_face(rng, wide), bool(rng.random() < 0.6)
    case = pick(rng, (WHITE, STEEL, (60, 62, 66), (28, 110, 70)))
    hanging = rng.random() < 0.25

    def plate(pen: Pen, middle: Frame) -> None:
        body = pen.box(middle.moved(y=-height / 2), (width, height, depth), case)
        pen.picture(middle.moved(z=depth / 2 + 0.001), (width * 0.96, height * 0.93), face, body, glow)
        pen.picture(middle.turned(np.pi).moved(z=depth / 2 + 0.001), (width * 0.96, height * 0.93), face, body, glow)

    def on_wall(pen: Pen, frame: Frame) -> None:
        plate(pen, frame.moved(z=depth / 2))

    def from_ceiling(pen: Pen, frame: Frame) -> None:
        for side in (-0.35, 0.35):
            pen.rod(frame, [(side * width, 0, 0), (side * width, -_WIRE_M, 0)], 0.006, STEEL)
        plate(pen, frame.moved(y=-_WIRE_M - height / 2))

    if hanging:
        return Model("exit sign", Mount.CEILING, (width, height + _WIRE_M, depth), from_ceiling, turn=0.7)
    return Model("exit sign", Mount.WALL, (width, height, depth), on_wall, heights=(1.5, 2.75))


def clock(rng: Generator) -> Model:
    """A round or square wall clock."""
    side = rng.uniform(0.24, 0.46)
    square = rng.random() < 0.2
    depth = rng.uniform(0.02, 0.05)
    dark = rng.random() < 0.25
    dial = pick(rng, ((34, 36, 42), (30, 50, 70))) if dark else pick(rng, (WHITE, (238, 230, 210), (220, 228, 232)), 5)
    ink = WHITE if dark else BLACK
    rim = pick(rng, (*PLASTICS, *WOODS, STEEL, WHITE, BLACK, (198, 160, 70)))
    face = clock_face(rng, dial, ink)

    def draw(pen: Pen, frame: Frame) -> None:
        if square:
            body = pen.box(frame.moved(y=-side / 2, z=depth / 2), (side, side, depth), rim)
            pen.picture(frame.moved(z=depth + 0.001), (side * 0.88, side * 0.88), face, body)
            return
        away = frame.tilted(-np.pi / 2)
        body = pen.turned(away, [(side / 2, 0.0), (side / 2, depth), (side * 0.47, depth * 1.15)], rim, 0.3)
        pen.picture(frame.moved(z=depth * 1.15 + 0.001), (side * 0.89, side * 0.89), round_mask(face), body)

    return Model("clock", Mount.WALL, (side, side, depth * 1.15), draw, heights=(1.2, 2.7))


def fire_extinguisher(rng: Generator) -> Model:
    """A red bottle with a label, valve, gauge and hose; on a bracket, or on the floor."""
    height, radius = rng.uniform(0.38, 0.6), rng.uniform(0.062, 0.095)
    red = pick(rng, REDS, 6)
    label = _extinguisher_label(rng)
    metal = pick(rng, (BLACK, STEEL, (196, 170, 90)), 5)
    horn = rng.random() < 0.3
    hose = -1.0 if rng.random() < 0.5 else 1.0
    spin = rng.uniform(-0.7, 0.7)
    on_floor = rng.random() < 0.3

    def bottle(pen: Pen, base: Frame) -> None:
        shoulder = height * 0.74
        profile = [(radius * 0.93, 0.0), (radius, 0.02), (radius, shoulder)]
        profile += [(radius * 0.82, shoulder + radius * 0.5), (radius * 0.3, shoulder + radius * 0.85)]
        body = pen.turned(base, profile, red, 0.75)
        _wrap(pen, base.turned(spin), radius * 1.004, (shoulder * 0.3, shoulder * 0.78), label, body)
        neck = shoulder + radius * 0.8
        valve = pen.turned(base.moved(y=neck), [(radius * 0.3, 0.0), (radius * 0.3, height - neck - 0.05)], metal, 0.4)
        top = base.turned(spin + 0.6).moved(y=height - 0.055)
        pen.box(top.moved(x=radius * 0.5), (radius * 1.7, 0.018, 0.022), BLACK, valve)
        pen.box(top.moved(x=radius * 0.6, y=0.035).rolled(0.3), (radius * 1.7, 0.014, 0.02), metal, valve)
        pen.disc(base.turned(spin).moved(y=height - 0.07, z=radius * 0.34), 0.019, WHITE, valve)
        _hose(pen, base.turned(spin * 0.5), radius, (height, shoulder), hose, horn)

    def on_wall(pen: Pen, frame: Frame) -> None:
        pen.box(frame.moved(y=-0.03, z=0.01), (radius * 1.3, 0.06, 0.03), STEEL)
        bottle(pen, frame.moved(y=-height / 2, z=radius + 0.03))

    size = (radius * 3.1, height, radius * 2.2 + 0.03)
    if on_floor:
        return Model("fire extinguisher", Mount.FLOOR, size, bottle)
    return Model("fire extinguisher", Mount.WALL, size, on_wall, heights=(0.35, 1.5))


def _wrap(pen: Pen, base: Frame, radius: float, span: tuple[float, float], label: Colour, body: float) -> None:
    """A label round the front third of a bottle, in strips, with a darker stripe of print."""
    angles = np.linspace(-0.95, 0.95, 7)
    for start, end in pairwise(angles.tolist()):
        strip = base.turned((start + end) / 2).moved(z=radius)
        half = radius * np.tan((end - start) / 2)
        low, high = span
        pen.face(strip, [(-half, low, 0), (half, low, 0), (half, high, 0), (-half, high, 0)], label, body)
        for line in (0.35, 0.6, 0.82):
            y = low + (high - low) * line
            band = [(-half, y, 0), (half, y, 0), (half, y + 0.022, 0), (-half, y + 0.022, 0)]
            pen.face(strip, band, mixed(label, BLACK, 0.65), body - 1e-3)


def _extinguisher_label(rng: Generator) -> Colour:
    return pick(rng, (WHITE, (244, 226, 120), (236, 232, 222), (200, 210, 220)), 6)


def _hose(pen: Pen, base: Frame, radius: float, heights: tuple[float, float], side: float, horn: bool) -> None:
    """From the valve over the shoulder and down the side; a black horn or a nozzle at its end."""
    height, shoulder = heights
    out = radius * 1.28 * side
    start, end = (radius * 0.3 * side, height - 0.06), (out, shoulder * 0.35)
    curve = [(*start, 0.02), (out * 0.9, height - 0.045, 0.025), (out * 1.06, shoulder * 0.85, 0.03), (*end, 0.03)]
    bottle = float(np.linalg.norm(pen.camera.sees(base.at((0, height / 2, 0)))))
    pen.rod(base, curve, 0.011, BLACK, bottle - 0.01)
    nozzle = [(out, shoulder * 0.38, 0.03), (out, shoulder * 0.12, 0.03)]
    pen.rod(base, nozzle, 0.026 if horn else 0.015, BLACK, bottle - 0.011)
