"""Boxes as offsets from anchors, after Ren et al. 2015. A anchors; boxes are xyxy, deltas are (x, y, w, h).

The centre's offset is in units of a tenth of the anchor's side, the log of the size in fifths: the scale factors
(10, 10, 5, 5) of the TensorFlow Object Detection API, which orders them y, x, h, w.
"""

import math

import torch
from torch import Tensor
from torchvision.ops import box_convert

CENTRE_SCALE, SIZE_SCALE = 10.0, 5.0
_SMALLEST_SIDE = 1e-8
_LARGEST_LOG_SIZE = math.log(1000 / 16)


def encode(boxes_xyxy: Tensor, anchors_xyxy: Tensor) -> Tensor:
    """Deltas (..., A, 4) that lead from each anchor (A, 4) to its box (..., A, 4). A side of 0 counts as 1e-8.

    >>> encode(torch.tensor([[0.0, 0.0, 0.2, 0.2]]), torch.tensor([[0.0, 0.0, 0.1, 0.2]])).tolist()
    [[5.0, 0.0, 3.465735912322998, 0.0]]
    """
    centre_xy, size_wh = _centre_and_size(boxes_xyxy)
    anchor_xy, anchor_wh = _centre_and_size(anchors_xyxy)
    offset = (centre_xy - anchor_xy) / anchor_wh * CENTRE_SCALE
    log_size = (size_wh.clamp(min=_SMALLEST_SIDE) / anchor_wh).log() * SIZE_SCALE
    return torch.cat([offset, log_size], dim=-1)


def decode(deltas: Tensor, anchors_xyxy: Tensor) -> Tensor:
    """Boxes xyxy (..., A, 4) of deltas (..., A, 4) from anchors (A, 4) or (..., A, 4); inverse of `encode`.

    A box grows to 62.5 times its anchor at most (as in torchvision), so that a wild output stays finite.

    >>> decode(torch.tensor([[5.0, 0.0, 3.4657359, 0.0]]), torch.tensor([[0.0, 0.0, 0.1, 0.2]])).allclose(
    ...     torch.tensor([[0.0, 0.0, 0.2, 0.2]]), atol=1e-6)
    True
    """
    anchor_xy, anchor_wh = _centre_and_size(anchors_xyxy)
    centre_xy = deltas[..., :2] / CENTRE_SCALE * anchor_wh + anchor_xy
    size_wh = (deltas[..., 2:] / SIZE_SCALE).clamp(max=_LARGEST_LOG_SIZE).exp() * anchor_wh
    return torch.cat([centre_xy - size_wh / 2, centre_xy + size_wh / 2], dim=-1)


def _centre_and_size(boxes_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    cxcywh = box_convert(boxes_xyxy, "xyxy", "cxcywh")
    return cxcywh[..., :2], cxcywh[..., 2:]
