"""Inaccurate boxes: centre and size off, relative to the box. K boxes."""

import numpy as np

from noisedash.boxes import FloatArray
from noisedash.datasets.dataset import Dataset, IntArray
from noisedash.noise.keys import box_keys, unit_interval
from noisedash.noise_spec import InaccurateNoise

GRID_PX = 1 / 64
"""Made corners are multiples of this: exact in every format, and no side is shorter."""


def drawn_badly(clean: Dataset, rows: IntArray, step: InaccurateNoise) -> FloatArray:
    """The boxes (K, 4) at `rows` as a careless annotator draws them: inside their images, and never empty.

    x' = x + w U(-centre, centre) and w' = w (1 + U(-size, size)) for centre and width, likewise for the height; then
    cut at the image's edge and rounded to GRID_PX.
    """
    boxes = clean.boxes
    xyxy, image = boxes.xyxy[rows], boxes.image_index[rows]
    spreads = {"x": step.centre, "y": step.centre, "width": step.size, "height": step.size}
    off_x, off_y, wider, higher = (
        (2 * unit_interval(box_keys(boxes.box_id[rows], f"inaccurate.{name}", step.seed)) - 1) * spread
        for name, spread in spreads.items()
    )
    sides = xyxy[:, 2:] - xyxy[:, :2]
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2 + sides * np.stack([off_x, off_y], axis=1)
    half = sides * (1 + np.stack([wider, higher], axis=1)) / 2
    limit = np.stack([clean.images.width, clean.images.height], axis=1)[image].astype(np.float64)
    top_left = np.clip(on_grid(centre - half), 0, limit - GRID_PX)
    bottom_right = np.minimum(np.maximum(on_grid(centre + half), top_left + GRID_PX), limit)
    return np.concatenate([top_left, bottom_right], axis=1)


def on_grid(values_px: FloatArray) -> FloatArray:
    """Rounded to multiples of GRID_PX.

    >>> on_grid(np.array([0.3, 10.01])).tolist()
    [0.296875, 10.015625]
    """
    return np.asarray(np.rint(values_px / GRID_PX) * GRID_PX)
