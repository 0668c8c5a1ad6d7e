import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisedash.boxes import pairwise_iou
from noisedash.detector.anchors import anchors
from noisedash.detector.coder import encode
from noisedash.detector.matching import match, match_boxes
from noisedash.spec import SsdMobileNetV1

SMALL = anchors(SsdMobileNetV1(input_side=96))


def slow_match(anchors_xyxy: torch.Tensor, boxes_xyxy: torch.Tensor, valid: torch.Tensor) -> list[int]:
    """One image, one anchor and box at a time, as ArgMaxMatcher's documentation tells it."""
    rows = valid.nonzero()[:, 0].tolist()
    matched = [-1] * len(anchors_xyxy)
    if not rows:
        return matched
    iou = pairwise_iou(boxes_xyxy.double().numpy(), anchors_xyxy.double().numpy())
    for anchor in range(len(anchors_xyxy)):
        best = max(rows, key=lambda row: iou[row, anchor])
        if iou[best, anchor] >= 0.5:
            matched[anchor] = best
    for row in reversed(rows):
        if iou[row].max() > 0:
            matched[int(np.argmax(iou[row]))] = row
    return matched


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    images, boxes = draw(st.integers(1, 3)), draw(st.integers(0, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    size = torch.rand(images, boxes, 2, generator=generator).double() * 0.9 + 0.02
    top_left = torch.rand(images, boxes, 2, generator=generator).double() * (1 - size)
    valid = torch.rand(images, boxes, generator=generator) < 0.7
    return torch.cat([top_left, top_left + size], dim=-1), valid


@settings(max_examples=60, deadline=None)
@given(batches())
def test_equals_one_at_a_time(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    boxes, valid = batch
    found = match_boxes(SMALL.double(), boxes, valid)
    assert found.tolist() == [slow_match(SMALL, boxes[image], valid[image]) for image in range(len(boxes))]


def boxes_of(*rows: tuple[float, float, float, float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    boxes = torch.tensor(rows)[None]
    return boxes, torch.arange(len(rows))[None], torch.ones(1, len(rows), dtype=torch.bool)


def test_half_is_positive_and_less_is_not() -> None:
    own = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 0.49]])
    boxes, labels, valid = boxes_of((0.0, 0.0, 1.0, 1.0))
    assert match(own, boxes, labels, valid).labels.tolist() == [[0, 0, -1]]


def test_a_forced_match_wins_over_a_better_ordinary_one() -> None:
    own = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.9, 1.0]])
    boxes, labels, valid = boxes_of((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.3, 1.0))
    targets = match(own, boxes, labels, valid)
    assert targets.labels.tolist() == [[0, 1]], "the second anchor is the best of the small box, whatever else fits it"


def test_of_two_boxes_that_force_one_anchor_the_first_has_it() -> None:
    own = torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]])
    boxes, labels, valid = boxes_of((0.0, 0.0, 0.2, 0.2), (0.0, 0.0, 0.9, 0.9))
    assert match(own, boxes, labels, valid).box_index.tolist() == [[0, -1]]


def test_a_box_without_area_and_padding_match_nothing() -> None:
    boxes, labels, valid = boxes_of((0.5, 0.5, 0.5, 0.5), (0.1, 0.1, 0.6, 0.6))
    valid[0, 1] = False
    targets = match(SMALL, boxes, labels, valid)
    assert not targets.positive.any()
    assert torch.count_nonzero(targets.deltas) == 0


def test_no_box_at_all() -> None:
    none = torch.zeros(2, 0, dtype=torch.int64)
    targets = match(SMALL, torch.zeros(2, 0, 4), none, none.bool())
    assert targets.labels.shape == (2, len(SMALL))
    assert not targets.positive.any()
    assert targets.deltas.shape == (2, len(SMALL), 4)


def test_labels_and_deltas_are_the_matched_boxes() -> None:
    boxes = torch.tensor([[[0.1, 0.1, 0.5, 0.6], [0.5, 0.4, 0.9, 0.8]], [[0.2, 0.2, 0.7, 0.6], [0.0, 0.0, 0.0, 0.0]]])
    labels = torch.tensor([[4, 2], [6, 0]])
    valid = torch.tensor([[True, True], [True, False]])
    targets = match(SMALL, boxes, labels, valid)
    for image, anchor in targets.positive.nonzero().tolist():
        row = targets.box_index[image, anchor]
        assert targets.labels[image, anchor] == labels[image, row]
        assert torch.equal(targets.deltas[image, anchor], encode(boxes[image, row][None], SMALL[anchor][None])[0])
    assert set(targets.labels[0].tolist()) == {-1, 2, 4}
    assert set(targets.labels[1].tolist()) == {-1, 6}
