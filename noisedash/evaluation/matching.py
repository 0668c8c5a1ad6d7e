"""Detections matched with clean boxes, once; every measure is then read off the table. D detections, M boxes, T IoUs.

Two sets of rules. COCO's (Lin et al. 2014, cocoeval.py): the best detections of a class on an image take, in order of
score, the best box that is still free; crowd regions and boxes of other sizes are ignored. VOC's (Everingham et al.
2010, VOCevaldet.m): a detection is held against the one box that it overlaps most, taken or not; difficult boxes are
ignored. A detection on an ignored box is neither right nor wrong.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import box_area
from noisedash.datasets.dataset import Dataset
from noisedash.evaluation.overlaps import Overlaps, overlaps
from noisedash.evaluation.records import Predictions

COCO_IOUS = tuple((np.linspace(0.5, 0.95, 10)).tolist())
"""IoU .5:.95, the very numbers of pycocotools."""
SIZES_PX2: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's ranges of area: of an object, by its outline where the annotations give it, and of a detection, its box's."""


class Outcome(IntEnum):
    """What a detection is at one IoU."""

    IGNORED = -1
    WRONG = 0
    RIGHT = 1


@dataclass(frozen=True)
class CocoRules:
    """COCO's matching at each of the IoUs, for boxes of an area in `area_px2`, both ends included."""

    ious: tuple[float, ...] = (0.5,)
    max_detections: int = 100
    """Of a class on an image, the best ones; others are left out."""
    area_px2: tuple[float, float] = SIZES_PX2["all"]


@dataclass(frozen=True)
class VocRules:
    """VOC's matching at each of the IoUs. It knows no crowd regions; they are ignored like difficult boxes."""

    ious: tuple[float, ...] = (0.5,)


@dataclass(frozen=True, eq=False)
class MatchTable:
    """Each detection's outcome at each IoU. Detections are by class, then by falling score, then by image."""

    ious: tuple[float, ...]
    images: int
    classes: int
    row: NDArray[np.int64]
    """(D,) row of the detection in the predictions."""
    image_index: NDArray[np.int64]
    """(D,)"""
    class_id: NDArray[np.int64]
    """(D,)"""
    score: NDArray[np.float32]
    """(D,)"""
    outcome: NDArray[np.int8]
    """(T, D) of `Outcome`."""
    box: NDArray[np.int64]
    """(T, D) row of the box that the detection took or was ignored for; -1 where there is none."""
    counted: NDArray[np.bool_]
    """(M,) boxes that can be found: neither crowd regions, nor difficult (VOC), nor of another size."""
    box_image: NDArray[np.int64]
    """(M,)"""
    box_class: NDArray[np.int64]
    """(M,)"""

    def __len__(self) -> int:
        return len(self.row)

    def of_class(self, class_id: int) -> slice:
        """The positions of a class's detections."""
        first, last = np.searchsorted(self.class_id, [class_id, class_id + 1])
        return slice(int(first), int(last))

    def positives(self) -> NDArray[np.int64]:
        """How many boxes (C,) there are to be found of each class."""
        return np.bincount(self.box_class[self.counted], minlength=self.classes)

    def recalls(self) -> NDArray[np.float64]:
        """The share (T, C) of the boxes of each class that any detection found; nan where there are none."""
        positives = self.positives()
        found = np.stack([np.bincount(self.class_id[row], minlength=self.classes) for row in self.outcome > 0])
        return np.asarray(np.divide(found, positives, out=np.full(found.shape, np.nan), where=positives > 0))


def match(dataset: Dataset, predictions: Predictions, rules: CocoRules | VocRules) -> MatchTable:
    """The detections matched with the clean boxes of `dataset` by those rules.

    Of detections with equal scores the one on the earlier image, then the earlier row, comes first.
    """
    boxes, classes = dataset.boxes, len(dataset.classes)
    row = np.lexsort((predictions.image_index, -predictions.score, predictions.class_id))
    if isinstance(rules, CocoRules):
        row = row[_rank(_key(predictions.image_index, predictions.class_id, classes)[row]) < rules.max_detections]
    image_index, class_id = predictions.image_index[row], predictions.class_id[row]
    xyxy = predictions.xyxy[row].astype(np.float64)
    crowd = boxes.crowd if isinstance(rules, CocoRules) else np.zeros(len(boxes), dtype=np.bool_)
    pairs = overlaps(
        xyxy,
        boxes.xyxy,
        _key(image_index, class_id, classes),
        _key(boxes.image_index, boxes.class_id, classes),
        crowd,
        min(_limits(rules.ious)),
    )
    if isinstance(rules, CocoRules):
        counted = ~boxes.crowd & _within(boxes.area, rules.area_px2)
        box = _coco_boxes(pairs, _key(image_index, class_id, classes), counted, crowd, rules.ious)
        outcome = _outcome(box, counted, _within(box_area(xyxy), rules.area_px2))
    else:
        counted = ~boxes.crowd & ~boxes.difficult
        box, again = _voc_boxes(pairs, len(row), counted, rules.ious)
        outcome = np.where(again, Outcome.WRONG, _outcome(box, counted, np.ones(len(row), dtype=np.bool_)))
        box = np.where(again, -1, box)
    return MatchTable(
        ious=rules.ious,
        images=len(dataset.images),
        classes=classes,
        row=row,
        image_index=image_index,
        class_id=class_id,
        score=predictions.score[row],
        outcome=outcome.astype(np.int8),
        box=box,
        counted=counted,
        box_image=boxes.image_index,
        box_class=boxes.class_id,
    )


def _key(image_index: NDArray[np.int64], class_id: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """One number for each class on each image."""
    return image_index * classes + class_id


def _rank(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each element how many earlier ones have its key.

    >>> _rank(np.array([7, 3, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(key, kind="stable")
    first = np.searchsorted(key[order], key[order])
    rank = np.empty(len(key), dtype=np.int64)
    rank[order] = np.arange(len(key)) - first
    return rank


def _limits(ious: tuple[float, ...]) -> NDArray[np.float64]:
    """The IoUs (T,) from which on a box is found; at 1 a little less, as in pycocotools."""
    return np.asarray(np.minimum(np.array(ious), 1 - 1e-10))


def _within(area: NDArray[np.float64], area_px2: tuple[float, float]) -> NDArray[np.bool_]:
    return (area >= area_px2[0]) & (area <= area_px2[1])


def _coco_boxes(
    pairs: Overlaps,
    key: NDArray[np.int64],
    counted: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
    ious: tuple[float, ...],
) -> NDArray[np.int64]:
    """The box (T, D) that each detection takes, -1 for none.

    A detection prefers a counted box to one that is ignored, then the higher IoU, then the later row. All classes on
    all images take at the same time: in each round the next of their detections that overlaps any box.
    """
    box = np.full((len(ious), len(key)), -1, dtype=np.int64)
    overlapping = np.unique(pairs.detection)
    turn = np.empty(len(key), dtype=np.int64)
    turn[overlapping] = _rank(key[overlapping])
    turns = turn[pairs.detection]
    pairs = pairs.take(np.lexsort((-pairs.box, -pairs.iou, ~counted[pairs.box], pairs.detection, turns)))
    free = np.ones((len(ious), len(counted)), dtype=np.bool_)
    ends = np.cumsum(np.bincount(turns)) if len(pairs) else np.empty(0, np.int64)
    for first, last in zip([0, *ends[:-1]], ends, strict=False):
        now = pairs.take(np.arange(first, last))
        open_to = (now.iou >= _limits(ious)[:, None]) & free[:, now.box]
        place = np.where(open_to, np.arange(len(now)), len(now))
        starts = np.flatnonzero(np.diff(now.detection, prepend=-1))
        best = np.minimum.reduceat(place, starts, axis=1)
        at, taker = np.nonzero(best < len(now))
        taken = now.box[best[at, taker]]
        box[at, now.detection[starts[taker]]] = taken
        free[at, taken] = crowd[taken]
    return box


def _voc_boxes(
    pairs: Overlaps, detections: int, counted: NDArray[np.bool_], ious: tuple[float, ...]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The box (T, D) that each detection overlaps most, -1 where it does so by too little; and whether a better
    detection has found that box already (T, D). Of equal overlaps the earliest row counts."""
    pairs = pairs.take(np.lexsort((pairs.box, -pairs.iou, pairs.detection)))
    pairs = pairs.take(np.flatnonzero(np.diff(pairs.detection, prepend=-1)))
    box = np.full((len(ious), detections), -1, dtype=np.int64)
    again = np.zeros((len(ious), detections), dtype=np.bool_)
    for at, limit in enumerate(_limits(ious)):
        near = pairs.take(pairs.iou >= limit)
        box[at, near.detection] = near.box
        again[at, near.detection] = counted[near.box] & (_rank(near.box) > 0)
    return box, again


def _outcome(box: NDArray[np.int64], counted: NDArray[np.bool_], of_size: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Outcomes (T, D): right on a counted box, ignored on another one or where a stray has another size."""
    right = np.append(counted, False)[box]
    return np.where(right, Outcome.RIGHT, np.where((box >= 0) | ~of_size, Outcome.IGNORED, Outcome.WRONG))
