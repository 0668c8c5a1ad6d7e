"""IoU of those pairs of a detection and a box that can matter. D detections, M boxes, P pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import xyxy_to_xywh

PAIRS_AT_ONCE = 1 << 20
"""Pairs that are looked at together; bounds the memory of crowded images."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """P pairs of a detection and a box, by detection, then by box."""

    detection: NDArray[np.int64]
    """(P,) position of the detection."""
    box: NDArray[np.int64]
    """(P,) row of the box."""
    iou: NDArray[np.float64]
    """(P,)"""

    def __len__(self) -> int:
        return len(self.iou)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Overlaps":
        """The pairs of a mask (P,) or of positions, in that order."""
        return Overlaps(self.detection[rows], self.box[rows], self.iou[rows])


def overlaps(
    detections_xyxy: NDArray[np.float64],
    boxes_xyxy: NDArray[np.float64],
    detection_key: NDArray[np.int64],
    box_key: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    least_iou: float,
) -> Overlaps:
    """The pairs of equal keys (D,), (M,) that overlap by at least `least_iou` > 0.

    A key stands for an image, or for a class on an image. On a `crowd` box (M,) the intersection is divided by the
    detection's area. The arithmetic is that of pycocotools on left, top, width, height, so that both agree on which
    side of a limit a pair falls.

    >>> one, two = np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0], [9.0, 9.0, 10.0, 10.0]])
    >>> same = np.zeros(2, dtype=np.int64)
    >>> overlaps(one, two, same[:1], same, np.zeros(2, dtype=bool), 0.1).iou.round(3).tolist()
    [0.333]
    """
    by_key = np.argsort(box_key, kind="stable")
    ends = np.searchsorted(box_key[by_key], detection_key, side="right")
    starts = np.searchsorted(box_key[by_key], detection_key, side="left")
    detections, boxes = xyxy_to_xywh(detections_xyxy), xyxy_to_xywh(boxes_xyxy)
    nothing = np.empty(0, np.int64)
    parts = [Overlaps(nothing, nothing, np.empty(0))]
    for first, last in _runs(ends - starts):
        own = ends[first:last] - starts[first:last]
        detection = np.repeat(np.arange(first, last), own)
        within = np.arange(len(detection)) - np.repeat(np.cumsum(own) - own, own)
        box = by_key[np.repeat(starts[first:last], own) + within]
        pairs = Overlaps(detection, box, _iou(detections[detection], boxes[box], crowd[box]))
        parts.append(pairs.take(pairs.iou >= least_iou))
    return Overlaps(
        np.concatenate([part.detection for part in parts]),
        np.concatenate([part.box for part in parts]),
        np.concatenate([part.iou for part in parts]),
    )


def _runs(counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs first to last of detections that have about PAIRS_AT_ONCE pairs together."""
    total = np.cumsum(counts)
    first = 0
    while first < len(counts):
        done = total[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(total, done + PAIRS_AT_ONCE, side="right")))
        yield first, last
        first = last


def _iou(
    detections_xywh: NDArray[np.float64], boxes_xywh: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU (P,) of boxes (P, 4) side by side; 0 where they do not touch."""
    d_left, d_top, d_width, d_height = detections_xywh.T
    b_left, b_top, b_width, b_height = boxes_xywh.T
    width = np.minimum(d_left + d_width, b_left + b_width) - np.maximum(d_left, b_left)
    height = np.minimum(d_top + d_height, b_top + b_height) - np.maximum(d_top, b_top)
    shared = np.where((width > 0) & (height > 0), width * height, 0.0)
    area = d_width * d_height
    whole = np.where(crowd, area, area + b_width * b_height - shared)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0))
