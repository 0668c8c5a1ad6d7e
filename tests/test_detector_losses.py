import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss as torchvision_focal_loss

from noisedash.detector.anchors import anchors
from noisedash.detector.coder import decode
from noisedash.detector.losses import LossParts, detection_loss, sigmoid_focal_loss
from noisedash.detector.matching import Targets, match
from noisedash.detector.mining import mine_hard_examples
from noisedash.spec import CrossEntropy, Focal, SsdMobileNetV1

SMALL = anchors(SsdMobileNetV1(input_side=96))
BOXES = torch.tensor([[[0.1, 0.1, 0.5, 0.6], [0.5, 0.4, 0.9, 0.8]], [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
LABELS = torch.tensor([[1, 2], [0, 0]])


def targets(valid: tuple[bool, bool] = (True, True)) -> Targets:
    return match(SMALL, BOXES, LABELS, torch.tensor([valid, (False, False)]))


def outputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, len(SMALL), 3, generator=generator)
    deltas = torch.randn(2, len(SMALL), 4, generator=generator)
    return logits.requires_grad_(), deltas.requires_grad_()


def with_gradient(loss: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss.detach(), gradient


@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 8.0])
def test_focal_loss_and_gradient_equal_torchvisions_where_those_are_finite(gamma: float) -> None:
    logits = torch.linspace(-80, 80, 401, dtype=torch.float64).repeat(2).requires_grad_()
    is_class = torch.arange(802) < 401
    ours = with_gradient(sigmoid_focal_loss(logits, is_class, gamma, 0.75), logits)
    theirs = with_gradient(torchvision_focal_loss(logits, is_class.double(), 0.75, gamma), logits)
    for own, other in zip(ours, theirs, strict=True):
        compared = other.isfinite()
        assert own.isfinite().all()
        assert compared.float().mean() > 0.5
        assert torch.allclose(own[compared], other[compared], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 2.0, 8.0, 20.0])
def test_focal_loss_is_finite_on_saturated_logits(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([-1e4, -80.0, -17.0, 0.0, 17.0, 80.0, 1e4], dtype=dtype).repeat(2).requires_grad_()
    is_class = torch.arange(14) < 7
    for value in with_gradient(sigmoid_focal_loss(logits, is_class, gamma, 0.75), logits):
        assert value.isfinite().all()


def test_torchvisions_gradient_is_not_finite_there() -> None:
    """The reason for an own formula; should this fail, torchvision's will do."""
    logits = torch.tensor([-80.0], dtype=torch.float32, requires_grad=True)
    _, gradient = with_gradient(torchvision_focal_loss(logits, torch.zeros(1), 0.75, 0.5), logits)
    assert not gradient.isfinite().all()


def test_focal_loss_by_hand() -> None:
    probability, gamma, alpha = 0.3, 2.0, 0.75
    logit = torch.tensor([math.log(probability / (1 - probability))] * 2)
    expected = [
        -alpha * (1 - probability) ** gamma * math.log(probability),
        -(1 - alpha) * probability**gamma * math.log(1 - probability),
    ]
    assert sigmoid_focal_loss(logit, torch.tensor([True, False]), gamma, alpha).tolist() == pytest.approx(expected)


def test_focal_loss_counts_every_anchor_and_divides_by_matches() -> None:
    (logits, deltas), goal = outputs(), targets()
    parts = detection_loss(logits, deltas, goal, SMALL, Focal(gamma=2, alpha=0.75))
    one_hot = torch.zeros_like(logits)
    for image, anchor in goal.positive.nonzero().tolist():
        one_hot[image, anchor, goal.labels[image, anchor]] = 1
    expected = torchvision_focal_loss(logits, one_hot, 0.75, 2.0, reduction="sum") / goal.positive.sum()
    assert parts.classification == pytest.approx(expected.item(), rel=1e-5)


def test_localization_is_hubers_loss_of_the_positives() -> None:
    (logits, deltas), goal = outputs(), targets()
    parts = detection_loss(logits, deltas, goal, SMALL, Focal())
    expected = 0.0
    for image, anchor in goal.positive.nonzero().tolist():
        for axis in range(4):
            error = abs(float(deltas.detach()[image, anchor, axis] - goal.deltas[image, anchor, axis]))
            expected += 0.5 * error**2 if error <= 1 else error - 0.5
    assert parts.localization == pytest.approx(expected / int(goal.positive.sum()), rel=1e-5)


def test_total_is_weighted_and_parts_are_not() -> None:
    logits, deltas = outputs()
    plain = detection_loss(logits, deltas, targets(), SMALL, Focal())
    weighted = detection_loss(
        logits, deltas, targets(), SMALL, Focal(classification_weight=30.0, localization_weight=0.5)
    )
    assert torch.equal(plain.classification, weighted.classification)
    assert weighted.total.item() == pytest.approx(30 * plain.classification.item() + 0.5 * plain.localization.item())
    assert not plain.classification.requires_grad


def test_cross_entropy_sums_hard_examples_only() -> None:
    (logits, deltas), goal, loss = outputs(), targets(), CrossEntropy()
    parts = detection_loss(logits, deltas, goal, SMALL, loss)
    one_hot = (goal.labels[..., None] == torch.arange(3)).float()
    per_anchor = binary_cross_entropy_with_logits(logits, one_hot, reduction="none").sum(dim=-1).detach()
    hard = mine_hard_examples(per_anchor, goal.positive, decode(deltas.detach(), SMALL), loss)
    positives = int(goal.positive.sum())
    assert int(hard.sum()) == 4 * positives
    assert parts.classification == pytest.approx(float(per_anchor[hard].sum()) / positives, rel=1e-5)


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(gamma=0), Focal(gamma=2)])
def test_an_image_without_boxes(loss: CrossEntropy | Focal) -> None:
    logits, deltas = outputs()
    parts = detection_loss(logits, deltas, targets(), SMALL, loss)
    logits_gradient, deltas_gradient = torch.autograd.grad(parts.total, [logits, deltas])
    assert torch.count_nonzero(deltas_gradient[1]) == 0
    assert (torch.count_nonzero(logits_gradient[1]) == 0) == isinstance(loss, CrossEntropy)


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal()])
def test_a_batch_without_boxes_is_divided_by_one(loss: CrossEntropy | Focal) -> None:
    logits, deltas = outputs()
    parts = detection_loss(logits, deltas, targets((False, False)), SMALL, loss)
    if isinstance(loss, CrossEntropy):
        assert parts.total == 0
    else:
        everywhere = torchvision_focal_loss(logits, torch.zeros_like(logits), 0.75, 2.0, reduction="sum")
        assert parts.classification == pytest.approx(everywhere.item(), rel=1e-5)
    assert parts.localization == 0
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(parts.total, [logits, deltas]))


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal()])
def test_half_precision_outputs_are_summed_in_float32(loss: CrossEntropy | Focal) -> None:
    logits, deltas = (value.detach().bfloat16() for value in outputs())
    parts: LossParts = detection_loss(logits, deltas, targets(), SMALL, loss)
    same = detection_loss(logits.float(), deltas.float(), targets(), SMALL, loss)
    assert parts.total.dtype == torch.float32
    assert torch.equal(parts.total, same.total)


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal()])
def test_outputs_that_are_not_numbers_give_a_loss_that_is_none(loss: CrossEntropy | Focal) -> None:
    logits, deltas = (torch.full_like(value, math.nan) for value in outputs())
    assert detection_loss(logits, deltas, targets(), SMALL, loss).total.isnan()
