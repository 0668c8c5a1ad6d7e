"""A furnished room: what is placed where, which of it is seen, and where its boxes are."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import FloatArray
from noisedash.datasets.indoor.model import Mount
from noisedash.datasets.indoor.pen import Canvas, Image, Pen
from noisedash.datasets.indoor.placing import Placed, furnish
from noisedash.datasets.indoor.room import CANVAS_WH, Room, new_canvas, paint_room, sample_room

MIN_VISIBLE = 0.4
"""Nothing labelled stays in a picture of which less than this share is seen."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn scene: colours (H, W, 3), labels and boxes (M, 4), all on the canvas."""

    canvas: Canvas
    labels: tuple[str, ...]
    boxes: FloatArray


def draw_scene(rng: Generator) -> Picture:
    """Furnish and draw a room. What turns out to be mostly hidden is taken out and the room drawn again."""
    room = sample_room(rng)
    things = furnish(rng, room)
    seed = int(rng.integers(1 << 62))
    while True:
        canvas, shares = render(seed, room, things)
        hidden = {id(thing) for thing, share in shares if share < MIN_VISIBLE}
        if not hidden:
            break
        things = [thing for thing in things if id(thing) not in hidden and id(thing.support) not in hidden]
    labelled = [thing for thing in things if thing.model.label]
    boxes = [owner_box(canvas.owner, number) for number in range(1, len(labelled) + 1)]
    return Picture(canvas, tuple(thing.model.label for thing in labelled), np.array(boxes).reshape(-1, 4))


def owner_box(owner: Image, number: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the pixels that a thing owns.

    >>> owner_box(np.array([[0, 0, 0], [0, 1, 1]], np.uint8), 1)
    (1.0, 1.0, 3.0, 2.0)
    """
    left, top, width, height = cv2.boundingRect(np.asarray(owner == number, dtype=np.uint8))
    return float(left), float(top), float(left + width), float(top + height)


def render(seed: int, room: Room, things: list[Placed]) -> tuple[Canvas, list[tuple[Placed, float]]]:
    """Draw a room and its things; with each labelled thing the share of it that is seen."""
    canvas = new_canvas()
    pen = Pen(room.camera, canvas, room.light)
    paint_room(np.random.default_rng(seed), room, pen)
    _cast_shadows(pen, room, things)
    numbers = {id(thing): number for number, thing in enumerate((t for t in things if t.model.label), start=1)}
    whole: dict[int, int] = {}
    for thing in sorted(things, key=lambda placed: -placed.distance):
        number = numbers.get(id(thing), 0)
        thing.model.draw(pen, thing.frame)
        pen.flush(number)
        if number:
            whole[number] = int(np.count_nonzero(canvas.owner == number))
    labelled = [thing for thing in things if thing.model.label]
    seen = [int(np.count_nonzero(canvas.owner == number)) for number in range(1, len(labelled) + 1)]
    return canvas, [(thing, seen[n] / max(whole[n + 1], 1)) for n, thing in enumerate(labelled)]


def _cast_shadows(pen: Pen, room: Room, things: list[Placed]) -> None:
    """Darken the floor and the walls softly where things keep the light off."""
    scale = 4
    shade = np.zeros((CANVAS_WH[1] // scale, CANVAS_WH[0] // scale), np.uint8)
    for thing in things:
        outline = _shadow_outline(room, thing)
        if outline is not None:
            hull = cv2.convexHull(np.round(room.camera.project(outline) / scale * 16).astype(np.int32))
            layer = np.zeros_like(shade)
            cv2.fillConvexPoly(layer, hull, 88 if thing.model.mount is Mount.FLOOR else 64, cv2.LINE_AA, 4)
            shade = np.maximum(shade, layer)
    soft = cv2.resize(cv2.GaussianBlur(shade, (0, 0), 1.6), CANVAS_WH, interpolation=cv2.INTER_LINEAR)
    kept = cv2.merge([255 - soft] * 3)
    cv2.multiply(pen.canvas.colour, kept, dst=pen.canvas.colour, scale=1 / 255)


def _shadow_outline(room: Room, thing: Placed) -> FloatArray | None:
    """Room points (N, 3) whose hull is the shadow on the floor or the wall; None for what casts none there."""
    width, height, depth = thing.model.size
    light = room.light
    if thing.model.mount is Mount.FLOOR:
        reach = min(0.22, height * 0.25)
        away = np.array([-light[0], 0.0, -light[2]]) * reach
        x, z = width * 0.52, depth * 0.52
        footprint = thing.frame.at([(-x, 0, -z), (x, 0, -z), (x, 0, z), (-x, 0, z)])
        return np.concatenate([footprint, footprint + away])
    if thing.model.mount is Mount.WALL:
        along = -(light - (light @ thing.frame.axes[2]) * thing.frame.axes[2]) * min(depth * 0.9, 0.12)
        x, y = width / 2, height / 2
        corners = thing.frame.at([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)])
        return np.concatenate([corners, corners + along])
    return None
