"""Boxes against the real boxes of their images, without a loop over images. Q queries, M real boxes, P pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisedash.boxes import FloatArray, box_area
from noisedash.datasets.dataset import Boxes, Dataset, IntArray

PAIRS_AT_ONCE = 1 << 15
"""So many pairs are laid side by side: few enough to stay in a core's cache."""


@dataclass(frozen=True, eq=False)
class RealBoxes:
    """Boxes in the order of their images."""

    row: IntArray
    """(M,) where each stands among the dataset's boxes."""
    edges: FloatArray
    """(4, M) left, top, right, bottom."""
    area: FloatArray
    """(M,)"""
    ends: IntArray
    """(N + 1,) where the boxes of each image begin."""


@dataclass(frozen=True, eq=False)
class Overlapping:
    """P pairs of a query and a real box of its image that share some area."""

    query: IntArray
    """(P,) row of the query."""
    real: IntArray
    """(P,) row in RealBoxes."""
    shared: FloatArray
    """(P,) the area that both cover."""


def real_boxes(clean: Dataset, chosen: NDArray[np.bool_], xyxy: FloatArray) -> RealBoxes:
    """The chosen (M,) boxes of a dataset, image by image, with these corners (M, 4)."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(clean.boxes.image_index[rows], kind="stable")]
    ends = np.searchsorted(clean.boxes.image_index[rows], np.arange(len(clean.images) + 1))
    return RealBoxes(rows, np.ascontiguousarray(xyxy[rows].T), box_area(xyxy[rows]), ends)


def overlapping(xyxy: FloatArray, image_index: IntArray, real: RealBoxes) -> Iterator[Overlapping]:
    """All pairs of a query (Q, 4), by its image (Q,), and a real box there that overlap; run by run of the queries."""
    begin = real.ends[image_index]
    counts = real.ends[image_index + 1] - begin
    before = np.concatenate([[0], np.cumsum(counts)])
    edges = np.ascontiguousarray(xyxy.T)
    first = 0
    while first < len(image_index):
        last = int(np.searchsorted(before, before[first] + PAIRS_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), len(image_index))
        own = counts[first:last]
        index = np.arange(before[last] - before[first])
        index += np.repeat(begin[first:last] - (before[first:last] - before[first]), own)
        left, top, right, bottom = (np.repeat(edge[first:last], own) for edge in edges)
        width = np.minimum(right, real.edges[2][index]) - np.maximum(left, real.edges[0][index])
        height = np.minimum(bottom, real.edges[3][index]) - np.maximum(top, real.edges[1][index])
        meet = np.flatnonzero((width > 0) & (height > 0))
        query = np.searchsorted(before[first : last + 1] - before[first], meet, side="right") - 1 + first
        yield Overlapping(query, index[meet], width[meet] * height[meet])
        first = last


def clashes(xyxy: FloatArray, image_index: IntArray, real: RealBoxes, max_iou: float) -> NDArray[np.bool_]:
    """For each query (Q, 4) whether its IoU with a real box of its image is above `max_iou`."""
    area, result = box_area(xyxy), np.zeros(len(xyxy), dtype=bool)
    for some in overlapping(xyxy, image_index, real):
        iou = some.shared / (area[some.query] + real.area[some.real] - some.shared)
        result[some.query[iou > max_iou]] = True
    return result


def hidden_share(clean: Dataset) -> FloatArray:
    """For each box (M,) the largest share of its area that one other countable box of its image covers."""
    boxes = clean.boxes
    real = real_boxes(clean, countable(boxes), boxes.xyxy)
    area, result = box_area(boxes.xyxy), np.zeros(len(boxes))
    for some in overlapping(boxes.xyxy, boxes.image_index, real):
        covered = some.shared / area[some.query]
        covered[real.row[some.real] == some.query] = 0
        np.maximum.at(result, some.query, covered)
    return result


def neighbours(clean: Dataset) -> IntArray:
    """For each box (M,) how many other countable boxes of its image would overlap it, all made twice as large."""
    boxes = clean.boxes
    grown = _twice_as_large(boxes.xyxy)
    real = real_boxes(clean, countable(boxes), grown)
    result = np.zeros(len(boxes), dtype=np.int64)
    for some in overlapping(grown, boxes.image_index, real):
        np.add.at(result, some.query[real.row[some.real] != some.query], 1)
    return result


def iou_of_each(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """Intersection over union (K,) of boxes (K, 4) with boxes (K, 4), row by row; 0 where both are empty.

    >>> iou_of_each(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(3).tolist()
    [0.333]
    """
    sides = np.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:]) - np.maximum(first_xyxy[:, :2], second_xyxy[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    union = box_area(first_xyxy) + box_area(second_xyxy) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def countable(boxes: Boxes) -> NDArray[np.bool_]:
    """(M,) the boxes that noise is about: all but crowd regions, which are never trained on."""
    return ~boxes.crowd


def _twice_as_large(xyxy: FloatArray) -> FloatArray:
    half = (xyxy[:, 2:] - xyxy[:, :2]) / 2
    return np.concatenate([xyxy[:, :2] - half, xyxy[:, 2:] + half], axis=1)
