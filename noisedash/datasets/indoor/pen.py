"""Solid things on a canvas: polygons, boxes, turned bodies, rods and pictures, lit and in perspective.

Shapes are queued and then drawn from far to near, for a thing at a time (painter's algorithm). The canvas keeps beside
its colours which thing owns each pixel: that is where the annotated boxes come from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisedash.datasets.indoor.geometry import Camera, FloatArray, Frame

Image = NDArray[np.uint8]
Colour = tuple[float, float, float]
"""Red, green, blue in [0, 255]."""

SUBPIXEL_BITS = 4
TURNED_SIDES = 20


@dataclass(frozen=True, eq=False)
class Canvas:
    """What has been drawn. H rows, W columns."""

    colour: Image
    """(H, W, 3) red, green, blue."""
    owner: Image
    """(H, W) number of the thing that is seen there, 0 for the room and everything without a number."""

    def polygon(self, corners: FloatArray, colour: Colour, owner: int) -> None:
        """Fill a polygon (N, 2) of pixels."""
        points = [np.round(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)]
        cv2.fillPoly(self.colour, points, colour, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.fillPoly(self.owner, points, owner, cv2.LINE_8, SUBPIXEL_BITS)

    def picture(self, texture: Image, corners: FloatArray, owner: int) -> None:
        """Lay a texture (h, w, 3), or (h, w, 4) with coverage, over the quadrilateral (4, 2) of its corners.

        The corners are those of the texture from its top left, clockwise.
        """
        height, width = self.owner.shape
        left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, (width, height))
        right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, (width, height))
        if right <= left or bottom <= top:
            return
        texture = _shrunk(texture, corners)
        rows, columns = texture.shape[:2]
        source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float32)
        target = (corners - (left, top)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        size = (int(right - left), int(bottom - top))
        warped = np.asarray(
            cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )
        coverage = np.zeros((size[1], size[0]), np.uint8)
        points = [np.round(target * (1 << SUBPIXEL_BITS)).astype(np.int32)]
        cv2.fillPoly(coverage, points, 255, cv2.LINE_AA, SUBPIXEL_BITS)
        if texture.shape[2] == 4:
            coverage = np.minimum(coverage, warped[..., 3])
        blend(self.colour[top:bottom, left:right], warped[..., :3], coverage)
        self.owner[top:bottom, left:right][coverage > 127] = owner


def blend(below: Image, above: Image, coverage: Image) -> None:
    """Lay `above` (h, w, 3) over `below`, in place, where `coverage` (h, w) in [0, 255] says."""
    share = coverage[..., None].astype(np.uint16)
    mixed = (above * share + below * (255 - share) + 127) // 255
    below[:] = mixed.astype(np.uint8)


@dataclass(eq=False)
class Pen:
    """Draws the parts of one thing at a time. Every shape returns its depth, for what is laid over it."""

    camera: Camera
    canvas: Canvas
    light: FloatArray
    """(3,) unit vector from the room towards the light."""
    _queue: list[tuple[float, int, Callable[[int], None]]] = field(default_factory=list)

    def flush(self, owner: int) -> None:
        """Draw what is queued, from far to near, as the thing of that number."""
        for _, _, draw in sorted(self._queue, key=lambda entry: (-entry[0], entry[1])):
            draw(owner)
        self._queue.clear()

    def is_before(self, frame: Frame) -> bool:
        """Whether the camera is on the side that the frame's out axis points to."""
        return bool((self.camera.position - frame.origin) @ frame.axes[2] > 0)

    def lit(self, colour: Colour, normal: FloatArray) -> Colour:
        """The colour of a surface whose unit normal in the room is (3,)."""
        return _scaled(colour, float(self._brightness(normal)))

    def face(self, frame: Frame, corners: ArrayLike, colour: Colour, over: float | None = None) -> float:
        """A flat polygon (N, 3), counter-clockwise as seen from outside; unseen from behind."""
        points = np.asarray(corners, dtype=np.float64)
        seen = self.camera.sees(frame.at(points))
        pixels = self.camera.pixels(seen)
        depth = self._depth(seen, over)
        if _signed_area(pixels) < 0:
            normal = np.cross(points[1] - points[0], points[2] - points[1])
            shown = self.lit(colour, normal / max(float(np.linalg.norm(normal)), 1e-12) @ frame.axes)
            self._add(depth, lambda owner: self.canvas.polygon(pixels, shown, owner))
        return depth

    def sheet(self, frame: Frame, corners: ArrayLike, colour: Colour, over: float | None = None) -> float:
        """A flat polygon (N, 3) that is seen from both sides, lit as its frame's out axis is."""
        seen = self.camera.sees(frame.at(corners))
        pixels = self.camera.pixels(seen)
        shown = self.lit(colour, frame.axes[2])
        depth = self._depth(seen, over)
        self._add(depth, lambda owner: self.canvas.polygon(pixels, shown, owner))
        return depth

    def box(
        self,
        frame: Frame,
        size: tuple[float, float, float],
        colour: Colour,
        over: float | None = None,
        taper: float = 1.0,
    ) -> float:
        """A box of width, height, depth that stands on the frame's origin; its top is `taper` times as wide."""
        widths = np.where(_BOX_CORNERS[:, 1:2] > 0, (taper, 1.0, taper), 1.0)
        corners = frame.at(_BOX_CORNERS * size * widths)
        seen = self.camera.sees(corners)
        pixels = self.camera.pixels(seen)
        sides = pixels[_BOX_SIDES]
        brightness = self._brightness(_BOX_NORMALS @ frame.axes)
        towards = np.flatnonzero(_signed_area(sides) < 0).tolist()
        visible = [(sides[side], _scaled(colour, float(brightness[side]))) for side in towards]

        def draw(owner: int) -> None:
            for side_pixels, shown in visible:
                self.canvas.polygon(side_pixels, shown, owner)

        depth = self._depth(seen, over)
        self._add(depth, draw)
        return depth

    def turned(
        self,
        frame: Frame,
        profile: Sequence[tuple[float, float]],
        colour: Colour,
        gloss: float = 0.0,
        over: float | None = None,
    ) -> float:
        """A body turned about the frame's up axis: (radius, height) from bottom to top, closed at both ends.

        `gloss` adds a highlight, 0 for none.
        """
        rings = frame.at(_ring_points(profile))
        seen = self.camera.sees(rings)
        pixels = self.camera.pixels(seen)
        corners = np.stack([pixels[:-1], np.roll(pixels[:-1], -1, 1), np.roll(pixels[1:], -1, 1), pixels[1:]], axis=2)
        normals = _side_normals(profile) @ frame.axes
        brightness = self._brightness(normals)
        highlight = gloss * np.clip(normals @ self._halfway(frame.origin), 0, 1) ** 24 * 255
        shown = np.clip(np.asarray(colour) * brightness[..., None] + highlight[..., None], 0, 255)
        towards = _signed_area(corners) < 0

        def draw(owner: int) -> None:
            for end in (0, -1):
                if (_signed_area(pixels[end]) < 0) == (end == -1):
                    self.canvas.polygon(pixels[end], self.lit(colour, frame.axes[1] * (-1 if end == 0 else 1)), owner)
            for ring, side in zip(*np.nonzero(towards), strict=True):
                self.canvas.polygon(corners[ring, side], tuple(shown[ring, side].tolist()), owner)

        depth = self._depth(seen.reshape(-1, 3), over)
        self._add(depth, draw)
        return depth

    def disc(self, frame: Frame, radius: float, colour: Colour, over: float | None = None) -> float:
        """A flat disc in the frame's right-up plane, seen from both sides."""
        circle = np.concatenate([_CIRCLE * radius, np.zeros((len(_CIRCLE), 1))], axis=1)
        return self.sheet(frame, circle, colour, over)

    def rod(self, frame: Frame, points: ArrayLike, radius: float, colour: Colour, over: float | None = None) -> float:
        """A round rod or hose along points (N, 3), as thick on the canvas as its radius is at each piece's depth."""
        seen = self.camera.sees(frame.at(points))
        pixels = self.camera.pixels(seen)
        depth = self._depth(seen, over)
        shown = self.lit(colour, self.light)
        half_px = radius * self.camera.focal_px / seen[:, 2]

        def draw(owner: int) -> None:
            for start in range(len(pixels) - 1):
                outline = _thick_line(pixels[start], pixels[start + 1], half_px[start], half_px[start + 1])
                self.canvas.polygon(outline, shown, owner)

        self._add(depth, draw)
        return depth

    def picture(
        self,
        frame: Frame,
        size: tuple[float, float],
        texture: Image,
        over: float | None = None,
        glow: bool = False,
    ) -> float:
        """A texture (h, w, 3 or 4) on a rectangle of that width and height about the frame's origin, facing out.

        With `glow` it gives its own light.
        """
        width, height = size[0] / 2, size[1] / 2
        corners = [(-width, height, 0), (width, height, 0), (width, -height, 0), (-width, -height, 0)]
        seen = self.camera.sees(frame.at(corners))
        pixels = self.camera.pixels(seen)
        depth = self._depth(seen, over)
        if _signed_area(pixels) > 0:
            brightness = 1.0 if glow else float(self._brightness(frame.axes[2]))
            shown = texture if brightness == 1.0 else _dimmed(texture, brightness)
            self._add(depth, lambda owner: self.canvas.picture(shown, pixels, owner))
        return depth

    def _add(self, depth: float, draw: Callable[[int], None]) -> None:
        self._queue.append((depth, len(self._queue), draw))

    def _depth(self, seen: FloatArray, over: float | None) -> float:
        return float(np.linalg.norm(seen.mean(axis=0))) if over is None else over - 1e-4

    def _brightness(self, normals: FloatArray) -> FloatArray:
        """Sky light from above, and the lamp."""
        return np.asarray(0.68 + 0.12 * normals[..., 1] + 0.38 * np.clip(normals @ self.light, 0, 1))

    def _halfway(self, point: FloatArray) -> FloatArray:
        view = self.camera.position - point
        half = view / np.linalg.norm(view) + self.light
        return np.asarray(half / np.linalg.norm(half))


_BOX_CORNERS = np.array(
    [[x, y, z] for y in (0.0, 1.0) for x, z in ((-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5))]
)
_BOX_SIDES = np.array([(0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7), (3, 2, 1, 0)])
_BOX_NORMALS = np.array([(0, 0, 1.0), (1, 0, 0), (0, 0, -1), (-1, 0, 0), (0, 1, 0), (0, -1, 0)])
_ANGLES = np.arange(TURNED_SIDES) / TURNED_SIDES * 2 * np.pi
_RING = np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1)
_FINE = np.arange(32) / 32 * 2 * np.pi
_CIRCLE = np.stack([np.cos(_FINE), np.sin(_FINE)], axis=1)


def _ring_points(profile: Sequence[tuple[float, float]]) -> FloatArray:
    radii, heights = np.array(profile, dtype=np.float64).T
    points = np.empty((len(profile), TURNED_SIDES, 3))
    points[..., [0, 2]] = radii[:, None, None] * _RING
    points[..., 1] = heights[:, None]
    return points


def _side_normals(profile: Sequence[tuple[float, float]]) -> FloatArray:
    """Unit normals (rings - 1, sides, 3) of a turned body's sides, in its own frame."""
    steps = np.diff(np.array(profile, dtype=np.float64), axis=0)
    angles = _ANGLES + np.pi / TURNED_SIDES
    normals = np.empty((len(steps), TURNED_SIDES, 3))
    normals[..., 0] = steps[:, 1, None] * np.sin(angles)
    normals[..., 1] = -steps[:, 0, None]
    normals[..., 2] = steps[:, 1, None] * np.cos(angles)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12))


def _signed_area(pixels: FloatArray) -> FloatArray:
    """Twice the area of polygons (..., N, 2), positive where they run clockwise on the screen."""
    x, y = pixels[..., 0], pixels[..., 1]
    inner = (x[..., :-1] * y[..., 1:] - x[..., 1:] * y[..., :-1]).sum(axis=-1)
    return np.asarray(inner + x[..., -1] * y[..., 0] - x[..., 0] * y[..., -1])


def _thick_line(start: FloatArray, end: FloatArray, start_px: float, end_px: float) -> FloatArray:
    along = end - start
    along = along / max(float(np.hypot(*along)), 1e-9)
    across = np.array([-along[1], along[0]])
    cap = along * 0.5
    return np.array(
        [
            start + across * start_px - cap * start_px,
            end + across * end_px + cap * end_px,
            end - across * end_px + cap * end_px,
            start - across * start_px - cap * start_px,
        ]
    )


def _shrunk(texture: Image, corners: FloatArray) -> Image:
    """The texture no more than twice as fine as the canvas where it is laid, so that it does not alias."""
    width, height = np.maximum(np.ptp(corners, axis=0), 1.0)
    ratio = min(texture.shape[1] / width, texture.shape[0] / height)
    if ratio < 1.5:
        return texture
    size = (max(int(texture.shape[1] / ratio), 1), max(int(texture.shape[0] / ratio), 1))
    return np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _scaled(colour: Colour, brightness: float) -> Colour:
    red, green, blue = (min(max(part * brightness, 0.0), 255.0) for part in colour)
    return red, green, blue


def _dimmed(texture: Image, brightness: float) -> Image:
    levels = np.clip(np.arange(256) * brightness, 0, 255).astype(np.uint8)
    dimmed: Image = levels[texture]
    if texture.shape[2] == 4:
        dimmed[..., 3] = texture[..., 3]
    return dimmed
