"""Small datasets and detections for the tests of evaluation."""

from pathlib import Path

import numpy as np

from noisedash.datasets.dataset import Boxes, Dataset, Images
from noisedash.evaluation.records import Predictions


def dataset(xyxy, class_id, image_index, images=1, classes=2, crowd=None, difficult=None) -> Dataset:
    count = len(class_id)
    boxes = Boxes(
        box_id=np.arange(count, dtype=np.uint64),
        image_index=np.array(image_index, dtype=np.int64),
        class_id=np.array(class_id, dtype=np.int64),
        xyxy=np.array(xyxy, dtype=np.float64).reshape(-1, 4),
        crowd=np.zeros(count, dtype=np.bool_) if crowd is None else np.array(crowd),
        difficult=np.zeros(count, dtype=np.bool_) if difficult is None else np.array(difficult),
    )
    files = Images(
        file=tuple(f"{row}.jpg" for row in range(images)),
        width=np.full(images, 200),
        height=np.full(images, 200),
        split=("test",) * images,
        sha256=("0" * 64,) * images,
    )
    return Dataset("made", Path("nowhere"), tuple(f"class {i}" for i in range(classes)), files, boxes)


def detections(xyxy, class_id, image_index, score) -> Predictions:
    return Predictions(
        image_index=np.array(image_index, dtype=np.int64),
        class_id=np.array(class_id, dtype=np.int64),
        score=np.array(score, dtype=np.float32),
        xyxy=np.array(xyxy, dtype=np.float32).reshape(-1, 4),
    )


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 150, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 50, (count, 2))], axis=1)


def random_case(seed: int, images: int = 12, classes: int = 5) -> tuple[Dataset, Predictions]:
    """Boxes with crowds, detections near them and elsewhere, tied scores, crowded images, a class without boxes."""
    rng = np.random.default_rng(seed)
    truths = int(rng.integers(1, 60))
    data = dataset(
        random_boxes(rng, truths),
        rng.integers(0, classes - 1, truths),
        rng.integers(0, images, truths),
        images,
        classes,
        crowd=(rng.random(truths) < 0.15) & (np.arange(truths) > 0),
        difficult=rng.random(truths) < 0.2,
    )
    near = rng.integers(0, truths, int(rng.integers(0, 150)))
    stray = int(rng.integers(0, 250))
    shaken = data.boxes.xyxy[near] + rng.normal(0, 4, (len(near), 4))
    shaken = np.concatenate(
        [np.minimum(shaken[:, :2], shaken[:, 2:]), np.maximum(shaken[:, :2], shaken[:, 2:])], axis=1
    )
    found = detections(
        np.concatenate([shaken, random_boxes(rng, stray)]),
        np.concatenate([data.boxes.class_id[near], rng.integers(0, classes, stray)]),
        np.concatenate([data.boxes.image_index[near], rng.integers(0, images, stray)]),
        rng.random(len(near) + stray).round(2),
    )
    return data, found
