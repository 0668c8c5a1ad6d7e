"""Our evaluation against pycocotools on one synthetic task: seconds, their ratio, and the largest difference in AP."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from noisedash.boxes import box_area, xyxy_to_xywh
from noisedash.datasets.dataset import Boxes, Dataset, Images
from noisedash.evaluation.ap import evaluate, match_as_in
from noisedash.evaluation.records import Predictions
from noisedash.evaluation.resampling import resample
from noisedash.spec import EvaluationSpec

SIDE_PX = 500
CLASSES = 20
BOXES_PER_IMAGE = 2.4
DETECTIONS_PER_IMAGE = 100
SPEC = EvaluationSpec(score_thresholds=(0.0,))

T = TypeVar("T")
Task = tuple[Dataset, Predictions]


def bench_eval(images: int = 1000, repeats: int = 3) -> Iterator[dict[str, Any]]:
    """One row: median CPU seconds of ours and of pycocotools, their ratio, and the largest difference of a class's AP.

    Both start from the same arrays and end with the AP of every class at IoU .5; `ratio` is theirs over ours.
    `intervals_s` is what 1,000 resamples of the images cost, from the match table on.
    """
    task = synthetic_task(images)
    table = match_as_in(*task, SPEC)
    _, intervals_s = _timed(lambda: resample(table), repeats)
    ours, our_s = _timed(lambda: _ours(*task), repeats)
    theirs, their_s = _timed(lambda: by_pycocotools(*task, SPEC), repeats)
    yield {
        "bench": "eval",
        "images": images,
        "detections": len(task[1]),
        "classes": CLASSES,
        "ours_s": round(our_s, 4),
        "pycocotools_s": round(their_s, 4),
        "ratio": round(their_s / our_s, 2),
        "intervals_s": round(intervals_s, 4),
        "max_difference": float(np.nanmax(np.abs(ours - theirs))),
    }


def synthetic_task(images: int, seed: int = 0) -> Task:
    """Boxes and detections of VOC's density, a third of the detections near a box of their class."""
    rng = np.random.default_rng(seed)
    count = max(1, round(images * BOXES_PER_IMAGE))
    boxes = Boxes(
        box_id=np.arange(count, dtype=np.uint64),
        image_index=rng.integers(0, images, count),
        class_id=rng.integers(0, CLASSES, count),
        xyxy=_boxes(rng, count),
        crowd=rng.random(count) < 0.02,
        difficult=np.zeros(count, dtype=np.bool_),
    )
    files = Images(
        file=tuple(f"{row:06d}.jpg" for row in range(images)),
        width=np.full(images, SIDE_PX),
        height=np.full(images, SIDE_PX),
        split=("test",) * images,
        sha256=("0" * 64,) * images,
    )
    names = tuple(f"class {number}" for number in range(CLASSES))
    return Dataset("synthetic", Path(), names, files, boxes), _detections(rng, boxes, images)


def by_pycocotools(dataset: Dataset, predictions: Predictions, spec: EvaluationSpec) -> NDArray[np.float64]:
    """AP (C,) of every class as pycocotools counts it, loaded its own way; nan for a class without boxes."""
    truth = COCO()
    truth.dataset = {
        "images": [{"id": row} for row in range(len(dataset.images))],
        "categories": [{"id": class_id} for class_id in range(len(dataset.classes))],
        "annotations": _annotations(dataset.boxes),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes(_results(predictions)) if len(predictions) else COCO()
        run = COCOeval(truth, found, "bbox")
        run.params.iouThrs = np.array([spec.match_iou])
        run.params.maxDets = [spec.max_detections]
        run.params.areaRng, run.params.areaRngLbl = run.params.areaRng[:1], run.params.areaRngLbl[:1]
        run.evaluate()
        run.accumulate()
    precision = np.asarray(run.eval["precision"])[0, :, :, 0, 0]  # (101 recalls, C); -1 where a class has no boxes
    return np.where(precision[0] < 0, np.nan, precision.mean(axis=0))


def _ours(dataset: Dataset, predictions: Predictions) -> NDArray[np.float64]:
    (record,) = evaluate(dataset, predictions, SPEC)
    return np.array(record.per_class, dtype=np.float64)


def _timed(function: Callable[[], T], repeats: int) -> tuple[T, float]:
    """The last result and the median of the CPU seconds."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        result = function()
        seconds.append(time.process_time() - started)
    return result, median(seconds)


def _boxes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    sides = rng.uniform(10, 250, (count, 2))
    corner = rng.uniform(0, 1, (count, 2)) * (SIDE_PX - sides)
    return np.concatenate([corner, corner + sides], axis=1)


def _detections(rng: np.random.Generator, boxes: Boxes, images: int) -> Predictions:
    count = images * DETECTIONS_PER_IMAGE
    near = rng.integers(0, len(boxes), count)
    is_near = rng.random(count) < 1 / 3
    sides = np.tile(boxes.xyxy[near, 2:] - boxes.xyxy[near, :2], 2)
    shaken = boxes.xyxy[near] + rng.uniform(-0.2, 0.2, (count, 4)) * sides
    return Predictions(
        image_index=np.where(is_near, boxes.image_index[near], np.arange(count) // DETECTIONS_PER_IMAGE),
        class_id=np.where(is_near, boxes.class_id[near], rng.integers(0, CLASSES, count)),
        score=rng.random(count, dtype=np.float32),
        xyxy=np.where(is_near[:, None], shaken, _boxes(rng, count)).astype(np.float32),
    )


def _annotations(boxes: Boxes) -> list[dict[str, Any]]:
    xywh, areas = xyxy_to_xywh(boxes.xyxy).tolist(), box_area(boxes.xyxy).tolist()
    return [
        {
            "id": row + 1,
            "image_id": int(boxes.image_index[row]),
            "category_id": int(boxes.class_id[row]),
            "bbox": xywh[row],
            "area": areas[row],
            "iscrowd": int(boxes.crowd[row]),
        }
        for row in range(len(boxes))
    ]


def _results(predictions: Predictions) -> list[dict[str, Any]]:
    xywh = xyxy_to_xywh(predictions.xyxy.astype(np.float64)).tolist()
    columns = (predictions.image_index.tolist(), predictions.class_id.tolist(), predictions.score.tolist())
    return [
        {"image_id": image, "category_id": class_id, "score": score, "bbox": corners}
        for image, class_id, score, corners in zip(*columns, xywh, strict=True)
    ]
