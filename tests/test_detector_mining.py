import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from noisedash.detector import mining
from noisedash.detector.mining import mine_hard_examples, not_suppressed
from noisedash.spec import CrossEntropy

FAR_APART = torch.arange(12.0)[:, None] * 10 + torch.tensor([0.0, 0.0, 1.0, 1.0])


def slow_miner(losses: torch.Tensor, positive: torch.Tensor, boxes: torch.Tensor, loss: CrossEntropy) -> list[int]:
    """One image and one box at a time, as HardExampleMiner's documentation tells it."""
    selected: list[int] = []
    iou = box_iou(boxes.double(), boxes.double())
    for anchor in sorted(range(len(losses)), key=lambda row: -float(losses[row])):
        limit = loss.mining_nms_iou
        if len(selected) < loss.max_hard_examples and (limit is None or all(iou[anchor, selected] <= limit)):
            selected.append(anchor)
    positives = sum(bool(positive[anchor]) for anchor in selected)
    negatives_left = int(loss.negatives_per_positive * positives)
    mined = []
    for anchor in selected:
        if positive[anchor]:
            mined.append(anchor)
        elif negatives_left > 0:
            mined.append(anchor)
            negatives_left -= 1
    return sorted(mined)


@st.composite
def crowded_batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Losses, positives and boxes (B, A, 4) of which many nearly coincide, at all positions, negative ones too."""
    images, anchors = draw(st.integers(1, 3)), draw(st.integers(1, 60))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    centres = torch.randn(images, 8, 4, generator=generator)[:, torch.randint(0, 8, (anchors,), generator=generator)]
    sides = centres[..., 2:].abs() + draw(st.sampled_from([0.0, 0.05, 2.0]))
    boxes = torch.cat([centres[..., :2], centres[..., :2] + sides], dim=-1)
    boxes = boxes + torch.randn(boxes.shape, generator=generator) * draw(st.sampled_from([0.0, 0.002, 0.05]))
    losses = torch.rand(images, anchors, generator=generator)
    return losses, torch.rand(images, anchors, generator=generator) < 0.2, boxes.double()


@settings(max_examples=80, deadline=None)
@given(
    crowded_batches(),
    st.sampled_from([0.0, 1.0, 2.5, 3.0]),
    st.sampled_from([1, 5, 3000]),
    st.sampled_from([None, 0.5, 0.9, 0.99, 1.0]),
)
def test_equals_one_at_a_time(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], negatives: float, most: int, iou: float | None
) -> None:
    losses, positive, boxes = batch
    loss = CrossEntropy(negatives_per_positive=negatives, max_hard_examples=most, mining_nms_iou=iou)
    found = mine_hard_examples(losses, positive, boxes, loss)
    for image in range(len(losses)):
        expected = slow_miner(losses[image], positive[image], boxes[image], loss)
        assert found[image].nonzero()[:, 0].tolist() == expected


def test_three_negatives_for_each_positive_the_hardest_first() -> None:
    losses = torch.linspace(0, 1, 12)[None]
    positive = torch.zeros(1, 12, dtype=torch.bool)
    positive[0, 0] = True
    found = mine_hard_examples(losses, positive, FAR_APART[None], CrossEntropy())
    assert found[0].nonzero()[:, 0].tolist() == [0, 9, 10, 11]


def test_images_are_mined_apart() -> None:
    losses = torch.linspace(0, 1, 12).repeat(2, 1)
    positive = torch.zeros(2, 12, dtype=torch.bool)
    positive[1, 3] = True
    found = mine_hard_examples(losses, positive, FAR_APART.repeat(2, 1, 1), CrossEntropy())
    assert found.sum(dim=1).tolist() == [0, 4]


def test_a_positive_under_a_harder_twin_does_not_count() -> None:
    boxes = FAR_APART.clone()
    boxes[0] = boxes[11]
    losses = torch.linspace(0, 1, 12)[None]
    positive = torch.zeros(1, 12, dtype=torch.bool)
    positive[0, 0] = True
    assert not mine_hard_examples(losses, positive, boxes[None], CrossEntropy()).any()
    assert mine_hard_examples(losses, positive, boxes[None], CrossEntropy(mining_nms_iou=None)).sum() == 4


def test_only_boxes_that_may_have_a_twin_are_suppressed_in_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = torch.rand(2, 300, 4)
    boxes[..., 2:] = boxes[..., :2] + 0.3
    boxes[0, 7] = boxes[0, 8]
    handed = []
    monkeypatch.setattr(mining, "batched_nms", lambda boxes, *rest: handed.append(len(boxes)) or torch.arange(0))
    not_suppressed(torch.rand(2, 300), boxes, 0.99)
    assert handed[0] < 30


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_a_twin_is_found_up_to_the_threshold(iou: float, edge: int, size: float) -> None:
    """Two boxes that differ at one edge only, by as much as their overlap allows."""
    boxes = (FAR_APART * size).double().repeat(1, 1, 1)
    for place, overlap in ((5, iou + 0.002), (6, iou - 0.002)):
        boxes[0, place] = boxes[0, place + 5]
        boxes[0, place, edge] += (1 - overlap) * size * (1 if edge < 2 else -1)
    kept = not_suppressed(torch.linspace(0, 1, 12)[None], boxes, iou)
    assert kept[0].tolist() == [True] * 5 + [False] + [True] * 6


def test_images_stay_apart_where_coordinates_are_negative() -> None:
    one, other = [1.0, 1.0, 2.0, 2.0], [-2.0, -2.0, -1.0, -1.0]
    boxes = torch.tensor([[one, one], [other, other]])
    kept = not_suppressed(torch.tensor([[0.9, 0.8], [0.7, 0.6]]), boxes, 0.99)
    assert kept.tolist() == [[True, False], [True, False]]
