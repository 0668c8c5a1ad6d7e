"""What can be put into a room: a drawing, its size and where it belongs."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from noisedash.datasets.indoor.geometry import Frame
from noisedash.datasets.indoor.pen import Pen


class Mount(Enum):
    """Where a thing belongs. Its frame's origin is its bottom's centre; on a wall its middle, on the wall itself."""

    FLOOR = "floor"
    WALL = "wall"
    TOP = "top"
    """On a desk or a cabinet."""
    CEILING = "ceiling"
    """Hanging free; the origin is its top's centre."""


@dataclass(frozen=True, eq=False)
class Model:
    """A thing, not yet placed. `label` is a class, or '' for clutter."""

    label: str
    mount: Mount
    size: tuple[float, float, float]
    """Width, height, depth in metres, all of it."""
    draw: Callable[[Pen, Frame], None]
    heights: tuple[float, float] = (0.0, 0.0)
    """On a wall: the lowest and highest place of its middle, metres above the floor."""
    turn: float = 3.2
    """How far it may be turned away from the camera's side, radians, to the left or right."""
    top_m: float | None = None
    """The height of a surface that carries other things; None where it has none."""
