"""One run in detail: all that can be read off its predictions. C classes, S thresholds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset
from noisedash.evaluation.ap import coco_summary, match_as_in
from noisedash.evaluation.causes import FixedCause, error_causes
from noisedash.evaluation.falsealarms import RecallAtFalsePositives, recall_at_false_positives
from noisedash.evaluation.matching import MatchTable, VocRules, match
from noisedash.evaluation.precision import (
    FloatArray,
    PrecisionRecall,
    average_precisions,
    mean_over_classes,
    over_thresholds,
    precision_recall,
)
from noisedash.evaluation.records import Predictions
from noisedash.evaluation.resampling import ApDraws, resample
from noisedash.spec import EvaluationSpec

RULES = {
    "AP": "COCO, IoU .5 to .95",
    "AP50": "COCO, IoU .5",
    "AP75": "COCO, IoU .75",
    "AP small": "COCO, IoU .5 to .95, boxes up to 32² px",
    "AP medium": "COCO, IoU .5 to .95, boxes of 32² to 96² px",
    "AP large": "COCO, IoU .5 to .95, larger boxes",
    "VOC": "VOC 2010 and after, IoU .5, all points",
    "VOC07": "VOC 2007, IoU .5, 11 points",
}
"""The measures of `RunReport.by_rules` that are precisions, in words; the others are COCO's average recalls."""
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(50))


@dataclass(frozen=True, eq=False)
class RunReport:
    """Everything but `over_threshold` is of the detections from `min_score` on."""

    classes: tuple[str, ...]
    images: int
    min_score: float
    match_iou: float
    detections: int
    boxes: NDArray[np.int64]
    """(C,) to be found by COCO's rules."""
    draws: ApDraws
    """AP as the run's results have it, and on resamples of the images."""
    recall: FloatArray
    """(C,) of all detections; nan for a class without boxes."""
    by_rules: dict[str, float]
    """mAP by each protocol's rules, COCO's sizes among them; nan where there is no box of a size."""
    thresholds: tuple[float, ...]
    over_threshold: FloatArray
    """(S,) mAP of the detections from each of `thresholds` on."""
    false_positives: RecallAtFalsePositives
    fixed: tuple[FixedCause, ...]
    """Errors by cause at IoU .5, and what fixing each alone would give."""
    table: MatchTable

    def precision_recall(self, class_name: str) -> PrecisionRecall | None:
        """The curve of a class; None where it has no boxes to be found."""
        return precision_recall(self.table, self.classes.index(class_name))

    def by_class(self) -> pd.DataFrame:
        """A row for each class that has boxes: `class`, `boxes`, `ap`, `low`, `high` (95 %, over images), `recall`."""
        low, high = self.draws.class_intervals()
        columns = {"boxes": self.boxes, "ap": self.draws.of_class, "low": low, "high": high, "recall": self.recall}
        return pd.DataFrame({"class": self.classes, **columns})[self.boxes > 0]


def run_report(
    dataset: Dataset, predictions: Predictions, spec: EvaluationSpec, min_score: float | None = None
) -> RunReport:
    """The report on predictions over the clean test images of `dataset`, from a score on.

    `min_score`: the lowest threshold of `spec` unless given; below it no predictions are kept. Raises DataError where
    no class has a box.
    """
    lowest = min(spec.score_thresholds)
    least = lowest if min_score is None else max(min_score, lowest)
    kept = predictions.above(least)
    table = match_as_in(dataset, kept, spec)
    thresholds = (lowest, *(threshold for threshold in THRESHOLDS if threshold > lowest))
    whole = match_as_in(dataset, predictions, spec)
    return RunReport(
        classes=dataset.classes,
        images=len(dataset.images),
        min_score=least,
        match_iou=spec.match_iou,
        detections=len(table),
        boxes=table.positives(),
        draws=resample(table),
        recall=table.recalls()[0],
        by_rules=_by_rules(dataset, kept),
        thresholds=thresholds,
        over_threshold=mean_over_classes(over_thresholds(whole, thresholds)[:, 0]),
        false_positives=recall_at_false_positives(table),
        fixed=error_causes(dataset, kept, spec.max_detections).fixed,
        table=table,
    )


def _by_rules(dataset: Dataset, predictions: Predictions) -> dict[str, float]:
    """COCO's twelve numbers, then VOC's two ways of averaging at IoU .5."""
    voc = match(dataset, predictions, VocRules())
    return {
        **coco_summary(dataset, predictions),
        "VOC": float(mean_over_classes(average_precisions(voc, "voc"))[0]),
        "VOC07": float(mean_over_classes(average_precisions(voc, "voc07"))[0]),
    }
