"""Average precision and its curves, read off a match table. C classes, T IoUs, D detections, S thresholds.

Only right detections raise recall, and precision is highest at one of them, so all is counted at the R right
detections of a class: how many right and how many wrong ones come before, themselves included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noisedash.evaluation.matching import MatchTable, Outcome

FloatArray = NDArray[np.float64]
CountArray = NDArray[np.float64] | NDArray[np.signedinteger[Any]]

Interpolation = Literal["coco101", "voc", "voc07"]
"""COCO's mean over 101 recalls, VOC's area below the curve (from 2010 on), VOC 2007's mean over 11 recalls."""

RECALLS: dict[Interpolation, FloatArray | None] = {
    "coco101": np.linspace(0.0, 1.0, 101),
    "voc": None,
    "voc07": np.arange(11) / 10,
}
"""The recalls at which precision is averaged; None takes all."""


def area_below(right: CountArray, wrong: CountArray, positives: CountArray, interpolation: Interpolation) -> FloatArray:
    """AP (B,) from counts at R right detections in falling score: right ones so far (R, B), wrong ones so far (R, B),
    boxes to be found (B,). nan where there are none. Counts may be weights; precision never rises with recall.

    Everingham et al. 2010 (section 4.2) and 2012; Lin et al. 2014.

    >>> area_below(np.array([[1.0], [2.0]]), np.array([[0.0], [2.0]]), np.array([4.0]), "voc").tolist()
    [0.375]
    """
    share = np.where(positives > 0, positives, np.nan)
    if len(right) == 0:
        return np.asarray(0.0 * share)
    precision = np.divide(right, right + wrong, out=np.zeros(right.shape), where=right > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = right / share
    recalls = RECALLS[interpolation]
    reached = recall if recalls is None else np.searchsorted(recalls, recall, side="right") / len(recalls)
    return np.asarray((envelope * np.diff(reached, axis=0, prepend=0)).sum(axis=0) + 0.0 * share)


def average_precisions(
    table: MatchTable, interpolation: Interpolation = "coco101", min_score: float = 0.0
) -> FloatArray:
    """AP (T, C) of the detections from a score on; nan for a class without boxes to be found.

    As matching goes by falling score, this is what evaluating those detections alone gives.
    """
    return np.asarray(over_thresholds(table, [min_score], interpolation)[0])


def over_thresholds(
    table: MatchTable, min_scores: Sequence[float], interpolation: Interpolation = "coco101"
) -> FloatArray:
    """AP (S, T, C) of the detections from each of the scores on; nan for a class without boxes to be found."""
    result = np.full((len(min_scores), len(table.ious), table.classes), np.nan)
    for class_id, positives in enumerate(table.positives()):
        own = table.of_class(class_id)
        for at in range(len(table.ious)) if positives else ():
            right, wrong, score = _at_right_ones(table.outcome[at, own], table.score[own])
            for number, min_score in enumerate(min_scores):
                kept = slice(int((score >= float(min_score)).sum()))
                result[number, at, class_id] = area_below(
                    right[kept, None], wrong[kept, None], np.array([float(positives)]), interpolation
                )[0]
    return result


def mean_over_classes(average_precisions: FloatArray) -> FloatArray:
    """mAP (...) of AP (..., C), over the classes that have boxes to be found; nan where none has.

    >>> mean_over_classes(np.array([[0.5, np.nan, 1.0], [np.nan] * 3])).tolist()
    [0.75, nan]
    """
    counted = (~np.isnan(average_precisions)).sum(axis=-1)
    total = np.nansum(average_precisions, axis=-1)
    return np.asarray(np.divide(total, counted, out=np.full(total.shape, np.nan), where=counted > 0))


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """One class's curve at one IoU: a point for each detection that is right or wrong, in falling score."""

    recall: FloatArray
    precision: FloatArray
    score: FloatArray
    average_precision: float

    def at_recalls(self, recalls: FloatArray) -> FloatArray:
        """The highest precision (K,) from each of the recalls (K,) on; 0 beyond the last."""
        envelope = np.append(np.maximum.accumulate(self.precision[::-1])[::-1], 0.0)
        return envelope[np.searchsorted(self.recall, recalls, side="left")]


def precision_recall(
    table: MatchTable, class_id: int, interpolation: Interpolation = "coco101", iou_position: int = 0
) -> PrecisionRecall | None:
    """The curve of a class at one of the table's IoUs; None where it has no boxes to be found."""
    positives = int(table.positives()[class_id])
    if positives == 0:
        return None
    own = table.of_class(class_id)
    outcome = table.outcome[iou_position, own]
    judged = outcome != Outcome.IGNORED
    right = np.cumsum(outcome[judged] == Outcome.RIGHT)
    return PrecisionRecall(
        recall=right / positives,
        precision=right / np.arange(1, len(right) + 1),
        score=table.score[own][judged].astype(np.float64),
        average_precision=float(average_precisions(table, interpolation)[iou_position, class_id]),
    )


def _at_right_ones(
    outcome: NDArray[np.int8], score: NDArray[np.float32]
) -> tuple[FloatArray, FloatArray, NDArray[np.float32]]:
    """Right and wrong ones so far, and the score, (R,) each, at the right detections of outcomes (D,)."""
    at = np.flatnonzero(outcome == Outcome.RIGHT)
    wrong = np.cumsum(outcome == Outcome.WRONG)[at]
    return np.arange(1.0, len(at) + 1), wrong.astype(np.float64), score[at]
