"""Anchors of the SSD. A anchors; all boxes are normalised to the image: 0 to 1, x to the right, y down.

The rule is that of the TensorFlow Object Detection API (`create_ssd_anchors`), after Liu et al. 2016, section 2.2.
"""

import itertools
import math

import torch
from torch import Tensor

from noisedash.spec import SsdMobileNetV1

LAYERS = 6
_FIRST_SCALE, _LAST_SCALE = 0.2, 0.95
_RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)


def feature_map_sides(spec: SsdMobileNetV1) -> tuple[int, ...]:
    """Side of each of the six square feature maps, in cells. 'SAME' padding halves rounding up.

    >>> feature_map_sides(SsdMobileNetV1())
    (19, 10, 5, 3, 2, 1)
    >>> feature_map_sides(SsdMobileNetV1(input_side=96, first_stride=8))
    (12, 6, 3, 2, 1, 1)
    """
    sides = [-(-spec.input_side // spec.first_stride)]
    while len(sides) < LAYERS:
        sides.append(-(-sides[-1] // 2))
    return tuple(sides)


def anchor_shapes() -> tuple[tuple[tuple[float, float], ...], ...]:
    """For each layer the (scale, width / height) of the anchors in one cell, in the order of the heads' outputs.

    The first layer has three; the others have the five ratios at their scale, and a square between it and the next.

    >>> [len(shapes) for shapes in anchor_shapes()]
    [3, 6, 6, 6, 6, 6]
    """
    step = (_LAST_SCALE - _FIRST_SCALE) / (LAYERS - 1)
    scales = [_FIRST_SCALE + step * layer for layer in range(LAYERS)] + [1.0]
    first = ((0.1, 1.0), (scales[0], 2.0), (scales[0], 1 / 2))
    others = (
        (*((scale, ratio) for ratio in _RATIOS), (math.sqrt(scale * following), 1.0))
        for scale, following in itertools.pairwise(scales[1:])
    )
    return (first, *others)


def anchors(spec: SsdMobileNetV1) -> Tensor:
    """(A, 4) xyxy float32, normalised, not clipped to the image; by layer, then row, then column, then shape.

    >>> tuple(anchors(SsdMobileNetV1()).shape)
    (1917, 4)
    """
    layers = [
        _grid(side, torch.tensor(shapes, dtype=torch.float64))
        for side, shapes in zip(feature_map_sides(spec), anchor_shapes(), strict=True)
    ]
    return torch.cat(layers).float()


def _grid(side: int, scales_ratios: Tensor) -> Tensor:
    """(side * side * K, 4) xyxy of K shapes (K, 2) centred in each cell of a square grid."""
    scale, root = scales_ratios[:, 0], scales_ratios[:, 1].sqrt()
    half_wh = torch.stack([scale * root, scale / root], dim=1) / 2
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    centres_xy = torch.stack([x, y], dim=-1).reshape(-1, 1, 2)
    return torch.cat([centres_xy - half_wh, centres_xy + half_wh], dim=-1).reshape(-1, 4)
