"""What only a machine with an NVIDIA GPU can show: `python benchmarks/gpu_check.py [CHECK ...]`, a JSON line for each.

The tests run on a CPU, where everything is held against independent references. This holds the GPU against the CPU,
and takes the queue's own way through a GPU: several slots on one, and a GPU whose memory is full. It needs one GPU and
two or three minutes, and works in a folder of its own. The exit status is 1 if a check failed.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import cv2
import torch
from torch import Tensor

from noisedash.datasets.dataset import DecodedRows
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import default_split
from noisedash.detector.build import build_detector
from noisedash.detector.losses import detection_loss
from noisedash.detector.matching import Targets, match
from noisedash.detector.mining import mine_hard_examples
from noisedash.detector.postprocess import postprocess
from noisedash.evaluation.predict import predict
from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.noise.recipe import NoisyDataset, apply_recipe
from noisedash.probe_records import ProbeRecord
from noisedash.records import JobRecord, JobState
from noisedash.settings import Settings, current_settings
from noisedash.spec import (
    AdamW,
    CrossEntropy,
    DataSpec,
    DetectorSpec,
    EvaluationSpec,
    Focal,
    MissingNoise,
    NoiseRecipe,
    RetinaNetResNet50,
    RmsPropTf,
    RunSpec,
    Sgd,
    Ssd300Vgg16,
    SsdLiteMobileNetV3,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.studies.study import Study
from noisedash.training.batches import Batches
from noisedash.training.bench import CLASSES, synthetic_training_set
from noisedash.training.checkpoint import CheckpointFolder
from noisedash.training.loop import TrainingStoppedError, train, training_step
from noisedash.training.optimizers import build_optimizer
from noisedash.training.probe import Probe

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
MICRO = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
NETWORKS: tuple[DetectorSpec, ...] = (
    SsdMobileNetV1(),
    SsdLiteMobileNetV3(),
    Ssd300Vgg16(),
    RetinaNetResNet50(input_side=320),
)
LOSSES = (CrossEntropy(), Focal(gamma=0.5), Focal(gamma=5.0))
SLOTS = 4
PATIENCE_S = 180
Figures = dict[str, object]


def main() -> int:
    """Run the checks that are named, or every one; the exit status."""
    checks: tuple[Callable[[], Figures], ...] = (
        losses_and_matches,
        detections,
        first_steps,
        probe_leaves_no_trace,
        goes_on_from_a_checkpoint,
        slots_and_full_memory,
    )
    by_name = {check.__name__: check for check in checks}
    if unknown := set(sys.argv[1:]) - set(by_name):
        sys.exit(f"There is no check {', '.join(sorted(unknown))}: name some of {', '.join(by_name)}.")
    failed = 0
    for check in [by_name[name] for name in sys.argv[1:]] or checks:
        begun = time.perf_counter()
        try:
            figures, ok = check(), True
        except Exception as error:  # a check that fails must not hide the next one
            figures, ok = {"error": f"{type(error).__name__}: {error}"[:2000]}, False
        failed += not ok
        print(json.dumps({"check": check.__name__, "ok": ok, **figures, "s": round(time.perf_counter() - begun, 1)}))
        sys.stdout.flush()
    return 1 if failed else 0


def losses_and_matches() -> Figures:
    """Matching, mining, loss and gradient are those of the CPU."""
    worst: Figures = {}
    for loss in LOSSES:
        sides = [_loss_on(device, loss) for device in (CPU, GPU)]
        (total, gradient, labels, hard), (gpu_total, gpu_gradient, gpu_labels, gpu_hard) = sides
        assert torch.equal(labels, gpu_labels), "anchors are matched otherwise"
        assert (hard != gpu_hard).sum() <= 2, "other hard examples are mined"
        name = loss.kind if isinstance(loss, CrossEntropy) else f"focal {loss.gamma:g}"
        worst[name] = _difference(torch.cat([total[None], gradient]), torch.cat([gpu_total[None], gpu_gradient]))
        assert float(str(worst[name])) < 1e-4, f"{name} differs by {worst[name]}"
    return {"largest_difference": worst}


def _loss_on(device: torch.device, loss: CrossEntropy | Focal) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    data, pictures = synthetic_training_set(MICRO.input_side)
    batch = Batches(data, pictures, TrainingSpec(batch_size=16), MICRO.input_side, device).batch_at(0)
    anchors = build_detector(MICRO, CLASSES).anchors.to(device)
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(16, len(anchors), CLASSES, generator=generator)).to(device).requires_grad_()
    deltas = torch.randn(16, len(anchors), 4, generator=generator).to(device)
    targets: Targets = match(anchors, batch.boxes, batch.labels, batch.valid)
    total = detection_loss(logits, deltas, targets, anchors, loss).total
    (gradient,) = torch.autograd.grad(total, logits)
    mined = mine_hard_examples(gradient.abs().sum(-1), targets.positive, deltas.cumsum(-1), CrossEntropy())
    return total.detach().cpu(), gradient.flatten().cpu(), targets.labels.cpu(), mined.cpu()


def detections() -> Figures:
    """Post-processing keeps the same boxes, and a network finds the same objects."""
    generator = torch.Generator().manual_seed(0)
    anchors = build_detector(MICRO, CLASSES).anchors
    logits, deltas = torch.randn(8, len(anchors), CLASSES, generator=generator), torch.randn(8, len(anchors), 4) * 0.1
    kept = [
        postprocess(logits.to(device), deltas.to(device), anchors.to(device), EvaluationSpec()) for device in (CPU, GPU)
    ]
    assert len(kept[0]) == len(kept[1]) > 0
    assert torch.equal(kept[0].class_id, kept[1].class_id.cpu())
    data, pictures = synthetic_training_set(MICRO.input_side)
    model = build_detector(MICRO, CLASSES)
    found = [predict(model.to(device), data.clean, pictures, EvaluationSpec(), device) for device in (CPU, GPU)]
    counts = [len(predictions.score) for predictions in found]
    return {
        "boxes": _difference(kept[0].boxes_xyxy, kept[1].boxes_xyxy.cpu()),
        "detections_cpu_gpu": counts,
        "score_sum_ratio": round(float(found[1].score.sum() / found[0].score.sum()), 5),
    }


def first_steps() -> Figures:
    """Every network, loss and optimiser trains: the first loss is the CPU's but for bfloat16, and all stays finite."""
    ratios: Figures = {}
    optimizers = (RmsPropTf(), Sgd(learning_rate=1e-3), AdamW(learning_rate=1e-4))
    for spec in NETWORKS:
        data, pictures = synthetic_training_set(spec.input_side)
        for loss, optimizer in zip(LOSSES, optimizers, strict=True):
            totals = []
            for device, steps in ((CPU, 1), (GPU, 3)):
                model = build_detector(spec, CLASSES).to(device).to(memory_format=torch.channels_last).train()
                batches = Batches(data, pictures, TrainingSpec(batch_size=4), spec.input_side, device)
                own = build_optimizer(model, optimizer)
                parts = [training_step(model, batches.batch_at(step), own, loss, 10.0) for step in range(steps)]
                assert all(bool(part.total.isfinite()) for part in parts), f"{spec.kind}: a loss is not finite"
                totals.append(float(parts[0].total.detach()))
            name = f"{spec.kind}, {loss.kind}, {optimizer.kind}"
            ratios[name] = round(totals[1] / totals[0], 4)
            assert abs(totals[1] / totals[0] - 1) < 0.05, f"{name}: loss {totals[1]} on the GPU, {totals[0]} on the CPU"
    return {"first_loss_gpu_over_cpu": ratios}


def probe_leaves_no_trace() -> Figures:
    """The probe counts as many anchors in each group as on the CPU, and changes nothing."""
    data, pictures = synthetic_training_set(MICRO.input_side)
    noisy = apply_recipe(data.clean, NoiseRecipe(steps=(MissingNoise(rate=0.5),)))
    spec = RunSpec(
        data=DataSpec(content_hash="0" * 64),
        detector=MICRO,
        loss=Focal(gamma=5.0),
        training=TrainingSpec(steps=100, batch_size=16),
    )
    seen: list[ProbeRecord] = []
    for device in (CPU, GPU):
        model = build_detector(MICRO, CLASSES).to(device).train()
        before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.cuda.get_rng_state()
        probe = Probe(spec, noisy, pictures, seen.append, device)
        probe.look(model, 0)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "weights changed"
        assert torch.equal(random, torch.cuda.get_rng_state()), "random state changed"
    counts = [record.histogram.sum(axis=-1).tolist() for record in seen]
    assert counts[0] == counts[1], f"groups hold {counts[1]} anchors, {counts[0]} on the CPU"
    return {"anchors_by_group": counts[1][0]}


def goes_on_from_a_checkpoint() -> Figures:
    """A run that was stopped goes on with its optimiser's state, and ends about where an undisturbed one does."""
    data, pictures = synthetic_training_set(MICRO.input_side)
    losses: Figures = {}
    for optimizer in (RmsPropTf(), Sgd(learning_rate=1e-3), AdamW(learning_rate=1e-3)):
        spec = RunSpec(
            data=DataSpec(content_hash="0" * 64),
            detector=MICRO,
            loss=Focal(),
            optimizer=optimizer,
            training=TrainingSpec(steps=40, batch_size=16),
        )
        ends = []
        for stops in ((), (7, 20)):
            with tempfile.TemporaryDirectory() as folder:
                ends.append(_final_loss(spec, data, pictures, CheckpointFolder(Path(folder), []), stops))
        losses[optimizer.kind] = ends  # training is chaotic: they are alike, not equal
        assert abs(ends[1] / ends[0] - 1) < 0.2, f"{optimizer.kind}: {ends[1]} after stops, {ends[0]} without"
    return {"final_loss_undisturbed_and_stopped": losses}


def _final_loss(
    spec: RunSpec, data: NoisyDataset, pictures: DecodedRows, checkpoints: CheckpointFolder, stops: tuple[int, ...]
) -> float:
    """The loss after a run that is stopped after so many more steps each time, and started again."""
    for stop in (*stops, 0):
        looks, model = count(1), build_detector(spec.detector, CLASSES)
        with suppress(TrainingStoppedError):
            train(
                spec,
                data,
                pictures,
                model,
                checkpoints=checkpoints,
                checkpoint_every=1000,
                report=lambda _progress, _metric: None,
                should_stop=lambda looks=looks, stop=stop: next(looks) == stop,  # type: ignore[misc]
                device=GPU,
            )
    batch = Batches(data, pictures, spec.training, spec.detector.input_side, GPU).batch_at(spec.training.steps)
    with torch.no_grad():
        logits, deltas = model(batch.images)
        targets = match(model.anchors, batch.boxes, batch.labels, batch.valid)
        return round(float(detection_loss(logits, deltas, targets, model.anchors, spec.loss).total), 4)


def slots_and_full_memory() -> Figures:
    """Through the queue: several trainers share the GPU; one that finds it full says so, and runs when it is not."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NOISEDASH_HOME"] = folder
        os.environ.pop("NOISEDASH_DB", None)
        settings = current_settings()
        name, specs = _registered(settings, Path(folder) / "pictures")
        store = Store(settings.database_url)
        store.submit_study(Study("shared", "", "", name, specs[:SLOTS]))
        with _worker():
            begun = time.perf_counter()
            jobs = _wait(store, lambda job: job.state is JobState.DONE, "shared")
            shared_s = time.perf_counter() - begun
        logs = [run_folder(settings, job.run_id).attempt(job.claims).log.read_text() for job in jobs]
        assert all("Device cuda" in log for log in logs), f"not on the GPU: {logs[0]}"
        places = sorted(job.place.split(": ")[-1] for job in jobs)
        store.submit_study(Study("full", "", "", name, specs[SLOTS:]))
        held = _take_all_memory()
        with _worker():
            (job,) = _wait(store, lambda job: job.attempts > 0 and job.reason != "", "full")
            reason = job.reason
            held.clear()
            torch.cuda.empty_cache()
            (job,) = _wait(store, lambda job: job.state in (JobState.DONE, JobState.FAILED), "full")
            if job.state is JobState.FAILED:
                store.retry(job.id)
                _wait(store, lambda job: job.state is JobState.DONE, "full")
        assert "GPU memory" in reason, f"the reason was: {reason}"
        return {"places": places, "s_of_the_shared": round(shared_s, 1), "reason_of_full_memory": reason}


def _registered(settings: Settings, folder: Path) -> tuple[str, tuple[RunSpec, ...]]:
    """A small dataset on the disk, and runs over it."""
    data, pictures = synthetic_training_set(MICRO.input_side)
    folder.mkdir()
    boxes = data.clean.boxes
    for file, picture in zip(data.clean.images.file, pictures, strict=True):
        cv2.imwrite(str(folder / file), picture)
    sides = MICRO.input_side
    annotations = {
        "images": [
            {"id": row, "file_name": file, "width": sides, "height": sides}
            for row, file in enumerate(data.clean.images.file)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(data.clean.classes)],
        "annotations": [
            {
                "id": row,
                "image_id": int(boxes.image_index[row]),
                "category_id": int(boxes.class_id[row]),
                "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                "area": float((x2 - x1) * (y2 - y1)),
                "iscrowd": 0,
            }
            for row, (x1, y1, x2, y2) in enumerate(boxes.xyxy)
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(annotations))
    registry = DatasetRegistry(settings)
    registry.add(folder, "pictures")
    registered = registry.get("pictures")
    split = default_split(registered)
    specs = tuple(
        RunSpec(
            data=DataSpec(content_hash=registered.content_hash, split=split),
            detector=MICRO,
            loss=Focal(),
            training=TrainingSpec(steps=60, batch_size=16, seed=seed),
        )
        for seed in range(SLOTS + 1)
    )
    return registered.name, specs


@contextmanager
def _worker() -> Iterator[None]:
    command = [sys.executable, "-m", "noisedash", "worker", "--slots", str(SLOTS)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _wait(store: Store, ready: Callable[[JobRecord], bool], study: str) -> list[JobRecord]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        jobs = store.jobs(study)
        if all(ready(job) for job in jobs):
            return jobs
        assert time.monotonic() < deadline, f"{study}: {[(job.state.value, job.reason) for job in jobs]}"
        time.sleep(0.2)


def _take_all_memory() -> list[Tensor]:
    """Plain allocations until the GPU has less left than a trainer's first tensors need."""
    held, size = [], torch.cuda.mem_get_info()[0]
    while size >= 1 << 20:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device=GPU))
        except torch.OutOfMemoryError:
            size //= 2
    return held


def _difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float(((one - other).abs().max() / one.abs().max().clamp(min=1e-12)).item())


if __name__ == "__main__":
    sys.exit(main())
