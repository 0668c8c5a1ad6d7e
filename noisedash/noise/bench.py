"""What damaging a large training set costs, beside the sorting of one key per box, which none can do without."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from noisedash.datasets.dataset import Boxes, Dataset, Images
from noisedash.noise.keys import box_keys
from noisedash.noise.recipe import apply_recipe
from noisedash.noise_spec import (
    ByCrowding,
    ByOcclusion,
    BySize,
    ExtraNoise,
    InaccurateNoise,
    MissingNoise,
    Noise,
    NoiseRecipe,
    WholeImages,
    WrongClassNoise,
)

WIDTH_PX, HEIGHT_PX = 640, 480
CLASSES = 20
BOXES_PER_IMAGE = 50

RECIPES: dict[str, tuple[Noise, ...]] = {
    "missing": (MissingNoise(rate=0.3),),
    "missing by size": (MissingNoise(rate=0.3, weighting=BySize()),),
    "missing whole images": (MissingNoise(rate=0.3, weighting=WholeImages()),),
    "missing by crowding": (MissingNoise(rate=0.3, weighting=ByCrowding()),),
    "missing by occlusion": (MissingNoise(rate=0.3, weighting=ByOcclusion()),),
    "inaccurate": (InaccurateNoise(rate=0.3),),
    "wrong class": (WrongClassNoise(rate=0.3),),
    "extra": (ExtraNoise(rate=0.1),),
    "all four": (
        MissingNoise(rate=0.3),
        InaccurateNoise(rate=0.2),
        WrongClassNoise(rate=0.1),
        ExtraNoise(rate=0.1),
    ),
}


def bench_noise(boxes: int = 1_000_000, repeats: int = 3) -> Iterator[dict[str, Any]]:
    """A row for each of RECIPES: median CPU seconds, and how many times those of sorting the boxes' keys."""
    clean = synthetic_set(boxes)
    sort_s = _seconds(lambda: np.argsort(box_keys(clean.boxes.box_id, "missing", 0)), repeats)
    for name, steps in RECIPES.items():
        ours_s = _seconds(partial(apply_recipe, clean, NoiseRecipe(steps=steps)), repeats)
        yield {
            "bench": "noise",
            "noise": name,
            "boxes": boxes,
            "images": len(clean.images),
            "ours_s": round(ours_s, 4),
            "sort_s": round(sort_s, 4),
            "ratio": round(ours_s / sort_s, 2),
        }


def synthetic_set(count: int, seed: int = 0) -> Dataset:
    """Boxes of log-normal sides around 40 pixels, BOXES_PER_IMAGE an image of VGA size."""
    rng = np.random.default_rng(seed)
    images = max(1, count // BOXES_PER_IMAGE)
    sides = np.exp(rng.normal(3.7, 0.8, (count, 2))).clip(2, 300)
    corner = rng.random((count, 2)) * (np.array([WIDTH_PX, HEIGHT_PX]) - sides)
    boxes = Boxes(
        box_id=rng.integers(0, 2**64, count, dtype=np.uint64),
        image_index=rng.integers(0, images, count),
        class_id=rng.integers(0, CLASSES, count),
        xyxy=np.concatenate([corner, corner + sides], axis=1),
        crowd=np.zeros(count, dtype=bool),
        difficult=np.zeros(count, dtype=bool),
    )
    pictures = Images(
        tuple(f"{row:06d}.jpg" for row in range(images)),
        np.full(images, WIDTH_PX),
        np.full(images, HEIGHT_PX),
        ("",) * images,
        ("0" * 64,) * images,
    )
    return Dataset("synthetic", Path(), tuple(f"class {row}" for row in range(CLASSES)), pictures, boxes)


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of the CPU seconds of `repeats` times."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return median(times)
