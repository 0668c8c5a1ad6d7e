"""Images per second of training: our whole step against torchvision's SSD class and against the bare network.

B images a batch, S input side, A anchors. All contenders train the same network on the same pictures, in float32 (on a
GPU in bfloat16 where that is safe), in turns, so that a busy machine slows all alike; each ratio is the median over the
rounds of the round's ratio.

- ours: batch preparation, forward pass, matching, loss, backward pass, clipping, optimiser.
- bare: forward and backward pass of the network alone, on one batch: what no training loop of it can beat.
- torchvision: torchvision.models.detection.SSD with its own transform, matcher and losses, on our backbone and extra
  layers, with 1x1 heads, our anchors and optimiser, its batches ready-made; as it comes, and in channels_last.
- probe: looking at a batch instead of training on it; with a run's `ProbePlan` that is a share of the run's training.
"""

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, SSDScoringHead

from noisedash.datasets.dataset import Boxes, Dataset, Images
from noisedash.detector.anchors import anchor_shapes
from noisedash.detector.ssd import SsdMobileNet
from noisedash.noise.recipe import NoisyDataset, apply_recipe
from noisedash.spec import (
    AdamW,
    Augmentation,
    CrossEntropy,
    DataSpec,
    Focal,
    MissingNoise,
    NoiseRecipe,
    Optimizer,
    RmsPropTf,
    RunSpec,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.training.batches import Batches, in_order
from noisedash.training.loop import CPU, training_step
from noisedash.training.optimizers import build_optimizer
from noisedash.training.precision import autocast_on_gpu
from noisedash.training.probe import Probe, probe_plan

CLASSES = 7
IMAGES = 64
BOXES_PER_IMAGE = 2
RUN_IMAGES = 5_000
"""Of the training set of a whole run."""
PROBE_LIMIT = 0.03
STEPS_ON_GPU = 20
"""A GPU takes so many times a case's steps at once: it is waited for at their end only."""
OPPONENTS = ("bare", "torchvision", "torchvision channels_last")


@dataclass(frozen=True)
class Case:
    """One network and how it is trained; `steps` are timed at once, `run_steps` are those of a whole run."""

    name: str
    detector: SsdMobileNetV1
    optimizer: Optimizer
    batch_size: int
    steps: int
    run_steps: int


CASES = (
    Case(
        "micro, 96 px",
        SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2),
        AdamW(clip_norm=10.0),
        batch_size=16,
        steps=5,
        run_steps=500,
    ),
    Case("the paper's, 300 px", SsdMobileNetV1(), RmsPropTf(), batch_size=8, steps=1, run_steps=50_000),
)


def bench_train(
    threads: int = 2, repeats: int = 5, cases: tuple[Case, ...] = CASES, device: torch.device = CPU
) -> Iterator[dict[str, Any]]:
    """For each case, loss and opponent one row: images/s of both, and ours over theirs; and one for the probe's cost.

    Needs no dataset. Torch's number of threads is `threads` meanwhile.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for case in cases:
            speeds = _speeds(_contenders(case, device), case, repeats, device)
            for loss in ("focal", "ce"):
                for opponent in OPPONENTS:
                    yield _row(case, loss, opponent, speeds, threads, device)
                yield _probe_row(case, loss, speeds, threads, device)
    finally:
        torch.set_num_threads(threads_before)


def _row(
    case: Case, loss: str, opponent: str, speeds: dict[str, list[float]], threads: int, device: torch.device
) -> dict[str, str | int | float]:
    ours, theirs = speeds[f"ours, {loss}"], speeds[opponent]
    return {
        "bench": "train",
        "device": device_label(device),
        "network": case.name,
        "loss": loss,
        "against": opponent,
        "batch_size": case.batch_size,
        "threads": threads,
        "ours_images_per_s": round(median(ours), 1),
        "their_images_per_s": round(median(theirs), 1),
        "ratio": round(median(own / other for own, other in zip(ours, theirs, strict=True)), 3),
    }


def _probe_row(
    case: Case, loss: str, speeds: dict[str, list[float]], threads: int, device: torch.device
) -> dict[str, str | int | float]:
    """What all looks at a whole run take, as a share of its training, by what an image takes in each."""
    plan = probe_plan(TrainingSpec(steps=case.run_steps, batch_size=case.batch_size), RUN_IMAGES)
    ratios = [own / probed for own, probed in zip(speeds[f"ours, {loss}"], speeds[f"probe, {loss}"], strict=True)]
    share = len(plan.steps) * plan.images / (case.run_steps * case.batch_size) * median(ratios)
    return {
        "bench": "train",
        "device": device_label(device),
        "network": case.name,
        "loss": loss,
        "against": "probe",
        "batch_size": case.batch_size,
        "threads": threads,
        "steps": case.run_steps,
        "points": len(plan.steps),
        "images": plan.images,
        "cost_of_an_image": round(median(ratios), 3),
        "share_of_training": round(share, 4),
        "limit": PROBE_LIMIT,
    }


def device_label(device: torch.device) -> str:
    """'cpu', or the GPU's name."""
    return device.type if device.type == "cpu" else torch.cuda.get_device_name(device)


def _speeds(
    contenders: dict[str, Callable[[int], None]], case: Case, repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Images/s of each contender in each round, after one step that does not count."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    steps = case.steps if device.type == "cpu" else case.steps * STEPS_ON_GPU
    for step_of in contenders.values():
        step_of(0)
    for first in range(1, 1 + repeats * steps, steps):
        for name, step_of in contenders.items():
            _wait_for(device)
            begun = time.perf_counter()
            for step in range(first, first + steps):
                step_of(step)
            _wait_for(device)
            speeds[name].append(steps * case.batch_size / (time.perf_counter() - begun))
    return speeds


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.cuda.synchronize(device)


def _contenders(case: Case, device: torch.device) -> dict[str, Callable[[int], None]]:
    """What each does in a step; steps are counted up from 0."""
    still = Augmentation(horizontal_flip=False, random_crop=False)
    data, pictures = synthetic_training_set(case.detector.input_side)
    training = TrainingSpec(batch_size=case.batch_size, augmentation=still)
    batches = Batches(data, pictures, training, case.detector.input_side, device)
    return {
        "ours, focal": _ours(case, batches, Focal(), device),
        "ours, ce": _ours(case, batches, CrossEntropy(), device),
        "probe, focal": _probe(case, data, pictures, Focal(), device),
        "probe, ce": _probe(case, data, pictures, CrossEntropy(), device),
        "bare": _bare(case, batches, device),
        "torchvision": _torchvision(case, batches, torch.contiguous_format, device),
        "torchvision channels_last": _torchvision(case, batches, torch.channels_last, device),
    }


def _network(case: Case, device: torch.device) -> SsdMobileNet:
    return SsdMobileNet(case.detector, CLASSES).to(device).to(memory_format=torch.channels_last).train()


def _ours(case: Case, batches: Batches, loss: Focal | CrossEntropy, device: torch.device) -> Callable[[int], None]:
    model = _network(case, device)
    optimizer = build_optimizer(model, case.optimizer)
    coming = in_order(batches.batch_at, 0, sys.maxsize, ahead=device.type != "cpu")

    def step(_number: int) -> None:
        training_step(model, next(coming), optimizer, loss, case.optimizer.clip_norm)

    return step


def _probe(
    case: Case,
    data: NoisyDataset,
    pictures: list[NDArray[np.uint8]],
    loss: Focal | CrossEntropy,
    device: torch.device,
) -> Callable[[int], None]:
    """Looks at one batch a step, on labels of which half are missing."""
    model = _network(case, device)
    spec = RunSpec(
        data=DataSpec(content_hash="0" * 64),
        detector=case.detector,
        loss=loss,
        training=TrainingSpec(steps=1, batch_size=case.batch_size),
    )
    noisy = apply_recipe(data.clean, NoiseRecipe(steps=(MissingNoise(rate=0.5),)))

    def step(number: int) -> None:
        Probe(spec, noisy, pictures, lambda _record: None, device).look(model, number)

    return step


def _bare(case: Case, batches: Batches, device: torch.device) -> Callable[[int], None]:
    model = _network(case, device)
    images = batches.batch_at(0).images
    with autocast_on_gpu(images):
        gradients = [torch.full_like(output, 1e-3) for output in model(images)]

    def step(_number: int) -> None:
        with autocast_on_gpu(images):
            outputs = model(images)
        model.zero_grad()
        torch.autograd.backward(outputs, gradients)

    return step


def _torchvision(
    case: Case, batches: Batches, layout: torch.memory_format, device: torch.device
) -> Callable[[int], None]:
    model = torchvision_ssd(case.detector).to(device).to(memory_format=layout).train()
    optimizer = build_optimizer(model, case.optimizer)
    batch = batches.batch_at(0)
    images = [(image + 1) / 2 for image in batch.images.contiguous()]
    side = case.detector.input_side
    targets = [
        {"boxes": boxes[valid] * side, "labels": labels[valid] + 1}
        for boxes, labels, valid in zip(batch.boxes, batch.labels, batch.valid, strict=True)
    ]

    def step(_number: int) -> None:
        with autocast_on_gpu(batch.images):
            losses = model(images, targets)
        optimizer.zero_grad()
        torch.autograd.backward(sum(losses.values()))
        if case.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), case.optimizer.clip_norm)
        optimizer.step()

    return step


def torchvision_ssd(spec: SsdMobileNetV1) -> nn.Module:
    """torchvision's SSD class on the layers, anchors and 1x1 heads of our network; class 0 is its background."""
    ours, side = SsdMobileNet(spec, CLASSES), spec.input_side
    depths = [head.in_channels for head in ours.class_heads if isinstance(head, nn.Conv2d)]
    ssd: nn.Module = SSD(
        _SixMaps(ours),
        _OurAnchors(ours.anchors * side),
        (side, side),
        CLASSES + 1,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        head=_OneByOneHeads(depths),
    )
    return ssd.to(memory_format=torch.contiguous_format)


class _SixMaps(nn.Module):
    """The layers below our heads, as torchvision wants a backbone."""

    def __init__(self, ours: SsdMobileNet) -> None:
        super().__init__()
        self.backbone, self.extras = ours.backbone, ours.extras

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = list(self.backbone(images))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return OrderedDict((str(number), layer) for number, layer in enumerate(maps))


class _OurAnchors(nn.Module):
    """Our anchors (A, 4) in pixels, as torchvision's SSD asks for them."""

    anchors_xyxy_px: Tensor

    def __init__(self, anchors_xyxy_px: Tensor) -> None:
        super().__init__()
        self.register_buffer("anchors_xyxy_px", anchors_xyxy_px, persistent=False)

    def forward(self, images: ImageList, _maps: list[Tensor]) -> list[Tensor]:
        return [self.anchors_xyxy_px] * len(images.image_sizes)


class _OneByOneHeads(nn.Module):
    def __init__(self, depths: list[int]) -> None:
        super().__init__()
        counts = [len(shapes) for shapes in anchor_shapes()]
        self.classification_head, self.regression_head = (
            SSDScoringHead(
                nn.ModuleList(
                    nn.Conv2d(depth, count * columns, 1) for depth, count in zip(depths, counts, strict=True)
                ),
                columns,
            )
            for columns in (CLASSES + 1, 4)
        )

    def forward(self, maps: list[Tensor]) -> dict[str, Tensor]:
        return {"bbox_regression": self.regression_head(maps), "cls_logits": self.classification_head(maps)}


def synthetic_training_set(side: int) -> tuple[NoisyDataset, list[NDArray[np.uint8]]]:
    """Noise pictures of that side with two boxes each, and the pictures."""
    rng = np.random.default_rng(0)
    count = IMAGES * BOXES_PER_IMAGE
    corners = rng.random((count, 2)) * 0.6 * side
    boxes = Boxes(
        box_id=np.arange(count, dtype=np.uint64),
        image_index=np.repeat(np.arange(IMAGES), BOXES_PER_IMAGE),
        class_id=rng.integers(0, CLASSES, count),
        xyxy=np.concatenate([corners, corners + (0.1 + 0.3 * rng.random((count, 2))) * side], axis=1),
        crowd=np.zeros(count, dtype=np.bool_),
        difficult=np.zeros(count, dtype=np.bool_),
    )
    sides = np.full(IMAGES, side)
    files = tuple(f"{row:03d}.png" for row in range(IMAGES))
    images = Images(files, sides, sides, ("train",) * IMAGES, ("0" * 64,) * IMAGES)
    names = tuple(f"class {number}" for number in range(CLASSES))
    clean = Dataset("synthetic", Path(), names, images, boxes)
    return apply_recipe(clean, NoiseRecipe()), [
        rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(IMAGES)
    ]
