"""Recall at fixed numbers of false positives an image: the view of safety. F rates, C classes, D detections.

Chakraborty and Winter (1990) call the curve FROC. A score threshold decides what is reported, so detections of equal
score are reported together or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisedash.evaluation.matching import MatchTable, Outcome
from noisedash.evaluation.precision import FloatArray, mean_over_classes

PER_IMAGE = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, eq=False)
class RecallAtFalsePositives:
    """The highest recall with at most so many false positives an image, on the average over all images."""

    per_image: FloatArray
    """(F,)"""
    of_class: FloatArray
    """(F, C), each class with false positives of its own; nan for a class without boxes to be found."""
    mean: FloatArray
    """(F,) over classes."""
    pooled: FloatArray
    """(F,) with one score threshold for all classes, their false positives and boxes counted together."""
    pooled_score: FloatArray
    """(F,) the score threshold of `pooled`; nan where even the best detections are too many false ones."""


def recall_at_false_positives(
    table: MatchTable, per_image: Sequence[float] = PER_IMAGE, iou_position: int = 0
) -> RecallAtFalsePositives:
    """Recall at those rates of false positives, at one of the table's IoUs."""
    rates = np.array(per_image, dtype=np.float64)
    allowed = rates * table.images
    outcome, positives = table.outcome[iou_position], table.positives()
    of_class = np.full((len(rates), table.classes), np.nan)
    for class_id in np.flatnonzero(positives):
        own = table.of_class(int(class_id))
        of_class[:, class_id] = _found(outcome[own], table.score[own], allowed)[0] / positives[class_id]
    order = np.argsort(-table.score, kind="stable")
    found, score = _found(outcome[order], table.score[order], allowed)
    pooled = found / positives.sum() if positives.any() else np.full(len(rates), np.nan)
    return RecallAtFalsePositives(rates, of_class, mean_over_classes(of_class), pooled, score)


def _found(outcome: NDArray[np.int8], score: NDArray[np.float32], allowed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How many right ones (F,) with at most `allowed` (F,) wrong ones, and the threshold (F,), of detections in
    falling score."""
    last = np.flatnonzero(np.diff(score, append=-np.inf))
    wrong, right = np.cumsum(outcome == Outcome.WRONG)[last], np.cumsum(outcome == Outcome.RIGHT)[last]
    at = np.searchsorted(wrong, allowed + 1e-9, side="right")
    return np.append(0.0, right)[at], np.append(np.nan, score[last].astype(np.float64))[at]
