"""Matching against pycocotools in all its settings, and against VOC's rules written out one detection at a time."""

import contextlib
import io
from fractions import Fraction

import numpy as np
import pytest
from evaluation_toys import dataset, detections, random_case
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from noisedash.datasets.dataset import Dataset
from noisedash.evaluation import overlaps as overlaps_module
from noisedash.evaluation.ap import coco_summary
from noisedash.evaluation.matching import COCO_IOUS, SIZES_PX2, CocoRules, Outcome, VocRules, match
from noisedash.evaluation.precision import average_precisions
from noisedash.evaluation.records import Predictions

SUMMARY = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR 1", "AR 10", "AR 100")
SUMMARY += ("AR small", "AR medium", "AR large")


def sized_case(seed: int) -> tuple[Dataset, Predictions]:
    """A random case with boxes of all of COCO's sizes."""
    data, found = random_case(seed, images=6, classes=3)
    scale = np.random.default_rng(seed).choice([1.0, 3.0, 8.0], 6)
    data.boxes.xyxy[:] *= scale[data.boxes.image_index, None]
    found.xyxy[:] *= scale.astype(np.float32)[found.image_index, None]
    return data, found


def coco_run(data: Dataset, found: Predictions) -> COCOeval:
    """pycocotools' own evaluation with its own settings, all ten IoUs, all sizes."""

    def xywh(corners):
        left, top, right, bottom = (float(value) for value in corners)
        return [left, top, right - left, bottom - top]

    boxes = [(xywh(box), row) for row, box in enumerate(data.boxes.xyxy)]
    truth = COCO()
    truth.dataset = {
        "images": [{"id": row} for row in range(len(data.images))],
        "categories": [{"id": row} for row in range(len(data.classes))],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(data.boxes.image_index[row]),
                "category_id": int(data.boxes.class_id[row]),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(data.boxes.crowd[row]),
            }
            for box, row in boxes
        ],
    }
    columns = zip(found.image_index, found.class_id, found.score, found.xyxy, strict=True)
    results = [
        {"image_id": int(image), "category_id": int(class_id), "score": float(score), "bbox": xywh(xyxy)}
        for image, class_id, score, xyxy in columns
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results) if results else COCO(), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_every_iou_size_and_class_equals_pycocotools(seed: int) -> None:
    data, found = sized_case(seed)
    run = coco_run(data, found)
    precision, recall = run.eval["precision"], run.eval["recall"]
    for number, area in enumerate(SIZES_PX2.values()):
        table = match(data, found, CocoRules(COCO_IOUS, area_px2=area))
        theirs = precision[:, :, :, number, -1].mean(axis=1)
        ours = average_precisions(table)
        np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), theirs, rtol=0, atol=1e-9)
        np.testing.assert_allclose(np.nan_to_num(table.recalls(), nan=-1), recall[..., number, -1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_equal_overlaps_and_scores_are_settled_as_by_pycocotools(seed: int) -> None:
    """Few places and sizes, so that IoUs are often equal, and exactly at a limit."""
    rng = np.random.default_rng(seed)

    def places(count: int) -> np.ndarray:
        corner = rng.integers(0, 4, (count, 2)) * 5
        return np.concatenate([corner, corner + rng.choice([10, 20], (count, 2))], axis=1)

    boxes, found = 40, 90
    data = dataset(places(boxes), [0] * boxes, rng.integers(0, 4, boxes), 4, 1, crowd=rng.random(boxes) < 0.1)
    scores = rng.integers(1, 9, found) / 10
    made = detections(places(found), [0] * found, rng.integers(0, 4, found), scores)
    ours = average_precisions(match(data, made, CocoRules(COCO_IOUS)))
    theirs = coco_run(data, made).eval["precision"][..., 0, -1].mean(axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_twelve_numbers_equal_pycocotools(seed: int) -> None:
    data, found = sized_case(seed)
    ours = coco_summary(data, found)
    assert tuple(ours) == SUMMARY
    theirs = coco_run(data, found).stats
    np.testing.assert_allclose(np.nan_to_num([ours[name] for name in SUMMARY], nan=-1), theirs, rtol=0, atol=1e-9)


def voc_overlap(first, second) -> float:
    """VOCevaldet.m's overlap; its pixel numbers are inclusive, ours are edges, so its + 1 falls away."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    if right - left <= 0 or bottom - top <= 0:
        return 0.0
    shared = (right - left) * (bottom - top)
    whole = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - shared
    return shared / whole


def voc_curve(data: Dataset, found: Predictions, class_id: int, iou: float) -> list[tuple[Fraction, Fraction]] | None:
    """(recall, precision) after each detection of a class, as VOCevaldet.m goes through them; None without boxes."""
    boxes = data.boxes
    wanted = [row for row in range(len(boxes)) if boxes.class_id[row] == class_id]
    easy = [row for row in wanted if not (boxes.difficult[row] or boxes.crowd[row])]
    if not easy:
        return None
    own = [row for row in range(len(found)) if found.class_id[row] == class_id]
    own.sort(key=lambda row: (-found.score[row], found.image_index[row], row))
    seen, right, wrong, points = set(), 0, 0, []
    for row in own:
        best, at = 0.0, None
        for box in wanted:
            if boxes.image_index[box] == found.image_index[row]:
                overlap = voc_overlap(found.xyxy[row].astype(float), boxes.xyxy[box])
                if overlap > best:
                    best, at = overlap, box
        if best >= iou:
            if at not in easy:
                continue
            right, wrong = (right + 1, wrong) if at not in seen else (right, wrong + 1)
            seen.add(at)
        else:
            wrong += 1
        points.append((Fraction(right, len(easy)), Fraction(right, right + wrong)))
    return points


def voc_all_points(points) -> float:
    """VOCap.m: the area below the curve whose precision never rises."""
    total, before = Fraction(0), Fraction(0)
    for number, (recall, _) in enumerate(points):
        total += (recall - before) * max(precision for _, precision in points[number:])
        before = recall
    return float(total)


def voc_eleven_points(points) -> float:
    levels = [Fraction(level, 10) for level in range(11)]
    best = [
        max((precision for recall, precision in points if recall >= level), default=Fraction(0)) for level in levels
    ]
    return float(sum(best) / 11)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.7]))
def test_voc_equals_its_rules_written_out(seed: int, iou: float) -> None:
    data, found = random_case(seed, images=4)
    table = match(data, found, VocRules((0.3, iou)))
    area, eleven = (average_precisions(table, rule)[1] for rule in ("voc", "voc07"))
    for class_id in range(len(data.classes)):
        points = voc_curve(data, found, class_id, iou)
        if points is None:
            assert np.isnan(area[class_id])
            continue
        assert area[class_id] == pytest.approx(voc_all_points(points), abs=1e-9)
        assert eleven[class_id] == pytest.approx(voc_eleven_points(points), abs=1e-9)


def test_the_protocols_part_on_a_taken_box() -> None:
    """The second detection overlaps the taken box most, and another one enough: right for COCO, wrong for VOC."""
    data = dataset([[0, 0, 10, 10], [3, 0, 13, 10]], [0, 0], [0, 0], classes=1)
    found = detections([[0, 0, 10, 10], [1, 0, 11, 10]], [0, 0], [0, 0], [0.9, 0.8])
    assert match(data, found, CocoRules()).outcome.tolist() == [[Outcome.RIGHT, Outcome.RIGHT]]
    assert match(data, found, VocRules()).outcome.tolist() == [[Outcome.RIGHT, Outcome.WRONG]]


def test_difficult_boxes_are_ignored_by_voc_only() -> None:
    data = dataset([[0, 0, 10, 10]], [0], [0], classes=1, difficult=[True])
    found = detections([[0, 0, 10, 10], [0, 0, 10, 9]], [0, 0], [0, 0], [0.9, 0.8])
    assert match(data, found, VocRules()).outcome.tolist() == [[Outcome.IGNORED, Outcome.IGNORED]]
    assert match(data, found, CocoRules()).outcome.tolist() == [[Outcome.RIGHT, Outcome.WRONG]]


def test_the_table_names_rows_and_boxes() -> None:
    data = dataset([[50, 50, 60, 60], [0, 0, 10, 10]], [1, 0], [0, 0])
    found = detections([[0, 0, 10, 10], [90, 90, 99, 99], [50, 50, 60, 60]], [0, 0, 1], [0, 0, 0], [0.5, 0.9, 0.7])
    table = match(data, found, CocoRules())
    assert table.row.tolist() == [1, 0, 2]
    assert table.box.tolist() == [[-1, 1, 0]]
    assert table.of_class(0) == slice(0, 2)
    assert table.positives().tolist() == [1, 1]


def test_pairs_in_many_parts_are_the_pairs_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data, found = random_case(11)
    whole = match(data, found, CocoRules(COCO_IOUS))
    monkeypatch.setattr(overlaps_module, "PAIRS_AT_ONCE", 3)
    parts = match(data, found, CocoRules(COCO_IOUS))
    np.testing.assert_array_equal(whole.box, parts.box)


@pytest.mark.parametrize("rules", [CocoRules(), VocRules()])
def test_no_detections_and_no_boxes_give_empty_tables(rules) -> None:
    nothing = detections([], [], [], [])
    table = match(dataset([], [], []), nothing, rules)
    assert (len(table), table.positives().tolist()) == (0, [0, 0])
    assert np.isnan(average_precisions(table)).all()
    strays = match(dataset([], [], []), detections([[0, 0, 5, 5]], [1], [0], [0.5]), rules)
    assert strays.outcome.tolist() == [[Outcome.WRONG]]
    assert average_precisions(match(dataset([[0, 0, 9, 9]], [0], [0]), nothing, rules))[0, 0] == 0
