"""Curves and thresholds against evaluating again what is left, and against counting."""

import numpy as np
import pytest
from evaluation_toys import dataset, detections, random_case

from noisedash.evaluation.falsealarms import recall_at_false_positives
from noisedash.evaluation.matching import CocoRules, Outcome, match
from noisedash.evaluation.precision import (
    RECALLS,
    average_precisions,
    mean_over_classes,
    over_thresholds,
    precision_recall,
)

THRESHOLDS = [0.0, 0.01, 0.3, 0.5, 0.77, 0.99]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("interpolation", ["coco101", "voc", "voc07"])
def test_a_threshold_is_evaluating_what_is_left(seed: int, interpolation) -> None:
    data, found = random_case(seed)
    rules = CocoRules((0.5, 0.75), max_detections=7)
    made = over_thresholds(match(data, found, rules), THRESHOLDS, interpolation)
    for threshold, aps in zip(THRESHOLDS, made, strict=True):
        again = average_precisions(match(data, found.above(threshold), rules), interpolation)
        np.testing.assert_allclose(aps, again, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_curve_is_counting_from_the_best_detection_on(seed: int) -> None:
    data, found = random_case(seed)
    table = match(data, found, CocoRules())
    for class_id, positives in enumerate(table.positives()):
        curve = precision_recall(table, class_id)
        if positives == 0:
            assert curve is None
            continue
        points, right, wrong = [], 0, 0
        for position in range(len(table)):
            if table.class_id[position] == class_id and table.outcome[0, position] != Outcome.IGNORED:
                right += table.outcome[0, position] == Outcome.RIGHT
                wrong += table.outcome[0, position] == Outcome.WRONG
                points.append((right / positives, right / (right + wrong), float(table.score[position])))
        expected = np.array(points).reshape(-1, 3)
        np.testing.assert_allclose(np.stack([curve.recall, curve.precision, curve.score], axis=1), expected)
        assert curve.at_recalls(RECALLS["coco101"]).mean() == pytest.approx(curve.average_precision, abs=1e-12)


def slow_recall(table, class_id: int | None, per_image: float) -> float:
    """The best recall over every threshold that leaves few enough wrong detections."""
    own = np.ones(len(table), bool) if class_id is None else table.class_id == class_id
    positives = table.positives() if class_id is None else table.positives()[class_id]
    best = 0.0
    for threshold in set(table.score[own].tolist()):
        kept = table.outcome[0, own & (table.score >= threshold)]
        if (kept == Outcome.WRONG).sum() <= per_image * table.images:
            best = max(best, (kept == Outcome.RIGHT).sum() / positives.sum())
    return best


@pytest.mark.parametrize("seed", range(6))
def test_recall_at_false_positives_is_the_best_threshold_of_all(seed: int) -> None:
    table = match(*random_case(seed), CocoRules())
    rates = (0.05, 0.25, 0.5, 1.0, 4.0)
    made = recall_at_false_positives(table, rates)
    for number, rate in enumerate(rates):
        assert made.pooled[number] == pytest.approx(slow_recall(table, None, rate))
        for class_id, positives in enumerate(table.positives()):
            recall = made.of_class[number, class_id]
            assert np.isnan(recall) if positives == 0 else recall == pytest.approx(slow_recall(table, class_id, rate))
    np.testing.assert_allclose(made.mean, mean_over_classes(made.of_class))


def test_equal_scores_are_reported_together_or_not_at_all() -> None:
    data = dataset([[0, 0, 10, 10]], [0], [0], images=2, classes=1)
    found = detections([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], [0, 0], [0.5, 0.5])
    made = recall_at_false_positives(match(data, found, CocoRules()), (0.25, 0.5))
    assert made.pooled.tolist() == [0.0, 1.0]
    assert np.isnan(made.pooled_score[0])
    assert made.pooled_score[1] == 0.5


def test_nothing_to_find_has_no_recall() -> None:
    made = recall_at_false_positives(match(dataset([], [], []), detections([], [], [], []), CocoRules()), (1.0,))
    assert np.isnan([made.pooled[0], made.mean[0]]).all()
