import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from noisedash.detector import postprocess as module
from noisedash.detector.anchors import anchors
from noisedash.detector.coder import decode, encode
from noisedash.detector.postprocess import postprocess
from noisedash.spec import EvaluationSpec, SsdMobileNetV1

SMALL = anchors(SsdMobileNetV1(input_side=96))
Row = tuple[float, int, list[float]]


def slow_postprocess(logits: torch.Tensor, deltas: torch.Tensor, spec: EvaluationSpec) -> list[Row]:
    """One image, one class and box at a time: (score, class, box) by falling score."""
    boxes = decode(deltas, SMALL)
    iou = box_iou(boxes.double(), boxes.double())
    scores = logits.sigmoid()
    found: list[Row] = []
    for class_id in range(logits.shape[1]):
        kept: list[int] = []
        for anchor in scores[:, class_id].argsort(descending=True).tolist():
            score = float(scores[anchor, class_id])
            if score < min(spec.score_thresholds) or any(iou[anchor, kept] > spec.nms_iou):
                continue
            kept.append(anchor)
            left, top, right, bottom = boxes[anchor].clamp(0, 1).tolist()
            if right > left and bottom > top:
                found.append((score, class_id, [left, top, right, bottom]))
    return sorted(found, key=lambda row: -row[0])[: spec.max_detections]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([-8.0, -3.0, 0.0]),
    st.sampled_from([0.1, 1.0, 20.0]),
    st.sampled_from([1, 10, 100, 2000]),
    st.sampled_from([0.3, 0.6, 1.0]),
)
def test_equals_one_at_a_time(seed: int, mean: float, spread: float, most: int, iou: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, len(SMALL), 3, generator=generator) * 2 + mean
    deltas = torch.randn(2, len(SMALL), 4, generator=generator) * spread
    assume(logits.sigmoid().unique().numel() == logits.numel())  # equal scores may stand in either order
    spec = EvaluationSpec(score_thresholds=(0.3, 0.01), max_detections=most, nms_iou=iou)
    found = postprocess(logits, deltas, SMALL, spec)
    assert torch.equal(found.image, found.image.sort().values)
    for image in range(2):
        expected = slow_postprocess(logits[image], deltas[image], spec)
        rows = found.image == image
        assert found.score[rows].tolist() == pytest.approx([row[0] for row in expected])
        assert found.class_id[rows].tolist() == [row[1] for row in expected]
        boxes = torch.tensor([row[2] for row in expected]).reshape(-1, 4)
        assert torch.allclose(found.boxes_xyxy[rows], boxes, atol=1e-6)


def only(*scored: tuple[int, int, float]) -> torch.Tensor:
    """Logits (1, A, 2) with the scores of (anchor, class, score), all others next to 0."""
    logits = torch.full((1, len(SMALL), 2), -30.0)
    for anchor, class_id, score in scored:
        logits[0, anchor, class_id] = torch.logit(torch.tensor(score))
    return logits


def at(box: list[float]) -> torch.Tensor:
    """Deltas (1, A, 4) that put every anchor's box at one place."""
    return encode(torch.tensor(box).expand_as(SMALL), SMALL)[None]


def test_suppression_is_within_a_class() -> None:
    found = postprocess(only((0, 0, 0.9), (5, 0, 0.8), (9, 1, 0.7)), at([0.2, 0.2, 0.6, 0.6]), SMALL, EvaluationSpec())
    assert found.class_id.tolist() == [0, 1]
    assert found.score.tolist() == pytest.approx([0.9, 0.7])


def test_classes_stay_apart_where_a_box_lies_outside() -> None:
    """Such as would fall onto the first, were classes kept apart by shifting them by the largest coordinate and 1."""
    deltas = at([0.2, 0.2, 0.6, 0.6])
    deltas[0, 5] = at([-1.4, -1.4, -1.0, -1.0])[0, 5]
    found = postprocess(only((0, 0, 0.7), (5, 1, 0.9)), deltas, SMALL, EvaluationSpec())
    assert found.class_id.tolist() == [0]


def test_a_box_behind_many_suppressed_ones_is_found() -> None:
    deltas = at([0.2, 0.2, 0.6, 0.6])
    deltas[0, 100] = at([0.7, 0.7, 0.9, 0.9])[0, 100]
    logits = only(*((anchor, 0, 0.9) for anchor in range(90)), (100, 0, 0.5))
    found = postprocess(logits, deltas, SMALL, EvaluationSpec(max_detections=2))
    assert found.score.tolist() == pytest.approx([0.9, 0.5])


def test_one_anchor_may_have_two_classes() -> None:
    found = postprocess(only((0, 0, 0.9), (0, 1, 0.8)), at([0.2, 0.2, 0.6, 0.6]), SMALL, EvaluationSpec())
    assert found.class_id.tolist() == [0, 1]


def test_the_lowest_threshold_decides_and_is_reached() -> None:
    spec = EvaluationSpec(score_thresholds=(0.3, 0.25))
    apart = torch.zeros(1, len(SMALL), 4)
    found = postprocess(only((0, 0, 0.3), (120, 0, 0.2500001), (150, 0, 0.24)), apart, SMALL, spec)
    assert found.score.tolist() == pytest.approx([0.3, 0.25])


def test_boxes_are_clipped_and_those_outside_are_dropped() -> None:
    found = postprocess(only((0, 0, 0.9)), at([-0.5, 0.2, 0.6, 1.7]), SMALL, EvaluationSpec())
    assert torch.allclose(found.boxes_xyxy, torch.tensor([[0.0, 0.2, 0.6, 1.0]]), atol=1e-5)
    assert len(postprocess(only((0, 0, 0.9)), at([1.1, 0.2, 1.6, 0.7]), SMALL, EvaluationSpec())) == 0


def test_nothing_found_and_no_image() -> None:
    assert len(postprocess(only(), at([0.2, 0.2, 0.6, 0.6]), SMALL, EvaluationSpec())) == 0
    none = postprocess(torch.zeros(0, len(SMALL), 2), torch.zeros(0, len(SMALL), 4), SMALL, EvaluationSpec())
    assert (len(none), tuple(none.boxes_xyxy.shape)) == (0, (0, 4))


def test_outputs_that_are_not_numbers_are_no_detections() -> None:
    logits = torch.full((1, len(SMALL), 2), torch.nan)
    assert len(postprocess(logits, torch.zeros(1, len(SMALL), 4), SMALL, EvaluationSpec())) == 0


def test_a_low_threshold_suppresses_few_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = []
    original = module.batched_nms
    monkeypatch.setattr(module, "batched_nms", lambda boxes, *rest: handed.append(len(boxes)) or original(boxes, *rest))
    paper = anchors(SsdMobileNetV1())
    logits = torch.randn(1, len(paper), 20, generator=torch.Generator().manual_seed(0))
    found = postprocess(logits, torch.zeros(1, len(paper), 4), paper, EvaluationSpec())
    assert len(found) == 100
    assert handed == [400], "of 38,340 candidates"
