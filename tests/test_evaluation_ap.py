"""AP against pycocotools, against values worked out by hand, and at the edges."""

import contextlib
import io
import logging
from dataclasses import replace

import numpy as np
import pytest
from evaluation_toys import dataset, detections, random_case
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from noisedash.datasets.dataset import Dataset
from noisedash.errors import DataError
from noisedash.evaluation.ap import evaluate
from noisedash.evaluation.records import Predictions
from noisedash.spec import EvaluationSpec

ONE_THRESHOLD = EvaluationSpec(score_thresholds=(0.0,))


def by_pycocotools(data: Dataset, found: Predictions, spec: EvaluationSpec) -> list[float | None]:
    """AP of each class, None where it has no box; the peer's own way of loading and calling."""

    def xywh(corners):
        left, top, right, bottom = (float(value) for value in corners)
        return [left, top, right - left, bottom - top]

    truth = COCO()
    truth.dataset = {
        "images": [{"id": row} for row in range(len(data.images))],
        "categories": [{"id": row} for row in range(len(data.classes))],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(data.boxes.image_index[row]),
                "category_id": int(data.boxes.class_id[row]),
                "bbox": (box := xywh(data.boxes.xyxy[row])),
                "area": box[2] * box[3],
                "iscrowd": int(data.boxes.crowd[row]),
            }
            for row in range(len(data.boxes))
        ],
    }
    results = [
        {
            "image_id": int(found.image_index[row]),
            "category_id": int(found.class_id[row]),
            "score": float(found.score[row]),
            "bbox": xywh(found.xyxy[row]),
        }
        for row in range(len(found))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results) if results else COCO(), "bbox")
        run.params.iouThrs = np.array([spec.match_iou])
        run.params.maxDets = [spec.max_detections]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][0, :, :, 0, -1]
    return [None if column[0] < 0 else float(column.mean()) for column in precision.T]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([(0.5, 100), (0.75, 100), (0.5, 3)]))
def test_equal_to_pycocotools(seed: int, setting: tuple[float, int]) -> None:
    match_iou, max_detections = setting
    spec = EvaluationSpec(score_thresholds=(0.0, 0.3), match_iou=match_iou, max_detections=max_detections)
    data, found = random_case(seed)
    for record in evaluate(data, found, spec):
        expected = by_pycocotools(data, found.above(record.score_threshold), spec)
        assert [value is None for value in record.per_class] == [value is None for value in expected]
        ours = [value for value in record.per_class if value is not None]
        theirs = [value for value in expected if value is not None]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
        assert record.mean == pytest.approx(np.mean(theirs), abs=1e-9)


def test_a_value_worked_out_by_hand() -> None:
    """Two boxes; found one, then a stray, then the other: precision 1 up to recall .5, 2/3 from there."""
    data = dataset([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], [0, 0], classes=1)
    found = detections([[0, 0, 10, 10], [100, 100, 110, 110], [50, 50, 60, 60]], [0] * 3, [0] * 3, [0.9, 0.8, 0.7])
    (record,) = evaluate(data, found, ONE_THRESHOLD)
    assert record.mean == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_class_without_boxes_has_none_and_is_left_out_of_the_mean() -> None:
    data = dataset([[0, 0, 10, 10], [0, 0, 9, 9]], [0, 1], [0, 0], classes=3, crowd=[False, True])
    found = detections([[0, 0, 10, 10], [30, 30, 40, 40]], [0, 2], [0, 0], [0.9, 0.9])
    (record,) = evaluate(data, found, ONE_THRESHOLD)
    assert record.per_class == (pytest.approx(1.0), None, None)
    assert record.mean == pytest.approx(1.0)


def test_difficult_boxes_count_and_crowds_are_ignored() -> None:
    boxes, found = [[0, 0, 10, 10], [50, 50, 90, 90]], detections([[0, 0, 10, 10]], [0], [0], [0.9])
    plain = dataset(boxes, [0, 0], [0, 0], classes=1)
    difficult = dataset(boxes, [0, 0], [0, 0], classes=1, difficult=[False, True])
    crowd = dataset(boxes, [0, 0], [0, 0], classes=1, crowd=[False, True])
    means = [evaluate(data, found, ONE_THRESHOLD)[0].mean for data in (plain, difficult, crowd)]
    assert means == pytest.approx([51 / 101, 51 / 101, 1.0])
    on_crowd = detections([[51, 51, 60, 60], [0, 0, 10, 10]], [0, 0], [0, 0], [0.95, 0.9])
    assert evaluate(crowd, on_crowd, ONE_THRESHOLD)[0].mean == pytest.approx(1.0)
    assert evaluate(plain, on_crowd, ONE_THRESHOLD)[0].mean < 0.5


def test_thresholds_keep_their_order_and_cut_the_curve_short() -> None:
    data = dataset([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], [0, 0], classes=1)
    found = detections([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], [0, 0], [0.9, 0.2])
    records = evaluate(data, found, EvaluationSpec(score_thresholds=(0.3, 0.01)))
    assert [record.score_threshold for record in records] == [0.3, 0.01]
    assert [record.mean for record in records] == pytest.approx([51 / 101, 1.0])


def test_no_detections_are_worth_nothing() -> None:
    data = dataset([[0, 0, 10, 10]], [1], [0])
    (record,) = evaluate(data, detections([], [], [], []), ONE_THRESHOLD)
    assert record.per_class == (None, 0.0)
    assert record.mean == 0.0


def test_a_test_set_without_boxes_is_refused_by_name() -> None:
    empty = dataset([], [], [])
    with pytest.raises(DataError, match="'made' have no boxes"):
        evaluate(empty, detections([], [], [], []), ONE_THRESHOLD)
    crowd_only = dataset([[0, 0, 5, 5]], [0], [0], crowd=[True])
    with pytest.raises(DataError, match="no boxes"):
        evaluate(crowd_only, detections([], [], [], []), ONE_THRESHOLD)


def test_it_prints_and_logs_nothing(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    data, found = random_case(3)
    with caplog.at_level(logging.DEBUG):
        evaluate(data, found, ONE_THRESHOLD)
    captured = capsys.readouterr()
    assert (captured.out, captured.err, caplog.records) == ("", "", [])


def test_the_predictions_and_the_dataset_are_left_as_they_were() -> None:
    data, found = random_case(4)
    before = replace(found, score=found.score.copy(), xyxy=found.xyxy.copy()), data.boxes.xyxy.copy()
    evaluate(data, found, ONE_THRESHOLD)
    np.testing.assert_array_equal(found.xyxy, before[0].xyxy)
    np.testing.assert_array_equal(found.score, before[0].score)
    np.testing.assert_array_equal(data.boxes.xyxy, before[1])
