"""Why average precision is lost: errors by cause, each with the mAP that fixing it would give. D detections, M boxes.

After TIDE (Bolya, Foley, Hays, Hoffman 2020), with its limits: an overlap of .5 finds a box, one of .1 touches it. A
wrong detection has the first of these causes that applies:

- localisation: it touches a box of its class, but does not find one;
- classification: it finds a box of another class;
- duplicate: it finds a box of its class that a better detection has found;
- background: it touches no box;
- both: it touches a box of another class only, and does not find it.

A box is missed if no detection found it and none would by its class or place being mended.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset
from noisedash.evaluation.matching import CocoRules, MatchTable, Outcome, match
from noisedash.evaluation.overlaps import Overlaps, overlaps
from noisedash.evaluation.precision import average_precisions, mean_over_classes
from noisedash.evaluation.records import Predictions

FOUND_IOU = 0.5
TOUCHED_IOU = 0.1


class Cause(StrEnum):
    """The causes of TIDE."""

    CLASSIFICATION = "classification"
    LOCALISATION = "localisation"
    BOTH = "both"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"
    MISSED = "missed"


MENDABLE = (Cause.CLASSIFICATION, Cause.LOCALISATION)
"""Causes whose detections become right when they are fixed; the others' detections are taken away."""


@dataclass(frozen=True)
class FixedCause:
    """One cause: how many detections (for `missed`: boxes) it spoils, and what fixing it alone would give."""

    cause: Cause
    count: int
    mean_ap: float
    gain: float
    """`mean_ap` above what it is now."""


@dataclass(frozen=True, eq=False)
class ErrorCauses:
    """All wrong detections and unfound boxes by cause."""

    table: MatchTable
    """Of the detections from the score on: its rows are those of `predictions.above(min_score)`."""
    cause: NDArray[np.object_]
    """(D,) the `Cause` of each detection of the table; None where it is right or ignored."""
    missed: NDArray[np.bool_]
    """(M,)"""
    mean_ap: float
    fixed: tuple[FixedCause, ...]
    """In the order of `Cause`."""


def error_causes(
    dataset: Dataset, predictions: Predictions, max_detections: int = 100, min_score: float = 0.0
) -> ErrorCauses:
    """The causes of errors at IoU .5 by COCO's rules, of the detections from a score on.

    Fixing `classification` or `localisation` mends the class or the place of a detection; of several detections of
    that cause on one box the best is mended and the others, like those on boxes that are found already, taken away.
    Fixing `missed` takes the missed boxes out of those to be found; a class left without any leaves the mean.
    """
    kept = predictions.above(min_score)
    table = match(dataset, kept, CocoRules((FOUND_IOU,), max_detections))
    same, other = _best_boxes(dataset, table, kept.xyxy[table.row].astype(np.float64))
    cause = _causes(table, same.iou, other.iou)
    target = np.where(cause == Cause.CLASSIFICATION, other.box, same.box)
    found = np.zeros(len(dataset.boxes), dtype=np.bool_)
    found[table.box[0, table.outcome[0] == Outcome.RIGHT]] = True
    in_reach = np.zeros_like(found)
    in_reach[target[np.isin(cause, MENDABLE)]] = True
    missed = table.counted & ~found & ~in_reach
    mean_ap = _mean_ap(table)

    def fixed(one: Cause) -> FixedCause:
        if one is Cause.MISSED:
            count, after = missed.sum(), _mean_ap(replace(table, counted=table.counted & ~missed))
        else:
            count, after = (cause == one).sum(), _mean_ap(_fix(table, one, cause == one, target, found))
        return FixedCause(one, int(count), after, after - mean_ap)

    return ErrorCauses(table, cause, missed, mean_ap, tuple(fixed(one) for one in Cause))


def _causes(table: MatchTable, same_iou: NDArray[np.float64], other_iou: NDArray[np.float64]) -> NDArray[np.object_]:
    """The cause (D,) of each wrong detection, the first that applies; None elsewhere."""
    applying = {
        None: table.outcome[0] != Outcome.WRONG,
        Cause.LOCALISATION: (same_iou > 0) & (same_iou < FOUND_IOU),
        Cause.CLASSIFICATION: other_iou >= FOUND_IOU,
        Cause.DUPLICATE: same_iou >= FOUND_IOU,
        Cause.BACKGROUND: other_iou == 0,
    }
    names = np.array([*applying, Cause.BOTH], dtype=np.object_)
    number = np.select(list(applying.values()), range(len(applying)), default=len(applying))
    return np.asarray(names[number])


def _mean_ap(table: MatchTable) -> float:
    return float(mean_over_classes(average_precisions(table))[0])


@dataclass(frozen=True, eq=False)
class _Best:
    """For each detection the box that it overlaps most, and the IoU; -1 and 0 where it touches none."""

    box: NDArray[np.int64]
    iou: NDArray[np.float64]


def _best_boxes(dataset: Dataset, table: MatchTable, xyxy: NDArray[np.float64]) -> tuple[_Best, _Best]:
    """The best boxes of the detections' (D, 4) own classes, and of other classes, among those that count."""
    counted = np.flatnonzero(table.counted)
    boxes = dataset.boxes.take(counted)
    near = overlaps(
        xyxy, boxes.xyxy, table.image_index, boxes.image_index, np.zeros(len(boxes), dtype=np.bool_), TOUCHED_IOU
    )
    pairs = replace(near, box=counted[near.box])
    same = table.class_id[pairs.detection] == table.box_class[pairs.box]
    return _best(pairs.take(same), len(table)), _best(pairs.take(~same), len(table))


def _best(pairs: Overlaps, detections: int) -> _Best:
    """Of equal overlaps the earliest box."""
    pairs = pairs.take(np.lexsort((pairs.box, -pairs.iou, pairs.detection)))
    pairs = pairs.take(np.flatnonzero(np.diff(pairs.detection, prepend=-1)))
    best = _Best(np.full(detections, -1, dtype=np.int64), np.zeros(detections))
    best.box[pairs.detection], best.iou[pairs.detection] = pairs.box, pairs.iou
    return best


def _fix(
    table: MatchTable,
    cause: Cause,
    affected: NDArray[np.bool_],
    target: NDArray[np.int64],
    found: NDArray[np.bool_],
) -> MatchTable:
    """The table with the detections of one cause mended or taken away."""
    outcome, class_id = table.outcome[0].copy(), table.class_id.copy()
    outcome[affected] = Outcome.IGNORED
    if cause in MENDABLE:
        mendable = np.flatnonzero(affected & ~found[target])
        best_first = mendable[np.lexsort((table.row[mendable], -table.score[mendable]))]
        mended = best_first[np.unique(target[best_first], return_index=True)[1]]
        outcome[mended] = Outcome.RIGHT
        class_id[mended] = table.box_class[target[mended]]
    order = np.lexsort((table.image_index, -table.score, class_id))
    return replace(
        table,
        row=table.row[order],
        image_index=table.image_index[order],
        class_id=class_id[order],
        score=table.score[order],
        outcome=outcome[None, order],
        box=table.box[:, order],
    )
