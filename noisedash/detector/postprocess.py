"""Network outputs to detections. B images, A anchors, C classes, D detections of the batch, N candidates, T most kept.

As TensorFlow's `multiclass_non_max_suppression`: score threshold, suppression within each class, the best T of an
image, and only then clipping to the image; a box that lies outside altogether is dropped.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from noisedash.detector.coder import decode
from noisedash.spec import EvaluationSpec

_FIRST_PREFIX = 4


@dataclass(frozen=True, eq=False)
class Detections:
    """D detections of a batch as columns, by image, then by falling score."""

    image: Tensor
    """(D,) int64 row of the image in the batch."""
    class_id: Tensor
    """(D,) int64."""
    score: Tensor
    """(D,) float32 in [0, 1]."""
    boxes_xyxy: Tensor
    """(D, 4) float32, normalised to the image, within [0, 1]."""

    def __len__(self) -> int:
        return len(self.score)


@torch.no_grad()
def postprocess(logits: Tensor, deltas: Tensor, anchors_xyxy: Tensor, spec: EvaluationSpec) -> Detections:
    """Detections of logits (B, A, C) and deltas (B, A, 4) on anchors (A, 4), from the lowest score threshold on.

    At most `max_detections` an image, over all classes. Suppression never lets a box depend on one of lower score, so
    it is run on a prefix of the candidates by score, and on a longer one only for images where too few survive: the
    result is that of all candidates, at a fraction of the time where a low threshold lets thousands through.
    """
    logits, deltas = logits.float(), deltas.float()
    candidates = logits.shape[1] * logits.shape[2]
    images = torch.arange(len(logits), device=logits.device)
    prefix, done = _FIRST_PREFIX * spec.max_detections, []
    while len(images):
        prefix = min(prefix, candidates)
        found, complete = _from_prefix(logits[images], deltas[images], anchors_xyxy, spec, prefix)
        done.append(_take(found, complete[found.image], images))
        images, prefix = images[~complete], prefix * 4
    return _in_order(done, logits)


def _from_prefix(
    logits: Tensor, deltas: Tensor, anchors_xyxy: Tensor, spec: EvaluationSpec, prefix: int
) -> tuple[Detections, Tensor]:
    """Detections among the `prefix` best candidates of each image, and (B,) bool: no further one could add to them."""
    images, anchors, classes = logits.shape
    top, place = logits.reshape(images, -1).topk(prefix, dim=1)
    score = top.sigmoid()
    likely = score >= min(spec.score_thresholds)
    image, rank = likely.nonzero(as_tuple=True)
    anchor, class_id = place[image, rank] // classes, place[image, rank] % classes
    boxes_xyxy = decode(deltas[image, anchor], anchors_xyxy[anchor])
    found = Detections(image, class_id, score[image, rank], boxes_xyxy)
    found = _best(_take(found, _suppressed(found, image * classes + class_id, spec.nms_iou)), spec)
    counts = torch.bincount(found.image, minlength=images)
    exhausted = ~likely.all(dim=1) if prefix < anchors * classes else torch.ones_like(counts, dtype=torch.bool)
    return found, exhausted | (counts >= spec.max_detections)


def _suppressed(found: Detections, group: Tensor, iou: float) -> Tensor:
    """(K,) rows by falling score that survive non-maximum suppression within each group (D,).

    `batched_nms` may keep groups apart by shifting them, which takes coordinates of 0 or more and float64's room.
    """
    boxes = found.boxes_xyxy.double()
    shift = boxes.amin() if len(boxes) else 0
    rows: Tensor = batched_nms(boxes - shift, found.score.double(), group, iou)
    return rows


def _best(found: Detections, spec: EvaluationSpec) -> Detections:
    """Clipped to the image, without those outside, the best of each image; `found` is by falling score."""
    clipped = clip_boxes_to_image(found.boxes_xyxy, (1, 1))
    inside = (clipped[:, 2:] > clipped[:, :2]).all(dim=1)
    found = Detections(found.image[inside], found.class_id[inside], found.score[inside], clipped[inside])
    found = _take(found, found.image.argsort(stable=True))
    counts = torch.bincount(found.image)
    rank = torch.arange(len(found), device=counts.device) - (counts.cumsum(0) - counts)[found.image]
    return _take(found, rank < spec.max_detections)


def _take(found: Detections, rows: Tensor, image: Tensor | None = None) -> Detections:
    """The rows (K,) or the mask (D,), image rows renamed to `image` (B,) where given."""
    renamed = found.image[rows] if image is None else image[found.image[rows]]
    return Detections(renamed, found.class_id[rows], found.score[rows], found.boxes_xyxy[rows])


def _in_order(parts: list[Detections], like: Tensor) -> Detections:
    """All parts, by image; `like` tells the device where there is no part."""
    empty = torch.zeros(0, dtype=torch.int64, device=like.device)
    parts = [Detections(empty, empty, like.new_zeros(0), like.new_zeros(0, 4)), *parts]
    image, class_id, score, boxes_xyxy = (
        torch.cat([getattr(part, column) for part in parts]) for column in ("image", "class_id", "score", "boxes_xyxy")
    )
    found = Detections(image, class_id, score, boxes_xyxy)
    return _take(found, found.image.argsort(stable=True))
