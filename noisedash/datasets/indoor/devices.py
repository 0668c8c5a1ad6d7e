"""Screens and printers."""

from collections.abc import Callable

from numpy.random import Generator

from noisedash.datasets.indoor.faces import screen_face
from noisedash.datasets.indoor.geometry import Frame, rectangle
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.paint import BLACK, STEEL, WHITE, mixed, pick
from noisedash.datasets.indoor.pen import Colour, Pen

_Draw = Callable[[Pen, Frame], None]
_CASES: tuple[Colour, ...] = (BLACK, BLACK, (62, 64, 68), (190, 194, 198), WHITE)


def screen(rng: Generator) -> Model:
    """A monitor on its foot, or a flat screen on the wall."""
    on_wall = rng.random() < 0.4
    width = rng.uniform(0.6, 1.1) if on_wall else rng.uniform(0.42, 0.68)
    height = width * rng.uniform(0.55, 0.64)
    bezel = rng.uniform(0.012, 0.026)
    case = pick(rng, _CASES, 5)
    face = screen_face(rng)
    glow = bool(rng.random() < 0.85)

    def panel(pen: Pen, middle: Frame) -> float:
        body = pen.box(middle.moved(y=-height / 2, z=-0.018), (width, height, 0.036), case)
        return pen.picture(middle.moved(z=0.001), (width - 2 * bezel, height - 2 * bezel), face, body, glow)

    if on_wall:
        return Model(
            "screen", Mount.WALL, (width, height, 0.06), lambda pen, frame: _hung(panel, pen, frame), heights=(0.9, 2.3)
        )
    foot, lean = rng.uniform(0.08, 0.14), rng.uniform(-0.02, 0.18)

    def draw(pen: Pen, frame: Frame) -> None:
        base = pen.box(frame, (width * 0.42, 0.016, 0.17), case)
        stem = pen.box(frame.moved(y=0.014, z=-0.05), (0.06, foot + height * 0.4, 0.025), mixed(case, BLACK, 0.2))
        middle = frame.moved(y=foot + height / 2, z=0.01).tilted(lean)
        order = min(base, stem) - 0.05 if pen.is_before(frame) else max(base, stem) + 0.05
        body = pen.box(middle.moved(y=-height / 2, z=-0.018), (width, height, 0.036), case, order)
        pen.picture(middle.moved(z=0.001), (width - 2 * bezel, height - 2 * bezel), face, body, glow)

    return Model("screen", Mount.TOP, (width, height + foot, 0.18), draw, turn=0.7)


def _hung(panel: Callable[[Pen, Frame], float], pen: Pen, frame: Frame) -> None:
    pen.box(frame.moved(y=-0.08, z=0.012), (0.2, 0.16, 0.024), BLACK)
    panel(pen, frame.moved(z=0.06))


def printer(rng: Generator) -> Model:
    """A small ink printer, a laser printer, or an office machine that stands on the floor."""
    kind = rng.random()
    if kind < 0.3:
        return _machine(rng)
    return _desk_printer(rng, laser=kind > 0.6)


def _desk_printer(rng: Generator, laser: bool) -> Model:
    width, depth = rng.uniform(0.38, 0.5), rng.uniform(0.32, 0.42)
    height = rng.uniform(0.24, 0.36) if laser else rng.uniform(0.15, 0.23)
    case = pick(rng, (WHITE, (214, 216, 218), (70, 72, 76), BLACK, (170, 174, 178)), 5)
    second = mixed(case, BLACK, 0.25) if rng.random() < 0.6 else mixed(case, WHITE, 0.5)
    feeder = rng.random() < 0.7
    lid = rng.uniform(0.2, 0.35)
    sheet = pick(rng, (WHITE, (236, 240, 246)), 3)

    def draw(pen: Pen, frame: Frame) -> None:
        if feeder:
            rear = frame.moved(y=height * 0.85, z=-depth * 0.42).tilted(0.35)
            rack = pen.box(rear, (width * 0.62, 0.12, 0.012), second)
            pen.sheet(rear.moved(z=0.01), _upright(width * 0.5, 0.19), sheet, rack)
        body = pen.box(frame, (width, height * (1 - lid), depth), case)
        top = pen.box(
            frame.moved(y=height * (1 - lid)), (width * 0.98, height * lid, depth * 0.98), second, body, taper=0.95
        )
        _printer_front(pen, frame, (width, height * (1 - lid), depth), sheet, body)
        if pen.is_before(frame):
            tray = frame.moved(y=height * 0.2, z=depth / 2 + 0.06)
            shelf = pen.box(tray, (width * 0.66, 0.012, 0.13), mixed(case, BLACK, 0.4), top - 0.05)
            pen.box(tray.moved(y=0.013), (width * 0.5, 0.008, 0.12), sheet, shelf)
        _panel(
            pen,
            frame.moved(-width * 0.3, height * (1 - lid * 0.5), depth * 0.485),
            width * 0.3,
            height * lid * 0.7,
            top,
        )

    return Model("printer", Mount.TOP, (width, height + (0.13 if feeder else 0), depth + 0.12), draw, turn=0.8)


def _printer_front(pen: Pen, frame: Frame, size: tuple[float, float, float], sheet: Colour, body: float) -> None:
    """The dark slot that the paper comes out of."""
    width, height, depth = size
    front = frame.moved(y=height * 0.42, z=depth / 2 + 0.001)
    slot = pen.face(front, rectangle(width * 0.72, height * 0.42), (24, 24, 26), body)
    pen.face(front.moved(y=-height * 0.1, z=0.001), rectangle(width * 0.54, height * 0.1), sheet, slot)


def _panel(pen: Pen, middle: Frame, width: float, height: float, over: float) -> None:
    """The operator's panel: a small display and a few keys."""
    panel = pen.face(middle, rectangle(width, height), (40, 42, 48), over)
    pen.face(middle.moved(-width * 0.18, 0, 0.001), rectangle(width * 0.5, height * 0.66), (120, 190, 220), panel)
    for key, colour in ((0.22, (70, 180, 90)), (0.36, (220, 90, 60))):
        pen.face(middle.moved(width * key, 0, 0.001), rectangle(width * 0.09, height * 0.4), colour, panel)


def _machine(rng: Generator) -> Model:
    """A copier: paper drawers below, a gap with printed sheets, the scanner above."""
    width, depth, height = rng.uniform(0.52, 0.66), rng.uniform(0.5, 0.62), rng.uniform(0.85, 1.12)
    case = pick(rng, (WHITE, (208, 210, 212), (176, 180, 186), (90, 92, 98)), 5)
    dark = mixed(case, BLACK, 0.55)
    drawers = int(rng.integers(2, 5))

    def draw(pen: Pen, frame: Frame) -> None:
        base = height * 0.6
        body = pen.box(frame, (width, base, depth), case)
        for drawer in range(drawers):
            y = base * (0.06 + 0.84 * drawer / drawers)
            front = frame.moved(0, y + base * 0.4 / drawers, depth / 2 + 0.001)
            edge = pen.face(front, rectangle(width * 0.94, base * 0.78 / drawers), mixed(case, BLACK, 0.1), body)
            pen.face(front.moved(y=base * 0.2 / drawers, z=0.001), rectangle(width * 0.3, 0.02), dark, edge)
        gap = pen.box(frame.moved(-width * 0.06, base, -0.03), (width * 0.84, height * 0.15, depth * 0.86), dark, body)
        pen.face(
            frame.moved(-width * 0.06, base + 0.02, depth * 0.4 + 0.003), rectangle(width * 0.55, 0.025), WHITE, gap
        )
        pillar = pen.box(frame.moved(width * 0.42, base), (width * 0.16, height * 0.15, depth), case, gap)
        scanner = pen.box(frame.moved(y=base + height * 0.15), (width, height * 0.13, depth), case, pillar)
        lid = pen.box(
            frame.moved(y=base + height * 0.28, z=-0.03),
            (width * 0.9, height * 0.12, depth * 0.85),
            STEEL,
            scanner,
            taper=0.9,
        )
        panel = frame.moved(width * 0.12, base + height * 0.27, depth / 2 + 0.03).tilted(0.7)
        _panel(pen, panel, width * 0.6, 0.13, lid - 0.01)

    return Model("printer", Mount.FLOOR, (width, height, depth), draw, turn=0.7)


def _upright(width: float, height: float) -> list[tuple[float, float, float]]:
    return [(-width / 2, 0.0, 0.0), (width / 2, 0.0, 0.0), (width / 2, height, 0.0), (-width / 2, height, 0.0)]
