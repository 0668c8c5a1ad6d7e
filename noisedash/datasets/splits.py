"""Which images train and which test. A pure function of images and SplitSpec, whatever the row order.

Every choice takes the images of smallest key, a key being a hash of (seed, the image's bytes). So a smaller limit
takes a part of what a larger one takes, byte-equal images have one key, and new images do not reorder the old.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from noisedash.datasets.dataset import Dataset, IntArray
from noisedash.errors import DataError
from noisedash.spec import SplitSpec

TRAINVAL = "trainval"
"""The split of that name, and besides all of 'train' and 'val', as in PASCAL VOC."""


@dataclass(frozen=True)
class Split:
    """Images to train on and to test on, each in order of their files; no image is in both."""

    train: Dataset
    test: Dataset
    leaked: tuple[str, ...]
    """Files of the training set whose bytes are in the test set too; only splits that a dataset brings can leak."""


def split(dataset: Dataset, spec: SplitSpec) -> Split:
    """The training and the test set.

    `given`: see `images_of_split`. `random`: the images of smallest key are trained on, as many as are nearest
    below `train_fraction` of all (at least one) with equal pictures on one side, the rest is tested on.
    Raises DataError where a split does not exist, both share images, or there is only one picture.
    """
    train, test = _given(dataset, spec) if spec.kind == "given" else _random(dataset, spec)
    train = _limited(dataset, train, spec.seed, spec.max_train_images)
    test = _limited(dataset, test, spec.seed, spec.max_test_images)
    tested = {dataset.images.sha256[row] for row in test}
    leaked = tuple(dataset.images.file[row] for row in _by_file(dataset, train) if dataset.images.sha256[row] in tested)
    return Split(dataset.subset(_by_file(dataset, train)), dataset.subset(_by_file(dataset, test)), leaked)


def default_split(dataset: Dataset) -> SplitSpec:
    """The dataset's own split where it has one, else 80/20 by seed 0.

    Tested on is 'test', else 'val', whichever has boxes; trained on is all of train and val that is not tested on.
    """
    names = set(split_names(dataset))
    with_boxes = {dataset.images.split[row] for row in np.unique(dataset.boxes.image_index).tolist()}
    if "test" in with_boxes and names & {"train", TRAINVAL}:
        return SplitSpec(kind="given", train=TRAINVAL if TRAINVAL in names else "train", test="test")
    if {"train", "val"} <= with_boxes:
        return SplitSpec(kind="given", train="train", test="val")
    return SplitSpec(kind="random")


def split_names(dataset: Dataset) -> tuple[str, ...]:
    """The names that SplitSpec.train and .test can take for this dataset, 'trainval' where it can be made up."""
    names = set(dataset.images.split) - {""}
    return tuple(sorted(names | {TRAINVAL} if {"train", "val"} <= names else names))


def images_of_split(dataset: Dataset, name: str) -> IntArray:
    """Rows of the images of a split; 'trainval' are those of train, val and trainval.

    Raises DataError where there is none of that name.
    """
    wanted = {"train", "val", TRAINVAL} if name == TRAINVAL else {name}
    rows = [row for row, own in enumerate(dataset.images.split) if own in wanted and own]
    if rows and (name != TRAINVAL or TRAINVAL in split_names(dataset)):
        return np.array(rows, dtype=np.int64)
    names = split_names(dataset)
    there = f"it has {', '.join(map(repr, names))}" if names else "it brings none, so choose a random one"
    raise DataError(f"The dataset {dataset.name!r} has no split {name!r}: {there}.")


def _given(dataset: Dataset, spec: SplitSpec) -> tuple[IntArray, IntArray]:
    train, test = images_of_split(dataset, spec.train), images_of_split(dataset, spec.test)
    shared = len(np.intersect1d(train, test))
    if shared:
        raise DataError(
            f"The splits {spec.train!r} and {spec.test!r} of dataset {dataset.name!r} share {shared} images: "
            "choose two that share none."
        )
    return train, test


def _random(dataset: Dataset, spec: SplitSpec) -> tuple[IntArray, IntArray]:
    sha256 = dataset.images.sha256
    order = _by_key(dataset, np.arange(len(dataset.images)), spec.seed)
    starts = [place for place in range(1, len(order)) if sha256[order[place]] != sha256[order[place - 1]]]
    if not starts:
        raise DataError(
            f"The dataset {dataset.name!r} has no two different images, so it cannot be split: add more images."
        )
    wanted = round(spec.train_fraction * len(order))
    cut = max((start for start in starts if start <= wanted), default=starts[0])
    return order[:cut], order[cut:]


def _limited(dataset: Dataset, rows: IntArray, seed: int, limit: int | None) -> IntArray:
    return rows if limit is None else _by_key(dataset, rows, seed)[:limit]


def _by_key(dataset: Dataset, rows: IntArray, seed: int) -> IntArray:
    """The rows from the smallest key to the largest; byte-equal images are neighbours."""
    images = dataset.images

    def key(row: int) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed}:{images.sha256[row]}".encode()).digest(), images.file[row]

    return np.array(sorted(rows.tolist(), key=key), dtype=np.int64)


def _by_file(dataset: Dataset, rows: IntArray) -> IntArray:
    return np.array(sorted(rows.tolist(), key=dataset.images.file.__getitem__), dtype=np.int64)
