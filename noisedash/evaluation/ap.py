"""Average precision as COCO's evaluation counts it: a run's results. M clean boxes, D detections, C classes.

Crowd regions are ignored (a detection on one is neither right nor wrong). Boxes flagged `difficult` are ordinary
boxes: COCO's evaluation, which the paper used, knows no such flag, and the paper counts them (40,000 in VOC 2012).
VOC's own evaluation is `VocRules` of `evaluation.matching`.
"""

from noisedash.datasets.dataset import Dataset
from noisedash.errors import DataError
from noisedash.evaluation.matching import COCO_IOUS, SIZES_PX2, CocoRules, MatchTable, match
from noisedash.evaluation.precision import FloatArray, average_precisions, mean_over_classes, over_thresholds
from noisedash.evaluation.records import ApRecord, Predictions
from noisedash.spec import EvaluationSpec


def evaluate(dataset: Dataset, predictions: Predictions, spec: EvaluationSpec) -> tuple[ApRecord, ...]:
    """AP at `spec.match_iou` on the clean annotations of `dataset`, one record per score threshold, in their order.

    Per class the precision is averaged over 101 recalls, over all box areas, with at most `spec.max_detections`
    detections of an image. Equal to pycocotools to 1e-9. Raises DataError where no class has a box.
    """
    table = match_as_in(dataset, predictions, spec)
    of_classes = over_thresholds(table, spec.score_thresholds)[:, 0]
    return tuple(
        ApRecord(threshold, float(mean), tuple(None if ap != ap else ap for ap in of_class.tolist()))
        for threshold, mean, of_class in zip(
            spec.score_thresholds, mean_over_classes(of_classes), of_classes, strict=True
        )
    )


def match_as_in(dataset: Dataset, predictions: Predictions, spec: EvaluationSpec) -> MatchTable:
    """The table that a run's results stand on: COCO's rules at `spec.match_iou`, one IoU.

    Raises DataError where no class has a box.
    """
    if dataset.boxes.crowd.all():
        raise DataError(
            f"The test images of dataset '{dataset.name}' have no boxes, so nothing can be evaluated on "
            "them; choose a split whose test images are annotated."
        )
    return match(dataset, predictions, CocoRules((spec.match_iou,), spec.max_detections))


def coco_summary(dataset: Dataset, predictions: Predictions) -> dict[str, float]:
    """COCO's twelve numbers under their names; nan where the dataset has no boxes of a size.

    AP and AR are means over IoU .5:.95 and classes, AR the recall with at most 1, 10 or 100 detections of a class on
    an image. Sizes go by the objects' areas. Equal to pycocotools to 1e-9.
    """
    tables = {
        size: match(dataset, predictions, CocoRules(COCO_IOUS, area_px2=area)) for size, area in SIZES_PX2.items()
    }
    overall = average_precisions(tables["all"])
    summary = {
        "AP": _mean(overall),
        "AP50": _mean(overall[COCO_IOUS.index(0.5)]),
        "AP75": _mean(overall[COCO_IOUS.index(0.75)]),
    }
    sizes = [size for size in SIZES_PX2 if size != "all"]
    summary |= {f"AP {size}": _mean(average_precisions(tables[size])) for size in sizes}
    for most in (1, 10):
        summary[f"AR {most}"] = _mean(match(dataset, predictions, CocoRules(COCO_IOUS, most)).recalls())
    summary["AR 100"] = _mean(tables["all"].recalls())
    return summary | {f"AR {size}": _mean(tables[size].recalls()) for size in sizes}


def _mean(of_ious_and_classes: FloatArray) -> float:
    """Mean over classes with boxes, and over IoUs where there are several."""
    return float(mean_over_classes(of_ious_and_classes).mean())
