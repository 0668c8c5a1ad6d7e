"""Batches as a pure function of the step: no iterator whose hidden state a checkpoint would have to keep.

B images a batch, M boxes an image (padded), S the input side, N images in the training set.

Images are shuffled anew in each epoch, and batches run on over its end. The order depends on the seed and on the
number of images alone: neither on the loss nor on the noise, so runs that are compared see the same images at the same
steps. Images are counted in the order of their names and boxes in the order of their ids, so that the same content
trains the same way whatever the order of its rows.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisedash.datasets.dataset import Boxes, Dataset, DecodedRows
from noisedash.errors import DataError
from noisedash.noise.recipe import NoisyDataset
from noisedash.spec import TrainingSpec
from noisedash.training.augment import augment
from noisedash.training.randomness import Purpose, generator_at

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step trains on."""

    images: Tensor
    """(B, 3, S, S) float32 in [-1, 1], channels last in memory."""
    boxes: Tensor
    """(B, M, 4) float32 xyxy in [0, 1] of the image; M is the most that an image of the batch has, at least 1."""
    labels: Tensor
    """(B, M) int64 class, 0 in padding."""
    valid: Tensor
    """(B, M) bool, False in padding."""


class Batches:
    """The batches of a run.

    `images` are the decoded images of `data.clean`, of any size; those of the input side are not resized again.
    Raises DataError where there is no image.
    """

    def __init__(
        self,
        data: NoisyDataset,
        images: DecodedRows,
        training: TrainingSpec,
        input_side: int,
        device: torch.device | None = None,
    ) -> None:
        if len(data.clean.images) == 0:
            raise DataError(f"The training set of '{data.clean.name}' has no image; choose another split.")
        assert len(images) == len(data.clean.images), "the decoded images are of another dataset"
        self._images = images
        self._training = training
        self._side = input_side
        self._device = device or torch.device("cpu")
        files = data.clean.images.file
        self._row_by_name: IntArray = np.array(sorted(range(len(files)), key=files.__getitem__))
        self._boxes_unit, self._labels, self._ends, _ = boxes_by_image(data.clean, data.boxes)

    def rows_at(self, step: int) -> IntArray:
        """The image rows (B,) of step `step`."""
        size, images = self._training.batch_size, len(self._row_by_name)
        places = np.arange(step * size, (step + 1) * size)
        orders = {int(epoch): epoch_order(self._training.seed, int(epoch), images) for epoch in set(places // images)}
        return np.array([self._row_by_name[orders[place // images][place % images]] for place in places.tolist()])

    def batch_at(self, step: int) -> Batch:
        """The batch of step `step`, on the device."""
        views = [self._view(step, position, int(row)) for position, row in enumerate(self.rows_at(step))]
        most = max(1, max(len(labels) for _, _, labels in views))
        boxes = np.zeros((len(views), most, 4), dtype=np.float32)
        labels = np.zeros((len(views), most), dtype=np.int64)
        valid = np.zeros((len(views), most), dtype=np.bool_)
        for position, (_, boxes_unit, image_labels) in enumerate(views):
            boxes[position, : len(boxes_unit)] = boxes_unit
            labels[position, : len(boxes_unit)] = image_labels
            valid[position, : len(boxes_unit)] = True
        pixels = torch.from_numpy(np.stack([view for view, _, _ in views])).permute(0, 3, 1, 2)
        return Batch(
            images=self._moved(pixels).float().mul_(2 / 255).sub_(1),
            boxes=self._moved(torch.from_numpy(boxes)),
            labels=self._moved(torch.from_numpy(labels)),
            valid=self._moved(torch.from_numpy(valid)),
        )

    def _view(self, step: int, position: int, row: int) -> tuple[NDArray[np.uint8], NDArray[np.float64], IntArray]:
        """Pixels (S, S, 3), boxes (K, 4) and labels (K,) of one image as this step sees it."""
        own = slice(self._ends[row], self._ends[row + 1])
        rng = generator_at(self._training.seed, Purpose.AUGMENTATION, step, position)
        view, boxes_unit, kept = augment(
            self._images[row], self._boxes_unit[own], self._side, self._training.augmentation, rng
        )
        return view, boxes_unit, self._labels[own][kept]

    def _moved(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, images: int) -> IntArray:
    """A permutation (N,) of the images.

    >>> sorted(epoch_order(0, 3, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    keys = generator_at(seed, Purpose.EPOCH_ORDER, epoch).random(images)
    return np.argsort(keys, kind="stable")


def in_order(batch_at: Callable[[int], Batch], first: int, last: int, *, ahead: bool) -> Generator[Batch, None, None]:
    """The batches of steps first .. last - 1; `ahead` prepares the next one in a thread while this one is used."""
    if not ahead:
        yield from (batch_at(step) for step in range(first, last))
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
        coming = thread.submit(batch_at, first)
        for step in range(first + 1, last + 1):
            batch = coming.result()
            if step < last:
                coming = thread.submit(batch_at, step)
            yield batch


class BoxesByImage(NamedTuple):
    """K boxes in the order of their images, and within an image of their ids."""

    boxes_unit: NDArray[np.float64]
    """(K, 4) in [0, 1] of their image."""
    labels: IntArray
    """(K,)"""
    ends: IntArray
    """(N + 1,) where each image's boxes begin."""
    rows: IntArray
    """(K,) where each stood."""


def boxes_by_image(dataset: Dataset, boxes: Boxes) -> BoxesByImage:
    """The boxes that can be trained on: no crowds, and none that has no area inside its image."""
    size_wh = np.stack([dataset.images.width, dataset.images.height], axis=1)[boxes.image_index]
    unit = np.clip(boxes.xyxy / np.tile(size_wh, 2), 0, 1)
    usable = ~boxes.crowd & (unit[:, 2] > unit[:, 0]) & (unit[:, 3] > unit[:, 1])
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((boxes.box_id[rows], boxes.image_index[rows]))]
    ends = np.searchsorted(boxes.image_index[rows], np.arange(len(dataset.images) + 1))
    return BoxesByImage(unit[rows], boxes.class_id[rows], ends, rows)
