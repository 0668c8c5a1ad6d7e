"""What the probe saw of a run, as arrays and as one .npz file; no torch. P points in training, G groups, K bins.

An anchor belongs to one group for the whole run, since the probed images and their boxes stay as they are:

- annotated: matched to an annotated box, as training matches. It is a positive.
- dropped: would be matched to a dropped box, were the dropped boxes annotated too, and is a negative now.
- invented: matched to a box that the noise invented. It is a positive.
- near: overlaps a dropped box by an IoU of NEAR_IOU or more, and is none of these. A negative.
- background: every other negative.

Its score is that of the box's class where it stands for a box (annotated, dropped or invented), else the highest over
the classes. Losses and gradients are those of all its classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from noisedash.errors import DataError
from noisedash.files import file_written_aside
from noisedash.focal import Interval, dont_care, score_to_logit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GROUPS = ("annotated", "dropped", "invented", "near", "background")
ANNOTATED, DROPPED, INVENTED, NEAR, BACKGROUND = range(len(GROUPS))
IS_POSITIVE = (True, False, True, False, False)
NEAR_IOU = 0.3
EDGES: FloatArray = np.round(np.arange(-12, 12.01, 0.05), 2)
"""(K - 1,) logits between the bins: .05 wide, fine near scores of 0 and 1 alike; the first and last bin are open."""
BINS = len(EDGES) + 1
CLEARLY_SCORED = 0.1
"""A score near 0 pulls little at any gamma: what lies in the region and above this score rests there as an object."""


@dataclass(frozen=True, eq=False)
class ProbeRecord:
    """What the probe saw at P points; sums are over the anchors of a group in all probed images."""

    images: int
    steps: IntArray
    """(P,) steps of training that were done, ascending."""
    histogram: IntArray
    """(P, G, K) anchors by the logit of their score."""
    score_sum: FloatArray
    """(P, G)"""
    loss_sum: FloatArray
    """(P, G) classification loss, before its weight and before the division by the number of matches."""
    gradient_sum: FloatArray
    """(P, G) |dL/dlogit| of that loss L over anchors and classes."""
    counted: IntArray
    """(P, G) anchors that the loss counts: all, save where hard examples are mined."""

    @property
    def anchors(self) -> IntArray:
        """(G,) how many anchors each group has."""
        return np.asarray(self.histogram[:1].sum(axis=(0, 2)))

    @property
    def mean_score(self) -> FloatArray:
        """(P, G); not a number for a group without anchors."""
        return _per(self.score_sum, self.anchors)

    @property
    def gradient_share(self) -> FloatArray:
        """(P, G) of the whole gradient sum; 0 where nothing pulls at all."""
        return np.nan_to_num(_per(self.gradient_sum, self.gradient_sum.sum(axis=1, keepdims=True)))

    @property
    def counted_share(self) -> FloatArray:
        """(P, G) of the group's anchors that the loss counts."""
        return _per(self.counted, self.anchors)

    def share_scoring(self, group: int, intervals: Sequence[Interval]) -> FloatArray:
        """(P,) share of a group's anchors whose score lies in one of the disjoint intervals within [0, 1].

        Exact at the bins' edges; within a bin anchors are taken as spread evenly over the logit.
        """
        below = np.concatenate([np.zeros((len(self.steps), 1)), self.histogram[:, group].cumsum(axis=1)], axis=1)
        inside = sum((_below(below, high) - _below(below, low) for low, high in intervals), np.zeros(len(self.steps)))
        return _per(inside, self.anchors[group])

    def and_then(self, later: "ProbeRecord") -> "ProbeRecord":
        """These points and later ones of the same images."""
        assert self.images == later.images, "other images were probed"
        return ProbeRecord(
            self.images, *(np.concatenate([getattr(self, name), getattr(later, name)]) for name in _COLUMNS)
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything by name, whole numbers in 32 bits."""
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _COLUMNS}
        whole = {name: values.astype(np.int32) for name, values in columns.items() if values.dtype == np.int64}
        return {"images": np.array(self.images, np.int32), **columns, **whole}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ProbeRecord":
        """What `to_arrays` gave. Raises KeyError or ValueError where it is something else."""
        points = len(arrays["steps"])
        shapes = {"steps": (points,), "histogram": (points, len(GROUPS), BINS)}
        for name in _COLUMNS:
            if arrays[name].shape != (expected := shapes.get(name, (points, len(GROUPS)))):
                raise ValueError(f"{name} has the shape {arrays[name].shape}, not {expected}")
        return cls(
            images=int(arrays["images"]),
            steps=arrays["steps"].astype(np.int64),
            histogram=arrays["histogram"].astype(np.int64),
            score_sum=arrays["score_sum"].astype(np.float64),
            loss_sum=arrays["loss_sum"].astype(np.float64),
            gradient_sum=arrays["gradient_sum"].astype(np.float64),
            counted=arrays["counted"].astype(np.int64),
        )


_COLUMNS = tuple(field.name for field in fields(ProbeRecord))[1:]


def no_points(images: int) -> ProbeRecord:
    """The record of a run that was not looked at yet."""
    groups = len(GROUPS)
    return ProbeRecord(
        images=images,
        steps=np.zeros(0, np.int64),
        histogram=np.zeros((0, groups, BINS), np.int64),
        score_sum=np.zeros((0, groups)),
        loss_sum=np.zeros((0, groups)),
        gradient_sum=np.zeros((0, groups)),
        counted=np.zeros((0, groups), np.int64),
    )


@dataclass(frozen=True, eq=False)
class Rest:
    """How far a group's anchors lie in the don't-care region, at each of P points; not a number without anchors."""

    mean_score: FloatArray
    """(P,)"""
    inside: FloatArray
    """(P,) share of the anchors inside the region of their kind."""
    inside_clearly: FloatArray
    """(P,) share inside and with a score above CLEARLY_SCORED: resting as an object, not as background."""
    in_band: FloatArray
    """(P,) share in the band where neither kind pulls; 0 where there is none."""


def rest(record: ProbeRecord, group: int, gamma: float, share: float) -> Rest:
    """How far a group rests under a focal loss of that gamma (cross-entropy: 0), the region drawn at `share`.

    The region is that of the group's own kind: of positives, or of negatives for what training takes as background.
    """
    region = dont_care(gamma, share)
    own = region.positives if IS_POSITIVE[group] else region.negatives
    clearly = [(max(low, CLEARLY_SCORED), high) for low, high in own if high > CLEARLY_SCORED]
    return Rest(
        mean_score=record.mean_score[:, group],
        inside=record.share_scoring(group, own),
        inside_clearly=record.share_scoring(group, clearly),
        in_band=record.share_scoring(group, () if region.band is None else (region.band,)),
    )


def save_probe(path: Path, record: ProbeRecord) -> None:
    """Write the record, aside and renamed, so that `path` is whole or not there. Raises StorageError."""
    arrays: dict[str, Any] = record.to_arrays()
    with file_written_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_probe(path: Path) -> ProbeRecord:
    """The record of a file of `save_probe`. Raises DataError where it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return ProbeRecord.of_arrays(arrays)
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path} does not hold a probe that can be read: train the run again.") from error


def _below(cumulated: FloatArray, score: float) -> FloatArray:
    """(P,) anchors that score less, from their numbers (P, K + 1) below the bins' ends."""
    if score <= 0 or score >= 1:
        return cumulated[:, 0 if score <= 0 else -1]
    logit = float(score_to_logit(score))
    place = float(np.interp(logit, EDGES, np.arange(1, BINS)))
    left = int(place)
    right = min(left + 1, BINS)
    return np.asarray(cumulated[:, left] + (place - left) * (cumulated[:, right] - cumulated[:, left]))


def _per(values: NDArray[Any], counts: NDArray[Any]) -> FloatArray:
    """Values over counts, not a number where there are none."""
    result = np.full(np.broadcast_shapes(np.shape(values), np.shape(counts)), np.nan)
    np.divide(values, counts, out=result, where=np.asarray(counts) != 0)
    return result
