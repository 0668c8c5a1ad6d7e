"""What the Noise page shows, without the page: training sets, the rate at which each box goes, filters. M boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.splits import default_split, split
from noisedash.jobs.store import Store
from noisedash.noise.recipe import drop_order
from noisedash.spec import SplitSpec
from noisedash.ui.components.elements import DrawnBox
from noisedash.ui.text import count, percent

ALL, KEPT, DROPPED = "kept and dropped", "kept", "dropped"
FATES = (ALL, KEPT, DROPPED)
DEFAULT_SET = "the dataset's split"


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The images that a study trains on, and in which order their boxes go missing. N of the M boxes are countable."""

    train: Dataset
    full_row: NDArray[np.int64]
    """For each image of `train` its row in the whole dataset, by which it is asked for."""
    drops_above: NDArray[np.float64]
    """(M,) a box is dropped at every rate above this one; crowd regions, which never are, have 1 or more."""

    def dropped(self, rate: float) -> NDArray[np.bool_]:
        """(M,) whether each box is dropped at the rate: place < N - floor(N (1 - rate)), which is place / N < rate."""
        return np.asarray(self.drops_above < rate)


@dataclass(frozen=True)
class Filter:
    """Which boxes are shown: of these classes (none: of all), with this fate at this rate."""

    class_ids: tuple[int, ...]
    fate: str
    rate: float

    def shown(self, training: TrainingSet) -> NDArray[np.bool_]:
        """(M,) whether each box passes."""
        boxes = training.train.boxes
        passes = np.isin(boxes.class_id, self.class_ids) if self.class_ids else np.ones(len(boxes), dtype=bool)
        if self.fate == ALL:
            return passes
        has_fate = training.dropped(self.rate) == (self.fate == DROPPED)
        return np.asarray(passes & has_fate & ~boxes.crowd)


@lru_cache(maxsize=8)
def training_set(dataset: Dataset, spec: SplitSpec, seed: int) -> TrainingSet:
    """The training set of a dataset under a split, its boxes in the order in which `seed` drops them.

    Raises DataError where the dataset cannot be split so.
    """
    train = split(dataset, spec).train
    row_of_file = {file: row for row, file in enumerate(dataset.images.file)}
    full_row = np.array([row_of_file[file] for file in train.images.file], dtype=np.int64)
    countable = max(int((~train.boxes.crowd).sum()), 1)
    return TrainingSet(train, full_row, drop_order(train.boxes, seed) / countable)


def split_choices(dataset: Dataset, store: Store) -> dict[str, SplitSpec]:
    """Splits by a label: the dataset's own, then those of studies that were made of it."""
    choices = {DEFAULT_SET: default_split(dataset)}
    for study in store.studies():
        data = store.job_of_run(study.run_ids[0]).spec.data
        if data.content_hash == dataset.content_hash and data.split not in choices.values():
            choices[f"as in study {study.name}"] = data.split
    return choices


def images_with(training: TrainingSet, shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows in `training.train` of the images that have a shown box, in order."""
    return np.unique(training.train.boxes.image_index[shown])


def drawn_boxes(training: TrainingSet, row: int, shown: NDArray[np.bool_]) -> list[DrawnBox]:
    """The boxes of image `row` of the training set, largest first, so that small ones lie on top."""
    train = training.train
    rows = train.boxes_of_image[row]
    sides = train.boxes.xyxy[rows, 2:] - train.boxes.xyxy[rows, :2]
    return [
        _drawn_box(training, int(box), bool(shown[box])) for box in rows[np.argsort(-sides.prod(axis=1), kind="stable")]
    ]


def _drawn_box(training: TrainingSet, box: int, shown: bool) -> DrawnBox:
    boxes = training.train.boxes
    left, top, right, bottom = boxes.xyxy[box].tolist()
    return DrawnBox(
        x=left,
        y=top,
        width=max(right - left, 0.0),
        height=max(bottom - top, 0.0),
        label=training.train.classes[boxes.class_id[box]],
        drops_above=float(training.drops_above[box]),
        crowd=bool(boxes.crowd[box]),
        shown=shown,
    )


def box_frame(boxes: Sequence[DrawnBox], rate: float) -> pd.DataFrame:
    """A row per box of an image, the first to go first."""
    rows = sorted(boxes, key=lambda box: box.drops_above)
    return pd.DataFrame(
        {
            "class": [box.label for box in rows],
            f"at {percent(rate)}": [_fate(box, rate) for box in rows],
            "dropped above": [None if box.crowd else 100 * box.drops_above for box in rows],
            "size, px": [f"{box.width:.0f} x {box.height:.0f}" for box in rows],
        }
    )


def counts_in_words(training: TrainingSet, rate: float) -> str:
    """'At 30 %: 1,226 of 1,751 boxes kept, 525 dropped; 12 of 885 images keep none.'"""
    boxes = training.train.boxes
    dropped = training.dropped(rate)
    total, gone = int((~boxes.crowd).sum()), int((dropped & ~boxes.crowd).sum())
    images = len(training.train.images)
    had, has = len(np.unique(boxes.image_index)), len(np.unique(boxes.image_index[~dropped]))
    return (
        f"At {percent(rate)}, {total - gone:,} of {count(total, 'training box', 'training boxes')} are kept and "
        f"{gone:,} dropped; {had - has:,} of {count(images, 'image')} lose all they had."
    )


def _fate(box: DrawnBox, rate: float) -> str:
    if box.crowd:
        return "crowd region"
    return DROPPED if box.drops_above < rate else KEPT
