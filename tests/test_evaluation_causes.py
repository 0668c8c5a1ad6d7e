"""Errors by cause against hand-made cases and a slow evaluator that follows Bolya et al. (2020) one box at a time."""

import numpy as np
import pytest
from evaluation_toys import dataset, detections, random_case

from noisedash.boxes import pairwise_iou
from noisedash.evaluation.causes import Cause, error_causes
from noisedash.evaluation.matching import Outcome

BOX, AWAY = [0, 0, 100, 100], [150, 150, 190, 190]


@pytest.mark.parametrize(
    ("found_xyxy", "found_class", "cause"),
    [
        ([0, 0, 100, 30], 0, Cause.LOCALISATION),
        ([0, 0, 100, 90], 1, Cause.CLASSIFICATION),
        ([0, 0, 100, 30], 1, Cause.BOTH),
        ([0, 0, 100, 95], 0, Cause.DUPLICATE),
        ([140, 140, 160, 160], 0, Cause.BACKGROUND),
        ([0, 0, 100, 9], 0, Cause.BACKGROUND),
    ],
)
def test_a_wrong_detection_has_its_cause(found_xyxy, found_class, cause) -> None:
    data = dataset([BOX, [0, 0, 1, 1]], [0, 1], [0, 1], images=2)
    found = detections([BOX, found_xyxy], [0, found_class], [0, 0], [0.9, 0.8])
    made = error_causes(data, found)
    assert made.cause[made.table.row == 1].tolist() == [cause]
    assert made.cause[made.table.row == 0].tolist() == [None]
    assert {fixed.cause: fixed.count for fixed in made.fixed if fixed.count} == {cause: 1, Cause.MISSED: 1}


def test_a_box_in_reach_of_a_wrong_detection_is_not_missed() -> None:
    data = dataset([BOX, AWAY], [0, 0], [0, 0], classes=1)
    made = error_causes(data, detections([[0, 0, 100, 30]], [0], [0], [0.9]))
    assert made.missed.tolist() == [False, True]
    fixed = {one.cause: one for one in made.fixed}
    assert fixed[Cause.LOCALISATION].mean_ap == pytest.approx(51 / 101)
    assert fixed[Cause.LOCALISATION].gain == pytest.approx(51 / 101)
    assert fixed[Cause.MISSED].mean_ap == 0


def test_crowds_and_detections_on_them_have_no_cause() -> None:
    data = dataset([BOX, AWAY], [0, 0], [0, 0], classes=1, crowd=[True, False])
    made = error_causes(data, detections([[10, 10, 30, 30], AWAY], [0, 0], [0, 0], [0.9, 0.8]))
    assert made.cause.tolist() == [None, None]
    assert made.mean_ap == pytest.approx(1.0)


def slow_mean_ap(entries, positives) -> float:
    """101 points, from (class, score, image, row, right) and the boxes of each class."""
    aps = []
    for class_id, count in positives.items():
        own = sorted((e for e in entries if e[0] == class_id), key=lambda e: (-e[1], e[2], e[3]))
        right = np.cumsum([e[4] for e in own])
        points = [(r / count, r / (number + 1)) for number, r in enumerate(right)]
        aps.append(np.mean([max((p for r, p in points if r >= level), default=0) for level in np.linspace(0, 1, 101)]))
    return float(np.mean(aps))


def slow_fixes(data, found, table) -> dict[Cause, float]:
    """Fixed mAP by cause; the matching itself is taken from the table, which has tests of its own."""
    boxes = data.boxes
    counted = [box for box in range(len(boxes)) if not boxes.crowd[box]]
    used = {int(box) for box, out in zip(table.box[0], table.outcome[0], strict=True) if out == Outcome.RIGHT}
    causes, targets = {}, {}
    for position in np.flatnonzero(table.outcome[0] == Outcome.WRONG):
        row = table.row[position]
        near = [box for box in counted if boxes.image_index[box] == found.image_index[row]]
        ious = pairwise_iou(found.xyxy[row : row + 1].astype(float), boxes.xyxy[near])[0] if near else []
        same = [(iou, -box) for iou, box in zip(ious, near, strict=True) if boxes.class_id[box] == found.class_id[row]]
        other = [(iou, -box) for iou, box in zip(ious, near, strict=True) if boxes.class_id[box] != found.class_id[row]]
        same_iou, same_box = max(same, default=(0, 1))
        other_iou, other_box = max(other, default=(0, 1))
        if 0.1 <= same_iou < 0.5:
            causes[position], targets[position] = Cause.LOCALISATION, -same_box
        elif other_iou >= 0.5:
            causes[position], targets[position] = Cause.CLASSIFICATION, -other_box
        elif same_iou >= 0.5:
            causes[position] = Cause.DUPLICATE
        elif max(same_iou, other_iou) < 0.1:
            causes[position] = Cause.BACKGROUND
        else:
            causes[position] = Cause.BOTH
    missed = [box for box in counted if box not in used and box not in targets.values()]
    positives = {int(c): int((boxes.class_id[counted] == c).sum()) for c in np.unique(boxes.class_id[counted])}

    def entry(position, class_id=None, right=None):
        row = table.row[position]
        right = table.outcome[0, position] == Outcome.RIGHT if right is None else right
        class_id = found.class_id[row] if class_id is None else class_id
        return (class_id, found.score[row], found.image_index[row], row, right)

    judged = [position for position in range(len(table)) if table.outcome[0, position] != Outcome.IGNORED]
    result = {}
    for cause in Cause:
        entries, taken = [], set(used)
        for position in sorted(judged, key=lambda p: (-found.score[table.row[p]], table.row[p])):
            if causes.get(position) != cause:
                entries.append(entry(position))
            elif position in targets and targets[position] not in taken:
                taken.add(targets[position])
                entries.append(entry(position, boxes.class_id[targets[position]], True))
        left = dict(positives)
        if cause is Cause.MISSED:
            for box in missed:
                left[int(boxes.class_id[box])] -= 1
        result[cause] = slow_mean_ap(entries, {class_id: count for class_id, count in left.items() if count})
    return result


@pytest.mark.parametrize("seed", range(12))
def test_fixes_equal_the_slow_ones(seed: int) -> None:
    data, found = random_case(seed, images=4, classes=4)
    made = error_causes(data, found)
    expected = slow_fixes(data, found, made.table)
    for fixed in made.fixed:
        assert fixed.mean_ap == pytest.approx(expected[fixed.cause], abs=1e-9), fixed.cause
        assert fixed.gain == pytest.approx(fixed.mean_ap - made.mean_ap)


def test_a_score_threshold_leaves_only_what_is_above() -> None:
    data, found = random_case(2)
    assert error_causes(data, found, min_score=0.5).fixed == error_causes(data, found.above(0.5)).fixed
