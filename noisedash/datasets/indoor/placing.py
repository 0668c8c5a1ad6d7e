"""Furnishing a room: what is put where, so that it is in view, stands free and hides little of the rest."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor import clutter
from noisedash.datasets.indoor.bins import trash_bin
from noisedash.datasets.indoor.chairs import chair
from noisedash.datasets.indoor.devices import printer, screen
from noisedash.datasets.indoor.fixtures import clock, exit_sign, fire_extinguisher
from noisedash.datasets.indoor.geometry import FloatArray, Frame, standing
from noisedash.datasets.indoor.model import Model, Mount
from noisedash.datasets.indoor.room import CANVAS_WH, Room

Maker = Callable[[Generator], Model]

LABELLED: dict[str, Maker] = {
    "exit sign": exit_sign,
    "fire extinguisher": fire_extinguisher,
    "chair": chair,
    "clock": clock,
    "trash bin": trash_bin,
    "screen": screen,
    "printer": printer,
}
_CHANCES = {
    "exit sign": 0.95,
    "fire extinguisher": 0.82,
    "chair": 2.0,
    "clock": 0.75,
    "trash bin": 1.8,
    "screen": 1.0,
    "printer": 1.5,
}
"""How often each is tried; what needs a floor in view fails more often."""

OBJECT_COUNTS = (0.34, 0.36, 0.2, 0.1)
"""Chances of one, two, three, four labelled things."""
_TRIES = 14
_SMALLEST_PX = (36.0, 60.0)
"""Shorter and longer side, on the canvas."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A thing in its place."""

    model: Model
    frame: Frame
    distance: float
    """From the camera; things are drawn from far to near. Things on walls count as behind all others."""
    bounds: FloatArray
    """(4,) left, top, right, bottom on the canvas, not clipped."""
    support: "Placed | None" = None


def furnish(rng: Generator, room: Room) -> list[Placed]:
    """One to four labelled things, and clutter round them."""
    things: list[Placed] = []
    crowding = 0.5 if rng.random() < 0.4 else 0.12
    wanted = 1 + int(rng.choice(len(OBJECT_COUNTS), p=OBJECT_COUNTS))
    names = list(_CHANCES)
    chances = np.array(list(_CHANCES.values())) / sum(_CHANCES.values())
    for _ in range(wanted * 6):
        if sum(bool(thing.model.label) for thing in things) == wanted:
            break
        model = LABELLED[names[int(rng.choice(len(names), p=chances))]](rng)
        things += _place(rng, room, things, model, crowding)
    for makers, count in (
        (clutter.ON_WALLS, rng.integers(1, 6)),
        (clutter.ON_FLOORS, rng.integers(0, 4)),
        (clutter.ON_TOPS, rng.integers(0, 3)),
    ):
        for _ in range(int(count)):
            model = makers[int(rng.integers(len(makers)))](rng)
            things += _place(rng, room, things, model, crowding)
    return things


def _place(rng: Generator, room: Room, things: list[Placed], model: Model, crowding: float) -> list[Placed]:
    """The thing in a free place, with a desk under it where it needs one and none is there; nothing if none fits."""
    if model.mount is Mount.TOP:
        return _place_on_top(rng, room, things, model, crowding)
    for _ in range(_TRIES):
        frame = _propose(rng, room, model)
        placed = None if frame is None else _if_it_fits(room, things, model, frame, crowding)
        if placed is not None:
            return [placed]
    return []


def _place_on_top(rng: Generator, room: Room, things: list[Placed], model: Model, crowding: float) -> list[Placed]:
    supports = [thing for thing in things if thing.model.top_m is not None]
    new: list[Placed] = []
    if not supports or rng.random() < 0.3:
        if not model.label:
            return []
        new = _place(rng, room, things, clutter.SUPPORTS[int(rng.integers(len(clutter.SUPPORTS)))](rng), crowding)
        supports = new
    if not supports:
        return []
    support = supports[int(rng.integers(len(supports)))]
    for _ in range(_TRIES):
        slack = max(support.model.size[0] - model.size[0], 0.0) / 2
        x, z = rng.uniform(-slack, slack), rng.uniform(-0.06, 0.06)
        frame = support.frame.moved(x, support.model.top_m or 0.0, z).turned(rng.uniform(-1, 1) * min(model.turn, 0.5))
        placed = _if_it_fits(room, [*things, *new], model, frame, crowding, support)
        if placed is not None:
            return [*new, placed]
    return []


def _propose(rng: Generator, room: Room, model: Model) -> Frame | None:
    """A place somewhere in view that suits the thing, or None."""
    if model.mount is Mount.WALL:
        return _on_a_wall(rng, room, model)
    if model.mount is Mount.CEILING:
        return _in_the_room(rng, room, model, room.height - rng.uniform(0.0, 0.25), (1.4, room.depth - 0.2))
    return _in_the_room(rng, room, model, 0.0, (1.35, room.depth - model.size[2] / 2 - 0.04))


def _in_the_room(
    rng: Generator, room: Room, model: Model, height: float, distances: tuple[float, float]
) -> Frame | None:
    if distances[1] <= distances[0]:
        return None
    column = rng.uniform(0.02, 0.98) * CANVAS_WH[0]
    direction = room.camera.ray((column, CANVAS_WH[1] / 2))
    ahead = rng.uniform(*distances)
    x = direction[0] / direction[2] * ahead
    reach = max(model.size[0], model.size[2]) / 2
    if (room.side > 0 and x > room.side - reach) or (room.side < 0 and x < room.side + reach):
        return None
    facing = np.arctan2(-x, ahead) if abs(model.turn) < 1 else 0.0
    return standing((x, height, ahead), -facing * 0.5 + rng.uniform(-model.turn, model.turn))


def _on_a_wall(rng: Generator, room: Room, model: Model) -> Frame | None:
    wall = room.back_wall() if rng.random() < 0.7 else room.side_wall()
    direction = room.camera.ray((rng.uniform(0.02, 0.98) * CANVAS_WH[0], rng.uniform(0.02, 0.98) * CANVAS_WH[1]))
    towards = direction @ wall.axes[2]
    if towards > -1e-3:
        return None
    distance = ((wall.origin - room.camera.position) @ wall.axes[2]) / towards
    hit = room.camera.position + distance * direction
    height = hit[1] if model.heights[0] < model.heights[1] else model.heights[0]
    half_width, half_height = model.size[0] / 2, model.size[1] / 2
    if not model.heights[0] <= height <= model.heights[1] or height + half_height > room.height - 0.02:
        return None
    x, z = hit[0], hit[2]
    beyond_corner = abs(x) > abs(room.side) - half_width - 0.05 and x * room.side > 0
    if (wall.axes[2][2] < -0.5 and beyond_corner) or (
        abs(wall.axes[2][0]) > 0.5 and z > room.depth - half_width - 0.05
    ):
        return None
    return Frame(np.array([x, height, z]), wall.axes)


def _if_it_fits(
    room: Room, things: list[Placed], model: Model, frame: Frame, crowding: float, support: Placed | None = None
) -> Placed | None:
    corners = room.camera.sees(_cuboid(model, frame))
    if corners[:, 2].min() < 0.7:
        return None
    pixels = room.camera.pixels(corners)
    bounds = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    if not _in_view(bounds, bool(model.label)):
        return None
    distance = float(np.linalg.norm(corners.mean(axis=0)[[0, 2]]))
    if model.mount is Mount.WALL:
        distance += 100.0
    if support is not None:
        distance = support.distance - 1e-2 + 1e-3 * distance
    placed = Placed(model, frame, distance, bounds, support)
    return placed if all(_get_along(placed, other, crowding) for other in things) else None


def _in_view(bounds: FloatArray, labelled: bool) -> bool:
    """Whether enough of it is inside the picture, and it is neither tiny nor all that is seen."""
    clipped = np.clip(bounds, 0, (*CANVAS_WH, *CANVAS_WH))
    sides, whole = clipped[2:] - clipped[:2], bounds[2:] - bounds[:2]
    inside = float(sides.prod() / whole.prod())
    if not labelled:
        return inside > 0.25
    share = sides / CANVAS_WH
    return bool(
        inside > 0.75 and sides.min() > _SMALLEST_PX[0] and sides.max() > _SMALLEST_PX[1] and share.max() < 0.85
    )


def _get_along(new: Placed, old: Placed, crowding: float) -> bool:
    """Whether two things neither stand in each other nor hide too much of each other."""
    if old is new.support:
        return True
    overlap = _overlap(new.bounds, old.bounds)
    if new.model.mount is old.model.mount is Mount.WALL or (new.support is not None and new.support is old.support):
        return overlap <= 0
    if Mount.WALL not in (new.model.mount, old.model.mount) and _collide(new, old):
        return False
    far = max((new, old), key=lambda thing: thing.distance)
    return not far.model.label or overlap <= crowding * _area(far.bounds)


def _collide(first: Placed, second: Placed) -> bool:
    if Mount.FLOOR is not first.model.mount or Mount.FLOOR is not second.model.mount:
        return False
    gap = np.hypot(*(first.frame.origin - second.frame.origin)[[0, 2]])
    reach = sum((thing.model.size[0] + thing.model.size[2]) / 4 for thing in (first, second))
    return bool(gap < reach * 1.05)


def _overlap(first: FloatArray, second: FloatArray) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    return float(np.clip(sides, 0, None).prod())


def _area(bounds: FloatArray) -> float:
    return float((bounds[2:] - bounds[:2]).prod())


def _cuboid(model: Model, frame: Frame) -> FloatArray:
    """The corners (8, 3) of all that a thing takes up."""
    width, height, depth = model.size
    low = {Mount.WALL: -height / 2, Mount.CEILING: -height}.get(model.mount, 0.0)
    near, far = (depth, 0.0) if model.mount is Mount.WALL else (depth / 2, -depth / 2)
    return frame.at([(x, low + y, z) for x in (-width / 2, width / 2) for y in (0.0, height) for z in (near, far)])
