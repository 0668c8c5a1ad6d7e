"""A run's report against the measures that it puts together, each alone."""

import numpy as np
import pytest
from evaluation_toys import random_case

from noisedash.evaluation.ap import coco_summary, evaluate
from noisedash.evaluation.causes import error_causes
from noisedash.evaluation.report import run_report
from noisedash.spec import EvaluationSpec

SPEC = EvaluationSpec(score_thresholds=(0.01, 0.3), max_detections=20)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_report_stands_on_the_very_results_of_the_run(seed: int, place: int) -> None:
    dataset, predictions = random_case(seed)
    results = evaluate(dataset, predictions, SPEC)
    report = run_report(dataset, predictions, SPEC, SPEC.score_thresholds[place])
    assert report.draws.mean == pytest.approx(results[place].mean, abs=1e-12)
    expected = [np.nan if ap is None else ap for ap in results[place].per_class]
    np.testing.assert_allclose(report.draws.of_class, expected, atol=1e-12)
    at = [report.over_threshold[report.thresholds.index(threshold)] for threshold in SPEC.score_thresholds]
    np.testing.assert_allclose(at, [result.mean for result in results], atol=1e-12)


def test_everything_is_of_the_detections_from_the_score_on() -> None:
    dataset, predictions = random_case(3)
    report, kept = run_report(dataset, predictions, SPEC, 0.3), predictions.above(0.3)
    assert report.min_score == 0.3
    assert report.table.score.min() >= 0.3
    summary = coco_summary(dataset, kept)
    assert {name: report.by_rules[name] for name in summary} == pytest.approx(summary, nan_ok=True)
    assert set(report.by_rules) - set(summary) == {"VOC", "VOC07"}
    assert report.fixed == error_causes(dataset, kept, SPEC.max_detections).fixed
    assert report.boxes.sum() == (~dataset.boxes.crowd).sum()


def test_a_class_without_boxes_has_no_curve() -> None:
    dataset, predictions = random_case(1)
    report = run_report(dataset, predictions, SPEC)
    empty = int(np.flatnonzero(report.boxes == 0)[0])
    assert report.precision_recall(dataset.classes[empty]) is None
    whole = int(np.argmax(report.boxes))
    curve = report.precision_recall(dataset.classes[whole])
    assert curve is not None
    assert curve.average_precision == report.draws.of_class[whole]


def test_below_what_was_kept_nothing_can_be_asked() -> None:
    assert run_report(*random_case(1), SPEC, 0.0).min_score == 0.01
