"""Small training sets with every oddity that annotations have, for the tests of noise."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from noisedash.datasets.dataset import Boxes, Dataset, Images, stable_box_ids

CLASSES = ("cat", "dog", "fox", "owl")
RATES = st.one_of(st.integers(0, 1000).map(lambda thousandths: thousandths / 1000), st.floats(1e-6, 1))


def make(
    xyxy: np.ndarray,
    image_index: np.ndarray,
    size_wh: tuple[int, int] = (200, 150),
    images: int | None = None,
    class_id: np.ndarray | None = None,
    crowd: np.ndarray | None = None,
    **flags: np.ndarray,
) -> Dataset:
    """A dataset of these boxes; class by class in turns unless said otherwise."""
    count = len(xyxy)
    number = int(image_index.max(initial=-1)) + 1 if images is None else images
    classes = np.arange(count) % len(CLASSES) if class_id is None else class_id
    crowds = np.zeros(count, dtype=bool) if crowd is None else crowd
    files = tuple(f"{row:05d}.jpg" for row in range(number))
    names = [CLASSES[row] for row in classes]
    ids = stable_box_ids([files[row] for row in image_index], names, xyxy, crowds)
    boxes = Boxes(
        ids,
        image_index.astype(np.int64),
        classes.astype(np.int64),
        xyxy.astype(np.float64).reshape(-1, 4),
        crowds,
        flags.get("difficult", np.zeros(count, dtype=bool)),
        flags.get("truncated", np.zeros(count, dtype=bool)),
    )
    width, height = size_wh
    pictures = Images(files, np.full(number, width), np.full(number, height), ("train",) * number, ("0" * 64,) * number)
    return Dataset("made", Path("nowhere"), CLASSES, pictures, boxes)


def scattered(count: int, seed: int = 0, images: int = 7, crowds: int = 0, largest: float = 60) -> Dataset:
    """`count` boxes of sides from .01 pixels to `largest`, anywhere inside their images; the first are crowds."""
    rng = np.random.default_rng(seed)
    share = rng.random((count, 2))
    sides = 0.01 + share * share * share * largest
    corners = rng.random((count, 2)) * (np.array([200.0, 150.0]) - sides)
    return make(
        np.concatenate([corners, corners + sides], axis=1),
        rng.integers(0, images, count),
        images=images,
        class_id=rng.integers(0, len(CLASSES), count),
        crowd=np.arange(count) < crowds,
        difficult=rng.random(count) < 0.1,
        truncated=rng.random(count) < 0.2,
    )


datasets = st.builds(scattered, st.integers(0, 120), st.integers(0, 99), st.integers(1, 9), st.integers(0, 3))


def shuffled(data: Dataset, seed: int) -> Dataset:
    """The same content with its boxes and images in another order."""
    rng = np.random.default_rng(seed)
    mixed = Dataset(data.name, data.root, data.classes, data.images, data.boxes.take(rng.permutation(len(data.boxes))))
    return mixed.subset(rng.permutation(len(data.images)))
