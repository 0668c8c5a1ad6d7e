"""Losses of the detector. B images, A anchors, C classes, K positive anchors of the batch.

Both losses sum over anchors and classes and divide by the number of positive anchors in the batch (1 at least). No
loop over images or boxes anywhere.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from noisedash.detector.coder import decode
from noisedash.detector.matching import Targets
from noisedash.detector.mining import mine_hard_examples
from noisedash.spec import CrossEntropy, Focal


@dataclass(frozen=True, eq=False)
class LossParts:
    """Scalars. `total` is the weighted sum that is minimised; the parts are before their weights."""

    total: Tensor
    classification: Tensor
    localization: Tensor


def detection_loss(
    logits: Tensor, deltas: Tensor, targets: Targets, anchors_xyxy: Tensor, loss: CrossEntropy | Focal
) -> LossParts:
    """The loss of logits (B, A, C) and deltas (B, A, 4) against targets on anchors (A, 4), in float32 or better.

    Cross-entropy counts hard examples only, in both parts; the focal loss counts all anchors. An image without boxes
    thus adds nothing under cross-entropy, and all its anchors as negatives under the focal loss.
    """
    logits, deltas = _at_least_float32(logits), _at_least_float32(deltas)
    per_logit, counted = classification_losses(logits, deltas, targets, anchors_xyxy, loss)
    per_anchor_xywh = functional.smooth_l1_loss(deltas, targets.deltas.to(deltas.dtype), reduction="none")
    localization = (per_anchor_xywh.sum(dim=-1) * (targets.positive & counted)).sum()
    matches = targets.positive.sum().clamp(min=1)
    classification, localization = per_logit.sum() / matches, localization / matches
    total = loss.classification_weight * classification + loss.localization_weight * localization
    return LossParts(total, classification.detach(), localization.detach())


def classification_losses(
    logits: Tensor, deltas: Tensor, targets: Targets, anchors_xyxy: Tensor, loss: CrossEntropy | Focal
) -> tuple[Tensor, Tensor]:
    """What adds up to the classification loss before it is divided, and which anchors (B, A) count, as a bool tensor.

    It is (B, A, C) for each logit; or (B, A, 1) where whole anchors are mined, 0 for those that do not count. Arguments
    as for `detection_loss`, in float32 or better.
    """
    is_class = targets.labels[..., None] == torch.arange(logits.shape[-1], device=logits.device)
    if isinstance(loss, Focal):
        return sigmoid_focal_loss(logits, is_class, loss.gamma, loss.alpha), torch.ones_like(targets.positive)
    per_logit = functional.binary_cross_entropy_with_logits(logits, is_class.to(logits.dtype), reduction="none")
    per_anchor = per_logit.sum(dim=-1)
    hard = mine_hard_examples(per_anchor.detach(), targets.positive, decode(deltas.detach(), anchors_xyxy), loss)
    return (per_anchor * hard)[..., None], hard


def sigmoid_focal_loss(logits: Tensor, is_class: Tensor, gamma: float, alpha: float) -> Tensor:
    """Focal loss of each logit, shape as `logits`; `is_class` is a bool tensor of that shape.

    alpha_t (1 - p_t)^gamma (-log p_t), Lin et al. 2017, for any gamma >= 0. With u the logit of the wrong answer,
    1 - p_t = sigmoid(u), and the power is taken as exp(gamma log sigmoid(u)): its gradient stays finite where
    1 - p_t rounds to zero, which that of pow does not for gamma below 1.

    >>> sigmoid_focal_loss(torch.tensor([0.0, 0.0]), torch.tensor([True, False]), gamma=1.0, alpha=0.75)
    tensor([0.2599, 0.0866])
    >>> sigmoid_focal_loss(torch.tensor([80.0]), torch.tensor([False]), gamma=0.5, alpha=0.75)
    tensor([20.])
    """
    wrong = torch.where(is_class, -logits, logits)
    cross_entropy = -functional.logsigmoid(-wrong)
    weight = torch.where(is_class, alpha, 1 - alpha).to(logits.dtype)
    if gamma == 0:
        return weight * cross_entropy
    return weight * cross_entropy * (gamma * functional.logsigmoid(wrong)).exp()


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
