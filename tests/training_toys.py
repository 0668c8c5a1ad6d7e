"""A dataset that needs no files: dark images, each box a rectangle in its class's colour."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.dataset import Boxes, Dataset, Images, stable_box_ids
from noisedash.noise.recipe import NoisyDataset, apply_recipe
from noisedash.spec import MissingNoise, NoiseRecipe

CLASSES = ("red", "green", "blue")


def toy_dataset(images: int = 12, side: int = 96, seed: int = 0) -> Dataset:
    """Image i has i % 4 boxes of random place, size and class."""
    rng = np.random.default_rng(seed)
    image_index = np.repeat(np.arange(images), np.arange(images) % 4)
    count = len(image_index)
    corners = np.floor(rng.random((count, 2)) * side * 0.6)
    xyxy = np.concatenate([corners, corners + np.ceil(side * (0.2 + 0.2 * rng.random((count, 2))))], axis=1)
    class_id = rng.integers(0, len(CLASSES), count)
    files = tuple(f"{row:03}.png" for row in range(images))
    names = [CLASSES[label] for label in class_id]
    flags = np.zeros(count, dtype=np.bool_)
    boxes = Boxes(
        box_id=stable_box_ids([files[row] for row in image_index], names, xyxy, flags),
        image_index=image_index,
        class_id=class_id,
        xyxy=xyxy,
        crowd=flags,
        difficult=flags,
    )
    sides = np.full(images, side)
    table = Images(file=files, width=sides, height=sides, split=("train",) * images, sha256=("0" * 64,) * images)
    return Dataset("toy", Path("nowhere"), CLASSES, table, boxes)


def toy_pixels(dataset: Dataset) -> list[NDArray[np.uint8]]:
    """The decoded images of a toy dataset, not to be written to, as those of the cache are not."""
    pixels = []
    for row in range(len(dataset.images)):
        picture = np.full((int(dataset.images.height[row]), int(dataset.images.width[row]), 3), 40, dtype=np.uint8)
        for box in sorted(dataset.boxes_of_image[row], key=dataset.boxes.box_id.__getitem__):
            left, top, right, bottom = dataset.boxes.xyxy[box].astype(int)
            picture[top:bottom, left:right] = 40
            picture[top:bottom, left:right, dataset.boxes.class_id[box]] = 250
        picture.setflags(write=False)
        pixels.append(picture)
    return pixels


def toy_training_set(rate: float = 0.0, images: int = 12, side: int = 96) -> NoisyDataset:
    """A toy dataset whose boxes are missing at that rate."""
    return apply_recipe(toy_dataset(images, side), NoiseRecipe(steps=(MissingNoise(rate=rate),) if rate else ()))
