"""Average precision as COCO's evaluation counts it, by faster-coco-eval. M clean boxes, D detections, C classes.

Crowd regions are ignored (a detection on one is neither right nor wrong). Boxes flagged `difficult` are ordinary
boxes: COCO's evaluation, which the paper used, knows no such flag, and the paper counts them (40,000 in VOC 2012).
"""

from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from noisedash.boxes import box_area, xyxy_to_xywh
from noisedash.datasets.dataset import Boxes, Dataset
from noisedash.errors import DataError
from noisedash.evaluation.records import ApRecord, Predictions
from noisedash.spec import EvaluationSpec


def evaluate(dataset: Dataset, predictions: Predictions, spec: EvaluationSpec) -> tuple[ApRecord, ...]:
    """AP at `spec.match_iou` on the clean annotations of `dataset`, one record per score threshold, in their order.

    Per class the precision is averaged over 101 recalls, over all box areas, with at most `spec.max_detections`
    detections of an image. Equal to pycocotools to 1e-9. Raises DataError where no class has a box.
    """
    counts = np.bincount(dataset.boxes.class_id[~dataset.boxes.crowd], minlength=len(dataset.classes))
    if not counts.any():
        raise DataError(
            f"The test images of dataset '{dataset.name}' have no boxes, so nothing can be evaluated on "
            "them; choose a split whose test images are annotated."
        )
    evaluated = np.flatnonzero(counts)
    precisions = [
        _average_precisions(dataset, predictions.above(threshold), evaluated, spec)
        for threshold in spec.score_thresholds
    ]
    return tuple(
        _record(threshold, average_precisions, evaluated, len(dataset.classes))
        for threshold, average_precisions in zip(spec.score_thresholds, precisions, strict=True)
    )


def _record(
    threshold: float, average_precisions: NDArray[np.float64], evaluated: NDArray[np.int64], classes: int
) -> ApRecord:
    per_class: list[float | None] = [None] * classes
    for class_id, average_precision in zip(evaluated.tolist(), average_precisions.tolist(), strict=True):
        per_class[class_id] = average_precision
    return ApRecord(threshold, float(average_precisions.mean()), tuple(per_class))


def _average_precisions(
    dataset: Dataset, predictions: Predictions, evaluated: NDArray[np.int64], spec: EvaluationSpec
) -> NDArray[np.float64]:
    """AP of each of the `evaluated` classes (K,), which all have boxes."""
    truth = _coco(dataset, _truth_annotations(dataset.boxes))
    found = _coco(dataset, _detection_annotations(predictions))
    run = COCOeval_faster(truth, found, iouType="bbox", print_function=_silent, separate_eval=True)
    run.params.catIds = evaluated.tolist()
    run.params.iouThrs = np.array([spec.match_iou])
    run.params.maxDets = [spec.max_detections]
    run.params.areaRng = run.params.areaRng[:1]
    run.params.areaRngLbl = run.params.areaRngLbl[:1]
    run.evaluate()
    run.accumulate()
    precision = np.asarray(run.eval["precision"])[0, :, :, 0, 0]  # (101 recalls, K classes)
    return np.asarray(precision.mean(axis=0))


def _coco(dataset: Dataset, annotations: list[dict[str, Any]]) -> COCO:
    """faster-coco-eval's index; image ids are rows, category ids are class ids."""
    content = {
        "images": [{"id": row} for row in range(len(dataset.images))],
        "categories": [{"id": class_id} for class_id in range(len(dataset.classes))],
        "annotations": annotations,
    }
    return COCO(content, print_function=_silent)


def _truth_annotations(boxes: Boxes) -> list[dict[str, Any]]:
    columns = zip(
        boxes.image_index.tolist(),
        boxes.class_id.tolist(),
        xyxy_to_xywh(boxes.xyxy).tolist(),
        box_area(boxes.xyxy).tolist(),
        boxes.crowd.astype(int).tolist(),
        strict=True,
    )
    return [
        {"id": number, "image_id": image, "category_id": class_id, "bbox": xywh, "area": area, "iscrowd": crowd}
        for number, (image, class_id, xywh, area, crowd) in enumerate(columns, start=1)
    ]


def _detection_annotations(predictions: Predictions) -> list[dict[str, Any]]:
    xyxy = predictions.xyxy.astype(np.float64)
    columns = zip(
        predictions.image_index.tolist(),
        predictions.class_id.tolist(),
        predictions.score.tolist(),
        xyxy_to_xywh(xyxy).tolist(),
        box_area(xyxy).tolist(),
        strict=True,
    )
    return [
        {"id": number, "image_id": image, "category_id": class_id, "score": score, "bbox": xywh, "area": area}
        for number, (image, class_id, score, xywh, area) in enumerate(columns, start=1)
    ]


def _silent(*_: object) -> None:
    """Takes what faster-coco-eval would print."""
