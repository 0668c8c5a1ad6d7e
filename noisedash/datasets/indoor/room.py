"""The room: walls and a floor with their materials, seen by a camera, in a light."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.geometry import Camera, FloatArray, Frame, clip_to_front, looking, standing
from noisedash.datasets.indoor.materials import FLOORS, MATERIAL_PX, PLAIN_GREY, WALL_SHARES, WALLS, material
from noisedash.datasets.indoor.paint import WHITE, WOODS, mixed, pick
from noisedash.datasets.indoor.pen import SUBPIXEL_BITS, Canvas, Colour, Image, Pen

_CEILING: Colour = (228, 228, 226)
CANVAS_WH = (640, 480)
"""Twice the size of the images: drawn large, then averaged down."""

_WALL_COLOURS: tuple[Colour, ...] = (
    (236, 232, 222),
    (240, 238, 234),
    (226, 218, 200),
    (206, 216, 208),
    (204, 216, 228),
    (232, 214, 200),
    (190, 196, 200),
    (222, 204, 160),
    (150, 170, 176),
    (176, 190, 160),
    (200, 150, 130),
    (96, 112, 128),
    (236, 226, 190),
)
_FLOOR_COLOURS: tuple[Colour, ...] = (
    *WOODS,
    (150, 152, 154),
    (120, 124, 130),
    (200, 196, 188),
    (92, 100, 118),
    (110, 96, 88),
    (140, 120, 100),
    (176, 170, 160),
)


@dataclass(frozen=True, eq=False)
class Room:
    """A corner of a room: the wall ahead, perhaps one at the side, the floor and the ceiling."""

    camera: Camera
    light: FloatArray
    depth: float
    """How far ahead the wall is, metres."""
    side: float
    """Where the side wall is to the right (or, if negative, to the left)."""
    height: float

    def back_wall(self) -> Frame:
        """Its origin is on the floor, ahead."""
        return standing((0.0, 0.0, self.depth), 0.0)

    def side_wall(self) -> Frame:
        """Its origin is on the floor, level with the camera."""
        return standing((self.side, 0.0, 0.0), np.pi / 2 if self.side < 0 else -np.pi / 2)

    def floor(self) -> Frame:
        """Right is the room's right, up is ahead, out is up."""
        return standing((0.0, 0.0, 0.0), 0.0).tilted(np.pi / 2)


def sample_room(rng: Generator) -> Room:
    """A room and a place in it to look from."""
    depth, height = rng.uniform(2.0, 3.8), rng.uniform(2.5, 3.0)
    side = (1.0 if rng.random() < 0.5 else -1.0) * rng.uniform(0.9, 3.2)
    eye = rng.uniform(1.15, 1.75)
    pitch = np.radians(rng.uniform(-24, 10))
    yaw = np.radians(rng.uniform(-26, 26))
    width = CANVAS_WH[0]
    camera = looking((0.0, eye, 0.0), yaw, pitch, width * rng.uniform(0.92, 1.2), CANVAS_WH)
    light = np.array([rng.uniform(-0.7, 0.7), rng.uniform(0.5, 1.0), rng.uniform(-0.9, -0.25)])
    return Room(camera, light / np.linalg.norm(light), depth, side, height)


def paint_room(rng: Generator, room: Room, pen: Pen) -> None:
    """Lay floor, ceiling, walls and skirting boards on the canvas."""
    wall = pick(rng, _WALL_COLOURS, 8)
    accent = pick(rng, _WALL_COLOURS, 8) if rng.random() < 0.3 else wall
    floor = pick(rng, _FLOOR_COLOURS, 8)
    wide = 6.0
    floor_kind, wall_kind = int(rng.integers(len(FLOORS))), int(rng.choice(len(WALLS), p=WALL_SHARES))
    ceiling = standing((0.0, room.height, 0.0), 0.0).tilted(-np.pi / 2)
    _lay(pen, ceiling, (-wide, -room.depth, wide, 1.0), material("plain", 0), mixed(_CEILING, wall, 0.2), 2.0)
    kind, metres = FLOORS[floor_kind]
    _lay(pen, room.floor(), (-wide, -1.0, wide, room.depth), material(kind, int(rng.integers(4))),
         pen.lit(floor, room.floor().axes[2]), metres)  # fmt: skip
    kind, metres = WALLS[wall_kind]
    for frame, colour, left, right in (
        (room.back_wall(), accent, *((-wide, room.side) if room.side > 0 else (room.side, wide))),
        (room.side_wall(), wall, *((-room.depth, 1.0) if room.side > 0 else (-1.0, room.depth))),
    ):
        shown = pen.lit(colour, frame.axes[2])
        _lay(pen, frame, (left, 0.0, right, room.height), material(kind, int(rng.integers(4))), shown, metres)
    _skirting(rng, room, pen, wall)


def _skirting(rng: Generator, room: Room, pen: Pen, wall: Colour) -> None:
    colour = pick(rng, (WHITE, mixed(wall, (40, 40, 40), 0.4), *WOODS), 5)
    height = rng.uniform(0.05, 0.13)
    wainscot = rng.random() < 0.2
    for frame, left, right in (
        (room.back_wall(), -6.0 if room.side > 0 else room.side, room.side if room.side > 0 else 6.0),
        (room.side_wall(), -room.depth if room.side > 0 else -1.0, 1.0 if room.side > 0 else room.depth),
    ):
        shown = pen.lit(colour, frame.axes[2])
        _strip(pen, frame, (left, 0.0, right, height), shown)
        if wainscot:
            _strip(pen, frame, (left, 0.95, right, 1.0), shown)


def _strip(pen: Pen, frame: Frame, area: tuple[float, float, float, float], colour: Colour) -> None:
    corners = _visible(pen.camera, frame, area)
    if len(corners) > 2:
        pen.canvas.polygon(corners, colour, 0)


def _visible(camera: Camera, frame: Frame, area: tuple[float, float, float, float]) -> FloatArray:
    left, low, right, high = area
    corners = frame.at([(left, low, 0), (right, low, 0), (right, high, 0), (left, high, 0)])
    seen = clip_to_front(camera.sees(corners))
    return camera.pixels(seen)


def _lay(
    pen: Pen,
    frame: Frame,
    area: tuple[float, float, float, float],
    material: Image,
    colour: Colour,
    metres: float,
) -> None:
    """Cover an area (left, low, right, high, metres on the frame's plane) with a repeated material of that colour."""
    corners = _visible(pen.camera, frame, area)
    if len(corners) < 3:
        return
    mask = np.zeros((CANVAS_WH[1], CANVAS_WH[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0:
        return
    to_metres = np.diag([metres / MATERIAL_PX, metres / MATERIAL_PX, 1.0])
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    matrix = shift @ pen.camera.plane_to_pixels(frame) @ to_metres
    grey = cv2.warpPerspective(material, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    shades = np.clip(np.arange(256)[:, None] * np.asarray(colour) / PLAIN_GREY, 0, 255).astype(np.uint8)
    tinted = np.asarray(cv2.LUT(cv2.merge([grey, grey, grey]), shades[None]))
    part = (slice(top, top + height), slice(left, left + width))
    cv2.copyTo(tinted, mask[part], pen.canvas.colour[part])


def new_canvas() -> Canvas:
    """An empty canvas."""
    width, height = CANVAS_WH
    return Canvas(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8))
