"""Which anchor learns which box. B images, A anchors, M boxes an image (padded).

The rule is TensorFlow's ArgMaxMatcher as the paper configures it: an anchor is positive for the box that it overlaps
most where their IoU is at least .5, and negative otherwise, with no ignored band between; and each box is forced onto
the anchor that overlaps it most. A forced match wins over an ordinary one. Where several boxes force the same anchor,
the first of them in the image's order gets it, and the others keep only their ordinary matches. Of equal overlaps the
first wins. Unlike TensorFlow's, a box that overlaps no anchor at all (one without area) is not forced onto the first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from noisedash.detector.coder import encode

MATCH_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Targets:
    """What each anchor of a batch shall learn."""

    labels: Tensor
    """(B, A) int64 class, -1 for a negative anchor."""
    deltas: Tensor
    """(B, A, 4) encoded box, 0 for a negative anchor."""
    box_index: Tensor
    """(B, A) int64 row of the matched box among the image's M, -1 for a negative anchor."""

    @property
    def positive(self) -> Tensor:
        """(B, A) bool."""
        return self.labels >= 0


def match(anchors_xyxy: Tensor, boxes_xyxy: Tensor, labels: Tensor, valid: Tensor) -> Targets:
    """The targets of anchors (A, 4) for boxes (B, M, 4), labels (B, M) int64, valid (B, M) bool: False is padding.

    Boxes and anchors are xyxy in the same unit. Boxes that shall not be learnt (crowds) are not to be passed.
    """
    box_index = match_boxes(anchors_xyxy, boxes_xyxy, valid)
    if boxes_xyxy.shape[1] == 0:
        return Targets(box_index, boxes_xyxy.new_zeros(*box_index.shape, 4), box_index)
    negative = box_index < 0
    row = box_index.clamp(min=0)
    matched_xyxy = boxes_xyxy.gather(1, row[..., None].expand(-1, -1, 4))
    deltas = encode(matched_xyxy, anchors_xyxy).masked_fill(negative[..., None], 0)
    return Targets(labels.gather(1, row).masked_fill(negative, -1), deltas, box_index)


def match_boxes(anchors_xyxy: Tensor, boxes_xyxy: Tensor, valid: Tensor) -> Tensor:
    """(B, A) int64 row of the box that each anchor is matched to, -1 for none. Arguments as for `match`."""
    images, boxes = valid.shape
    if boxes == 0:
        return torch.full((images, len(anchors_xyxy)), -1, device=valid.device)
    iou = box_iou(boxes_xyxy.reshape(-1, 4), anchors_xyxy).view(images, boxes, -1)
    iou = iou.masked_fill(~valid[..., None], 0)
    best_iou, best_box = iou.max(dim=1)
    ordinary = best_box.masked_fill(best_iou < MATCH_IOU, -1)

    own_iou, best_anchor = iou.max(dim=2)
    row = torch.arange(boxes, device=valid.device).expand(images, -1).masked_fill(own_iou <= 0, boxes)
    forced = torch.full_like(ordinary, boxes).scatter_reduce(1, best_anchor, row, "amin")
    return torch.where(forced < boxes, forced, ordinary)
