"""What a network finds on the images of a dataset. B images a batch, S the input side, D detections in all."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noisedash.datasets.dataset import Dataset, DecodedRows
from noisedash.detector.network import Detector
from noisedash.detector.postprocess import Detections, postprocess
from noisedash.evaluation.records import Predictions
from noisedash.spec import EvaluationSpec


@torch.no_grad()
def predict(
    model: Detector,
    dataset: Dataset,
    images: DecodedRows,
    spec: EvaluationSpec,
    device: torch.device | None = None,
    batch_size: int = 32,
) -> Predictions:
    """Detections from the lowest score threshold of `spec` on, by image, in pixels of the original images.

    `images` are the decoded images of `dataset`, of any size; those of the input side are not resized again. The
    model must be on `device` (default: the CPU). It is used in evaluation mode and left as it was: neither its
    modes, its weights, its batch norms' averages nor any random generator change, so that a run that is evaluated on
    its way ends with the same weights as one that is not.
    """
    assert len(images) == len(dataset.images), "the decoded images are of another dataset"
    parts = []
    with _evaluating(model):
        for first in range(0, len(images), batch_size):
            rows = range(first, min(first + batch_size, len(images)))
            logits, deltas = model(_batch(images, rows, model.spec.input_side).to(device))
            parts.append(_to_predictions(postprocess(logits, deltas, model.anchors, spec), dataset, first))
    return _joined(parts)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards each module's own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _batch(images: DecodedRows, rows: range, side: int) -> Tensor:
    """Pixels (B, 3, S, S) float32 in [-1, 1], channels last in memory."""
    pixels = torch.from_numpy(np.stack([_resized(images[row], side) for row in rows]))
    return pixels.permute(0, 3, 1, 2).float().mul_(2 / 255).sub_(1)


def _resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) to (S, S, 3), bilinear, aspect ratio not kept, as in training."""
    if pixels.shape[:2] == (side, side):
        return pixels
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _to_predictions(found: Detections, dataset: Dataset, first: int) -> Predictions:
    """Detections of the batch that starts at image row `first`, in pixels."""
    image_index = found.image.cpu().numpy() + first
    size_wh = np.stack([dataset.images.width, dataset.images.height], axis=1)[image_index].astype(np.float32)
    return Predictions(
        image_index=image_index,
        class_id=found.class_id.cpu().numpy(),
        score=found.score.cpu().numpy(),
        xyxy=found.boxes_xyxy.cpu().numpy() * np.tile(size_wh, 2),
    )


def _joined(parts: list[Predictions]) -> Predictions:
    none = Predictions(
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty((0, 4), np.float32)
    )
    parts = [none, *parts]
    return Predictions(
        image_index=np.concatenate([part.image_index for part in parts]),
        class_id=np.concatenate([part.class_id for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        xyxy=np.concatenate([part.xyxy for part in parts]),
    )
