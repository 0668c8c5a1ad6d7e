"""Hard-example mining of the cross-entropy loss. B images, A anchors, N boxes of all images, P pairs of boxes.

The rule is that of TensorFlow's HardExampleMiner. Its non-maximum suppression compares all pairs of an image's boxes,
which at the paper's threshold of .99 takes longer than a small network; yet hardly any boxes are that much alike. So
pairs that may be are found first, by sorting, and only boxes with such a twin are handed to `nms`. The result is the
same.
"""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from noisedash.spec import CrossEntropy

_DIRECTION = (1.0, 0.618, 0.371, 0.229)
"""Boxes are sorted by their corners' sum with these weights, uneven so that a grid's boxes rarely coincide."""
_MOST_PAIRS_PER_BOX = 64
_ROUNDING = 1e-4


@torch.no_grad()
def mine_hard_examples(losses: Tensor, positive: Tensor, boxes_xyxy: Tensor, loss: CrossEntropy) -> Tensor:
    """(B, A) bool, the anchors that count, from classification losses (B, A) and decoded boxes (B, A, 4).

    For each image: suppress boxes that overlap one of larger loss by more than `mining_nms_iou`; keep the
    `max_hard_examples` of largest loss; of these take all that are `positive` (B, A), and the hardest negatives, at
    most `negatives_per_positive` for each such positive, rounded down. So without a positive no anchor counts.
    """
    order = losses.argsort(dim=1, descending=True, stable=True)
    kept = not_suppressed(losses, boxes_xyxy, loss.mining_nms_iou).gather(1, order)
    kept &= kept.cumsum(dim=1) <= loss.max_hard_examples
    positive = positive.gather(1, order) & kept
    negative = kept & ~positive
    allowed = (positive.sum(dim=1, keepdim=True) * loss.negatives_per_positive).floor()
    chosen = positive | (negative & (negative.cumsum(dim=1) <= allowed))
    return torch.zeros_like(chosen).scatter(1, order, chosen)


def not_suppressed(scores: Tensor, boxes_xyxy: Tensor, iou: float | None) -> Tensor:
    """(B, A) bool, the boxes (B, A, 4) that survive non-maximum suppression within each image, by scores (B, A)."""
    kept = torch.ones_like(scores, dtype=torch.bool)
    if iou is None:
        return kept
    rows = _rows_with_a_twin(boxes_xyxy, iou)
    boxes, image = boxes_xyxy.reshape(-1, 4)[rows].double(), rows // scores.shape[1]
    shift = boxes.amin() if len(rows) else 0  # batched_nms keeps images apart only where no coordinate is negative
    survivors = batched_nms(boxes - shift, scores.reshape(-1)[rows].double(), image, iou)
    kept.view(-1)[rows] = False
    kept.view(-1)[rows[survivors]] = True
    return kept


def _rows_with_a_twin(boxes_xyxy: Tensor, iou: float) -> Tensor:
    """(K,) rows among all N boxes that may overlap another box of their image by more than `iou`; no other does.

    Two boxes of IoU t or more differ at each edge by less than (1 - t) / t of either's side. So, sorted along any
    direction, they lie within a window that follows from one's own size, and only the pairs inside are compared.
    """
    images, anchors = boxes_xyxy.shape[:2]
    direction = boxes_xyxy.new_tensor(_DIRECTION)
    along, order = (boxes_xyxy @ direction).sort(dim=1)
    boxes = boxes_xyxy.gather(1, order[..., None].expand(-1, -1, 4))
    size_wh = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    window = (1 - iou + _ROUNDING) / iou * (size_wh @ (direction[:2] + direction[2:])) + _ROUNDING
    place = torch.arange(anchors, device=along.device)
    following = torch.searchsorted(along, along + window, right=True) - place - 1
    rows = (order + torch.arange(images, device=order.device)[:, None] * anchors).reshape(-1)
    if following.sum() > _MOST_PAIRS_PER_BOX * len(rows):
        return rows
    first, second = _window_pairs(following.reshape(-1).clamp(min=0))
    alike = _paired_iou(boxes.reshape(-1, 4), first, second) > iou - _ROUNDING
    has_twin = torch.zeros_like(rows, dtype=torch.bool)
    has_twin[first[alike]] = True
    has_twin[second[alike]] = True
    return rows[has_twin]


def _window_pairs(following: Tensor) -> tuple[Tensor, Tensor]:
    """(P,) and (P,): each place 0..N-1 with each of the `following` (N,) places right after it.

    >>> first, second = _window_pairs(torch.tensor([2, 0, 0]))
    >>> first.tolist(), second.tolist()
    ([0, 0], [1, 2])
    """
    first = torch.repeat_interleave(following)
    start = (following.cumsum(0) - following)[first]
    return first, first + 1 + torch.arange(len(first), device=first.device) - start


def _paired_iou(boxes_xyxy: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(P,) IoU of boxes (N, 4) in the rows `first` and `second`; not a number where both are empty."""
    one, other = boxes_xyxy[first], boxes_xyxy[second]
    shared_wh = (torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])).clamp(min=0)
    shared = shared_wh.prod(dim=1)
    areas = (one[:, 2:] - one[:, :2]).prod(dim=1) + (other[:, 2:] - other[:, :2]).prod(dim=1)
    return shared / (areas - shared)
