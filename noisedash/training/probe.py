"""What each group of anchors is scored, costs and pulls while a run trains: the paper's Figure 6, measured.

B images a batch, A anchors, C classes, M annotated and D dropped boxes an image (padded), G groups, K bins.

The groups and all that is counted are said in `noisedash.probe_records`. The probed images are training images as they
are, without augmentation, in batches of the run's size and in training mode: batch norm takes the batch's statistics,
as it does where the loss is trained. Losses are the run's own, hard-example mining included, and gradients are those by
the logits alone: nothing goes back through the network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from noisedash import probe_records
from noisedash.datasets.dataset import DecodedRows
from noisedash.detector.losses import classification_losses
from noisedash.detector.matching import match, match_boxes
from noisedash.detector.network import Detector
from noisedash.noise import recipe
from noisedash.noise.recipe import NoisyDataset
from noisedash.probe_records import ANNOTATED, BACKGROUND, BINS, DROPPED, EDGES, GROUPS, NEAR, NEAR_IOU, ProbeRecord
from noisedash.spec import Augmentation, RunSpec, TrainingSpec
from noisedash.training.batches import Batch, Batches, BoxesByImage, IntArray, boxes_by_image
from noisedash.training.precision import autocast_on_gpu
from noisedash.training.undisturbed import undisturbed

MOST_COST = 0.02
"""What all looks may cost, as a share of the run's training."""
COST_OF_AN_IMAGE = 0.45
"""Of probing an image, in that of training on one; measured by `noisedash bench train`."""
LEAST_POINTS, ENOUGH_POINTS, MOST_POINTS = 3, 7, 13
WANTED_IMAGES = 64
"""More points than enough are looked at only where as many images can be."""
MOST_IMAGES = 256


@dataclass(frozen=True)
class ProbePlan:
    """When a run is looked at, and on how many images: a function of the run and of how many images there are."""

    steps: tuple[int, ...]
    """After so many steps, 0 and the last among them."""
    batch_size: int
    batches: int

    @property
    def images(self) -> int:
        """How many images are probed each time, no image twice."""
        return self.batch_size * self.batches


def probe_plan(training: TrainingSpec, images: int) -> ProbePlan:
    """As many points and images as cost at most MOST_COST of training; but three points of one batch at least.

    `images` is the size of the training set, at least 1.

    >>> plan = probe_plan(TrainingSpec(steps=50_000, batch_size=24), images=5_000)
    >>> len(plan.steps), plan.steps[:3], plan.images
    (13, (0, 4167, 8333), 264)
    >>> probe_plan(TrainingSpec(steps=10, batch_size=8), images=5)
    ProbePlan(steps=(0, 5, 10), batch_size=5, batches=1)
    """
    batch_size = min(training.batch_size, images)
    affordable = int(training.steps * training.batch_size * MOST_COST / COST_OF_AN_IMAGE)
    points = min(max(affordable // WANTED_IMAGES, ENOUGH_POINTS), MOST_POINTS)
    points = max(min(points, affordable // batch_size), LEAST_POINTS)
    most_batches = min(images // batch_size, -(-MOST_IMAGES // batch_size))
    batches = max(1, min(affordable // (points * batch_size), most_batches))
    steps = np.linspace(0, training.steps, points).round().astype(int).tolist()
    return ProbePlan(tuple(sorted(set(steps))), batch_size, batches)


class Probe:
    """The probe of one run: `look` at the plan's steps adds a point to `record`, and `tell` is called with it.

    The images are drawn by the run's seed alone, so runs that are compared are probed on the same ones; they are those
    that the run would see first. `images` are the decoded images of `data.clean`. Raises DataError where there is none.
    """

    def __init__(
        self,
        spec: RunSpec,
        data: NoisyDataset,
        images: DecodedRows,
        tell: Callable[[ProbeRecord], None],
        device: torch.device | None = None,
    ) -> None:
        self.plan = probe_plan(spec.training, max(1, len(data.clean.images)))
        self.record = probe_records.no_points(self.plan.images)
        self._tell = tell
        self._loss = spec.loss
        self._device = device or torch.device("cpu")
        as_they_are = Augmentation(horizontal_flip=False, random_crop=False)
        drawn = TrainingSpec(batch_size=self.plan.batch_size, seed=spec.training.seed, augmentation=as_they_are)
        self._batches = Batches(data, images, drawn, spec.detector.input_side, self._device)
        self._annotated = boxes_by_image(data.clean, data.boxes)
        self._is_invented = data.origin[self._annotated.rows] == recipe.INVENTED
        self._dropped = boxes_by_image(data.clean, data.dropped)

    def go_on_from(self, record: ProbeRecord) -> None:
        """Take over what an earlier attempt saw; of other images than these nothing is taken."""
        if record.images == self.plan.images:
            self.record = record
            self._tell(record)

    def is_due(self, done: int) -> bool:
        """Whether to look after so many steps."""
        return done in self.plan.steps and done not in self.record.steps

    def look(self, model: Detector, done: int) -> None:
        """Add the point of `done` steps; the model, its gradients and all random state stay as they were."""
        tallies = Tallies(self._device)
        with undisturbed(model), torch.no_grad():
            model.train()
            for number in range(self.plan.batches):
                self._tally(model, number, tallies)
        self.record = self.record.and_then(tallies.to_record(self.plan.images, done))
        self._tell(self.record)

    def _tally(self, model: Detector, number: int, tallies: "Tallies") -> None:
        batch = self._batches.batch_at(number)
        rows = self._batches.rows_at(number)
        with autocast_on_gpu(batch.images):
            logits, deltas = model(batch.images)
        precise = torch.promote_types(logits.dtype, torch.float32)
        logits, deltas = logits.to(precise).requires_grad_(), deltas.to(precise)
        targets = match(model.anchors, batch.boxes, batch.labels, batch.valid)
        with torch.enable_grad():
            losses, counted = classification_losses(logits, deltas, targets, model.anchors, self._loss)
            (gradient,) = torch.autograd.grad(losses.sum(), logits)
        group, class_id = anchor_groups(
            model.anchors, targets.box_index, batch, self._invented_in(rows, batch), self._dropped_in(rows)
        )
        own = logits.detach().gather(2, class_id.clamp(min=0)[..., None])[..., 0]
        scored = torch.where(class_id < 0, logits.detach().amax(dim=-1), own)
        tallies.add(group, scored, losses.detach().sum(dim=-1), gradient.abs().sum(dim=-1), counted)

    def _invented_in(self, rows: IntArray, batch: Batch) -> Tensor:
        """(B, M) bool, which annotated boxes the noise invented."""
        marks = np.zeros(tuple(batch.valid.shape), dtype=np.bool_)
        for position, own in enumerate(_slices(self._annotated, rows)):
            marks[position, : own.stop - own.start] = self._is_invented[own]
        return torch.from_numpy(marks).to(self._device)

    def _dropped_in(self, rows: IntArray) -> "DroppedBoxes":
        slices = _slices(self._dropped, rows)
        most = max(own.stop - own.start for own in slices)
        boxes: NDArray[np.float32] = np.zeros((len(rows), most, 4), dtype=np.float32)
        labels, valid = np.zeros((len(rows), most), np.int64), np.zeros((len(rows), most), np.bool_)
        for position, own in enumerate(slices):
            boxes[position, : own.stop - own.start] = self._dropped.boxes_unit[own]
            labels[position, : own.stop - own.start] = self._dropped.labels[own]
            valid[position, : own.stop - own.start] = True
        return DroppedBoxes(*(torch.from_numpy(column).to(self._device) for column in (boxes, labels, valid)))


@dataclass(frozen=True, eq=False)
class DroppedBoxes:
    """The boxes that training does not see, of the images of a batch."""

    boxes: Tensor
    """(B, D, 4) float32 xyxy in [0, 1] of the image."""
    labels: Tensor
    """(B, D) int64"""
    valid: Tensor
    """(B, D) bool, False in padding."""


def anchor_groups(
    anchors_xyxy: Tensor, box_index: Tensor, batch: Batch, is_invented: Tensor, dropped: DroppedBoxes
) -> tuple[Tensor, Tensor]:
    """The group (B, A) of each anchor (A, 4), and the class (B, A) of the box that it stands for, -1 for none; int64.

    `box_index` (B, A) says which annotated box an anchor is matched to now, `is_invented` (B, M) which of them are. To
    see what would be matched to a dropped box, the annotated and then the dropped are matched together.
    """
    negative = box_index < 0
    every_box = torch.cat([batch.boxes, dropped.boxes], dim=1)
    labels = torch.cat([batch.labels, dropped.labels], dim=1)
    would_be = match_boxes(anchors_xyxy, every_box, torch.cat([batch.valid, dropped.valid], dim=1))
    is_dropped = negative & (would_be >= batch.boxes.shape[1])
    near = negative & (_largest_iou(anchors_xyxy, dropped) >= NEAR_IOU)
    group = torch.full_like(box_index, BACKGROUND).masked_fill(near, NEAR).masked_fill(is_dropped, DROPPED)
    invented = is_invented.gather(1, box_index.clamp(min=0))
    positives = torch.where(invented, probe_records.INVENTED, ANNOTATED)
    stands_for = torch.where(is_dropped, would_be, box_index)
    class_id = labels.gather(1, stands_for.clamp(min=0)).masked_fill(stands_for < 0, -1)
    return torch.where(negative, group, positives), class_id


class Tallies:
    """Sums by group over the batches of one look."""

    def __init__(self, device: torch.device) -> None:
        self._edges = torch.from_numpy(EDGES).to(device)
        self._histogram = torch.zeros(len(GROUPS) * BINS, dtype=torch.int64, device=device)
        self._sums = torch.zeros(4, len(GROUPS), dtype=torch.float64, device=device)

    def add(self, group: Tensor, logits: Tensor, losses: Tensor, gradients: Tensor, counted: Tensor) -> None:
        """Take anchors (B, A): group, logit of the score, loss, |gradient| over the classes, and whether it counts."""
        group = group.reshape(-1)
        logits = logits.reshape(-1).double().nan_to_num()
        bins = torch.bucketize(logits, self._edges, right=True)
        self._histogram += torch.bincount(group * BINS + bins, minlength=len(self._histogram))
        for row, values in zip(self._sums, (logits.sigmoid(), losses, gradients, counted), strict=True):
            row += torch.bincount(group, weights=values.reshape(-1).double(), minlength=len(GROUPS))

    def to_record(self, images: int, done: int) -> ProbeRecord:
        """One point, of so many images after so many steps."""
        scores, losses, gradients, counted = self._sums.cpu().numpy()[:, None]
        histogram = self._histogram.cpu().numpy().reshape(1, len(GROUPS), BINS)
        return ProbeRecord(images, np.array([done]), histogram, scores, losses, gradients, counted.astype(np.int64))


def _slices(boxes: BoxesByImage, rows: IntArray) -> list[slice]:
    """Where the boxes of each image lie."""
    return [slice(int(boxes.ends[row]), int(boxes.ends[row + 1])) for row in rows]


def _largest_iou(anchors_xyxy: Tensor, dropped: DroppedBoxes) -> Tensor:
    """(B, A) the largest IoU of each anchor with a dropped box of the image; 0 where there is none."""
    images, boxes = dropped.valid.shape
    if boxes == 0:
        return anchors_xyxy.new_zeros(images, len(anchors_xyxy))
    iou: Tensor = box_iou(dropped.boxes.reshape(-1, 4), anchors_xyxy).view(images, boxes, -1)
    return iou.masked_fill(~dropped.valid[..., None], 0).amax(dim=1)
