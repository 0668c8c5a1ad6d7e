"""Where things stand and how a camera sees them. Metres; x right, y up, z out; N points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

NEAREST_M = 0.25
"""Nothing that is less ahead of the camera than this is drawn."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A thing's own coordinates: where its origin lies in the room, and its axes right, up and out."""

    origin: FloatArray
    axes: FloatArray
    """(3, 3), a row for each axis, orthonormal."""

    def at(self, points: ArrayLike) -> FloatArray:
        """Points (..., 3) of the thing in the room.

        >>> standing((1.0, 0.0, 2.0), 0.0).at([0.0, 0.5, 0.0]).tolist()
        [1.0, 0.5, 2.0]
        """
        return np.asarray(self.origin + np.asarray(points, dtype=np.float64) @ self.axes)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Frame":
        """The frame shifted along its own axes."""
        return Frame(self.at((x, y, z)), self.axes)

    def turned(self, angle: float) -> "Frame":
        """The frame turned about its up axis, radians; out moves towards right."""
        cos, sin = np.cos(angle), np.sin(angle)
        return Frame(self.origin, np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]]) @ self.axes)

    def tilted(self, angle: float) -> "Frame":
        """The frame turned about its right axis, radians; up leans backwards, away from out."""
        cos, sin = np.cos(angle), np.sin(angle)
        return Frame(self.origin, np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]) @ self.axes)

    def rolled(self, angle: float) -> "Frame":
        """The frame turned about its out axis, radians; right moves towards up."""
        cos, sin = np.cos(angle), np.sin(angle)
        return Frame(self.origin, np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ self.axes)


def standing(position: ArrayLike, angle: float) -> Frame:
    """The frame of a thing that stands at `position` and faces the camera's side (-z of the room) at angle 0.

    Its right is then the room's right, so that what is written on it reads from left to right.
    """
    axes = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    return Frame(np.asarray(position, dtype=np.float64), axes).turned(angle)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera. It sees points as (right, down, ahead) and pixels as (x, y)."""

    position: FloatArray
    axes: FloatArray
    """(3, 3) rows right, down and ahead in the room."""
    focal_px: float
    size_wh: tuple[int, int]

    def sees(self, points: ArrayLike) -> FloatArray:
        """Room points (N, 3) as the camera's right, down, ahead."""
        return np.asarray((np.asarray(points, dtype=np.float64) - self.position) @ self.axes.T)

    def pixels(self, seen: FloatArray) -> FloatArray:
        """Pixels (N, 2) of points (N, 3) as the camera sees them; all must lie ahead."""
        return np.asarray(seen[..., :2] / seen[..., 2:] * self.focal_px + self._centre)

    def project(self, points: ArrayLike) -> FloatArray:
        """Pixels (N, 2) of room points (N, 3), which must lie ahead."""
        return self.pixels(self.sees(points))

    def ray(self, pixel: ArrayLike) -> FloatArray:
        """The direction (3,) in the room in which a pixel looks."""
        x, y = (np.asarray(pixel, dtype=np.float64) - self._centre) / self.focal_px
        return np.asarray(np.array([x, y, 1.0]) @ self.axes)

    def plane_to_pixels(self, frame: Frame) -> FloatArray:
        """The homography (3, 3) from metres (right, up, 1) on a frame's plane to homogeneous pixels."""
        seen = np.stack([frame.axes[0], frame.axes[1], frame.origin - self.position], axis=1)
        width, height = self.size_wh
        intrinsics = np.array([[self.focal_px, 0, width / 2], [0, self.focal_px, height / 2], [0, 0, 1.0]])
        return np.asarray(intrinsics @ self.axes @ seen)

    @property
    def _centre(self) -> FloatArray:
        return np.array(self.size_wh) / 2


def looking(position: ArrayLike, yaw: float, pitch: float, focal_px: float, size_wh: tuple[int, int]) -> Camera:
    """A camera that looks along the room's z, turned right by `yaw` and up by `pitch`, radians."""
    ahead = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    axes = np.stack([right, np.cross(right, ahead), ahead])
    return Camera(np.asarray(position, dtype=np.float64), axes, focal_px, size_wh)


def rectangle(width: float, height: float) -> FloatArray:
    """The corners (4, 3) of a rectangle about a frame's origin, counter-clockwise as seen from outside.

    >>> rectangle(2, 4).tolist()
    [[-1.0, -2.0, 0.0], [1.0, -2.0, 0.0], [1.0, 2.0, 0.0], [-1.0, 2.0, 0.0]]
    """
    x, y = width / 2, height / 2
    return np.array([(-x, -y, 0.0), (x, -y, 0.0), (x, y, 0.0), (-x, y, 0.0)])


def clip_to_front(seen: FloatArray) -> FloatArray:
    """The part of a polygon (N, 3), in camera coordinates, that lies ahead of the camera (Sutherland and Hodgman)."""
    kept: list[FloatArray] = []
    for start, end in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if start[2] >= NEAREST_M:
            kept.append(start)
        if (start[2] >= NEAREST_M) != (end[2] >= NEAREST_M):
            kept.append(start + (NEAREST_M - start[2]) / (end[2] - start[2]) * (end - start))
    return np.array(kept).reshape(-1, 3)
