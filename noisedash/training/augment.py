"""Random horizontal flip and SSD's random crop, as pure functions of an image, its boxes and a generator.

M boxes; H, W height and width of the decoded image; S the network's input side. Boxes are xyxy, in [0, 1] of the
image where the name says `unit`, else in pixels of the decoded image.

The crop is TensorFlow's ssd_random_crop (object_detection/core/preprocessor.py) on its kernel
sample_distorted_bounding_box, after Liu et al. 2016, section 2.2, with the settings of the paper. The flip comes
first, as in its configuration. The only difference: the kernel truncates boxes to whole pixels before it asks how much
of them a window covers; here they stay as they are, since the decoded image may be smaller than the original.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from noisedash.spec import Augmentation

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Pixels = NDArray[np.uint8]

FLIP_PROBABILITY = 0.5
KEEP_ORIGINAL_PROBABILITY = 0.15
MIN_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""One is drawn: a window must cover that share of at least one box, and boxes covered less are dropped."""
ASPECT_RATIOS = (0.5, 2.0)
AREAS = (0.1, 1.0)
"""Of the window, as shares of the image's area."""
MAX_ATTEMPTS = 100
MIN_BOX_AREA_PX = 1.0
"""A smaller box does not count when a window is asked what it covers."""


class Window(NamedTuple):
    """Part of an image, in whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def draw_flip(rng: np.random.Generator) -> bool:
    """Whether to mirror: one draw, true half of the time."""
    return bool(rng.random() < FLIP_PROBABILITY)


def flip_boxes(boxes_unit: FloatArray) -> FloatArray:
    """Boxes (M, 4) of the mirrored image.

    >>> flip_boxes(np.array([[0.125, 0.25, 0.5, 0.75]])).tolist()
    [[0.5, 0.25, 0.875, 0.75]]
    """
    return np.stack([1 - boxes_unit[:, 2], boxes_unit[:, 1], 1 - boxes_unit[:, 0], boxes_unit[:, 3]], axis=1)


def augment(
    pixels: Pixels, boxes_unit: FloatArray, side: int, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Pixels, FloatArray, IntArray]:
    """One training view: pixels (S, S, 3), boxes (K, 4) in [0, 1] of the view, and which K of the M boxes they are.

    `pixels` (H, W, 3) of any size, `boxes_unit` (M, 4). A view may be left without boxes.
    """
    height, width = pixels.shape[:2]
    mirrored = augmentation.horizontal_flip and draw_flip(rng)
    boxes_unit = flip_boxes(boxes_unit) if mirrored else boxes_unit
    rows: IntArray = np.arange(len(boxes_unit))
    if augmentation.random_crop:
        scale = np.array([width, height, width, height])
        window, min_overlap = draw_window(boxes_unit * scale, width, height, rng)
        boxes_unit, rows = crop_boxes(boxes_unit * scale, window, min_overlap)
        pixels = crop_pixels(pixels, _mirror_window(window, width) if mirrored else window)
    view = resize(pixels, side)
    return (mirror(view) if mirrored else view), boxes_unit, rows


def draw_window(boxes_px: FloatArray, width: int, height: int, rng: np.random.Generator) -> tuple[Window, float]:
    """The window to crop and the least share of a box that it must hold to keep the box.

    Where 100 attempts find no window that covers enough of any box (of the whole image, where there is none), and
    with probability .15 at once, the whole image is kept; in the latter case with all boxes.
    """
    whole = Window(0, 0, width, height)
    min_overlap = MIN_OVERLAPS[_below(len(MIN_OVERLAPS), rng)]
    if rng.random() <= KEEP_ORIGINAL_PROBABILITY:
        return whole, 0.0
    objects_px = boxes_px if len(boxes_px) else np.array([whole], dtype=np.float64)
    objects_px = objects_px[_areas(objects_px) >= MIN_BOX_AREA_PX]
    for _ in range(MAX_ATTEMPTS):
        aspect_ratio = ASPECT_RATIOS[0] + rng.random() * (ASPECT_RATIOS[1] - ASPECT_RATIOS[0])
        window = propose_window(width, height, aspect_ratio, rng)
        if window is not None and (covered_shares(objects_px, window) >= min_overlap).any():
            return window, min_overlap
    return whole, min_overlap


def propose_window(width: int, height: int, aspect_ratio: float, rng: np.random.Generator) -> Window | None:
    """A window of that aspect ratio (width / height), its height uniform, its place uniform; None where none fits.

    As TensorFlow's GenerateRandomCrop, which never puts a smaller window flush with the right or bottom edge.
    """
    min_area, max_area = AREAS[0] * width * height, AREAS[1] * width * height
    highest = round(math.sqrt(max_area / aspect_ratio))
    if round(highest * aspect_ratio) > width:
        highest = int((width + 0.5 - 1e-7) / aspect_ratio)
        highest -= round(highest * aspect_ratio) > width
    highest = min(highest, height)
    lowest = min(round(math.sqrt(min_area / aspect_ratio)), highest)
    window_height = lowest + _below(highest - lowest + 1, rng)
    if window_height * round(window_height * aspect_ratio) < min_area:
        window_height += 1
    if window_height * round(window_height * aspect_ratio) > max_area:
        window_height -= 1
    window_width = round(window_height * aspect_ratio)
    fits = 0 < window_width <= width and 0 < window_height <= height
    if not fits or not min_area <= window_width * window_height <= max_area:
        return None
    top = _below(height - window_height, rng) if window_height < height else 0
    left = _below(width - window_width, rng) if window_width < width else 0
    return Window(left, top, left + window_width, top + window_height)


def covered_shares(boxes_px: FloatArray, window: Window) -> FloatArray:
    """The share (M,) of each box's area that lies in the window; boxes of positive area.

    >>> covered_shares(np.array([[0.0, 0.0, 10.0, 10.0]]), Window(5, 0, 20, 5)).tolist()
    [0.25]
    """
    left_top = np.maximum(boxes_px[:, :2], window[:2])
    right_bottom = np.minimum(boxes_px[:, 2:], window[2:])
    inside: FloatArray = np.clip(right_bottom - left_top, 0, None).prod(axis=1)
    return inside / _areas(boxes_px)


def crop_boxes(boxes_px: FloatArray, window: Window, min_overlap: float) -> tuple[FloatArray, IntArray]:
    """Boxes (K, 4) in [0, 1] of the window, clipped to it, and which rows K of the M they are.

    Kept are boxes that touch the window's inside and have at least `min_overlap` of their area there.

    >>> boxes, rows = crop_boxes(np.array([[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 9.0, 9.0]]), Window(4, 0, 8, 8), 0.5)
    >>> boxes.tolist(), rows.tolist()
    ([[0.0, 0.0, 1.0, 1.0]], [0])
    """
    shares = covered_shares(boxes_px, window)
    rows = np.flatnonzero((shares > 0) & (shares >= min_overlap))
    origin = np.array([window.left, window.top] * 2)
    size = np.array([window.right - window.left, window.bottom - window.top] * 2)
    return np.clip((boxes_px[rows] - origin) / size, 0, 1), rows


def crop_pixels(pixels: Pixels, window: Window) -> Pixels:
    """The pixels (h, w, 3) of a window; a view, not a copy."""
    return pixels[window.top : window.bottom, window.left : window.right]


def resize(pixels: Pixels, side: int) -> Pixels:
    """Pixels (H, W, 3) to (S, S, 3), bilinear, aspect ratio not kept."""
    if pixels.shape[:2] == (side, side):
        return pixels
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def mirror(pixels: Pixels) -> Pixels:
    """Left and right exchanged, copied: OpenCV does that ten times faster than a copy of NumPy's mirrored view."""
    return np.asarray(cv2.flip(pixels, 1), dtype=np.uint8)


def _mirror_window(window: Window, width: int) -> Window:
    return Window(width - window.right, window.top, width - window.left, window.bottom)


def _areas(boxes_px: FloatArray) -> FloatArray:
    sides = boxes_px[:, 2:] - boxes_px[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])


def _below(limit: int, rng: np.random.Generator) -> int:
    """Uniform over 0 .. limit - 1, from one `random()`, whose stream NumPy keeps the same over its versions."""
    return int(rng.random() * limit)
