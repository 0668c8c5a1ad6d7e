"""Boxes as arrays. One format inside: xyxy, absolute pixels, float; x to the right, y down.

Pixel edges, not pixel centres: an image W wide spans 0 to W, and a box covering it all is (0, 0, W, H).
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def xywh_to_xyxy(boxes_xywh: FloatArray) -> FloatArray:
    """(..., 4) left, top, width, height to (..., 4) left, top, right, bottom.

    >>> xywh_to_xyxy(np.array([[1.0, 2.0, 3.0, 4.0]])).tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    """
    return np.concatenate([boxes_xywh[..., :2], boxes_xywh[..., :2] + boxes_xywh[..., 2:]], axis=-1)


def xyxy_to_xywh(boxes_xyxy: FloatArray) -> FloatArray:
    """(..., 4) left, top, right, bottom to (..., 4) left, top, width, height.

    >>> xyxy_to_xywh(np.array([[1.0, 2.0, 4.0, 6.0]])).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    return np.concatenate([boxes_xyxy[..., :2], boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]], axis=-1)


def box_area(boxes_xyxy: FloatArray) -> FloatArray:
    """Areas (...,) of boxes (..., 4) in square pixels; an inverted box has area 0.

    >>> box_area(np.array([[0.0, 0.0, 2.0, 3.0], [2.0, 0.0, 1.0, 5.0]])).tolist()
    [6.0, 0.0]
    """
    sides = np.clip(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def pairwise_iou(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both are empty.

    >>> pairwise_iou(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(3).tolist()
    [[0.333]]
    """
    top_left = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    bottom_right = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0, None)
    intersection = sides[..., 0] * sides[..., 1]
    union = box_area(first_xyxy)[:, None] + box_area(second_xyxy)[None, :] - intersection
    return np.asarray(np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0))
