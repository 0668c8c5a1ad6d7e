"""Extra boxes: the size, shape and class of boxes of the data, where no object is. K templates.

A template is a real box. Templates are taken in the order in which the step hits them, and each is tried at up to
ATTEMPTS places: an image, any alike, and a place in it, any alike. One that fits nowhere is passed over, which spares
no room for it at any rate, so that extra boxes are nested. When all were taken, a new lap with other keys begins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import FloatArray
from noisedash.datasets.dataset import Boxes, Dataset, IntArray
from noisedash.errors import DataError
from noisedash.noise.hitting import hit_count, hit_order
from noisedash.noise.inaccurate import GRID_PX, on_grid
from noisedash.noise.keys import KeyArray, box_keys, choice, unit_interval
from noisedash.noise.overlaps import RealBoxes, clashes, countable, real_boxes
from noisedash.noise_spec import ExtraNoise

ATTEMPTS = 32
LAPS = 8


@dataclass(frozen=True, eq=False)
class _Places:
    """Where templates may go."""

    clean: Dataset
    step: ExtraNoise
    lap: int
    real: RealBoxes
    image_by_name: IntArray

    def keys(self, template: IntArray, purpose: str) -> KeyArray:
        return box_keys(self.clean.boxes.box_id[template], f"extra.{self.lap}.{purpose}", self.step.seed)


def extra_boxes(clean: Dataset, step: ExtraNoise) -> Boxes:
    """The boxes to add, in their order: at a higher rate the same ones come first.

    Raises DataError where not so many places can be found.
    """
    rows = np.flatnonzero(countable(clean.boxes))
    wanted = hit_count(len(rows), step.rate)
    files = clean.images.file
    image_by_name: IntArray = np.array(sorted(range(len(files)), key=files.__getitem__), dtype=np.int64)
    real = real_boxes(clean, np.ones(len(clean.boxes), dtype=bool), clean.boxes.xyxy)
    found = [clean.boxes.take(rows[:0])]
    for lap in range(LAPS if wanted else 0):
        places = _Places(clean, step, lap, real, image_by_name)
        queue = hit_order(clean, step, rows, lap)
        while len(queue) and (missing := wanted - sum(map(len, found))) > 0:
            found.append(_placed(places, queue[:missing]))
            queue = queue[missing:]
    if (count := sum(map(len, found))) < wanted:
        raise DataError(
            f"Only {count} of {wanted} extra boxes find a place that overlaps no real box by an IoU above "
            f"{step.max_iou:g}: lower the rate, or raise max_iou."
        )
    return Boxes(**{name: np.concatenate([getattr(some, name) for some in found]) for name in found[0].__dict__})


def _placed(places: _Places, template: IntArray) -> Boxes:
    """Those of the templates (K,) that find a place, in their order."""
    boxes = places.clean.boxes
    sides = np.maximum(on_grid(boxes.xyxy[template, 2:] - boxes.xyxy[template, :2]), GRID_PX)
    image, xyxy = np.full(len(template), -1), np.zeros((len(template), 4))
    waiting = np.arange(len(template))
    for attempt in range(ATTEMPTS):
        some_image, some_xyxy, fits = _attempt(places, template[waiting], sides[waiting], attempt)
        image[waiting[fits]], xyxy[waiting[fits]] = some_image[fits], some_xyxy[fits]
        waiting = waiting[~fits]
        if len(waiting) == 0:
            break
    placed = image >= 0
    source, nothing = template[placed], np.zeros(int(placed.sum()), dtype=bool)
    return Boxes(
        box_id=places.keys(source, "id"),
        image_index=image[placed],
        class_id=boxes.class_id[source],
        xyxy=xyxy[placed],
        crowd=nothing,
        difficult=nothing,
        truncated=nothing,
    )


def _attempt(
    places: _Places, template: IntArray, sides: FloatArray, attempt: int
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Image (K,), corners (K, 4), and whether the box fits there (K,)."""
    images = places.clean.images
    image = places.image_by_name[choice(places.keys(template, f"image.{attempt}"), len(images))]
    room = np.stack([images.width, images.height], axis=1)[image] - sides
    share = np.stack([unit_interval(places.keys(template, f"{axis}.{attempt}")) for axis in "xy"], axis=1)
    top_left = np.floor(share * np.maximum(room, 0) / GRID_PX) * GRID_PX
    xyxy = np.concatenate([top_left, top_left + sides], axis=1)
    fits: NDArray[np.bool_] = (room[:, 0] >= 0) & (room[:, 1] >= 0)
    fits[fits] = ~clashes(xyxy[fits], image[fits], places.real, places.step.max_iou)
    return image, xyxy, fits
