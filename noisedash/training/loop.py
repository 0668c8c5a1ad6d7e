"""The training loop. B images a batch, A anchors, C classes.

On a CPU it computes in float32 and its outcome is reproduced bit by bit: data order and augmentation are functions of
seed and step, nothing draws from torch's global generator, and every operation used sums in a fixed order for a given
number of threads (checked by test; torch.use_deterministic_algorithms is not needed, and it would only cost time).
Between different numbers of threads, versions or processors results differ in the last digits. How many threads torch
and OpenCV may use is the caller's to set. On a GPU it computes in bfloat16 where that is safe, with float32 weights,
losses and optimiser, and is not reproducible to the bit.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from torch import nn

from noisedash.datasets.dataset import DecodedRows
from noisedash.detector.losses import LossParts, detection_loss
from noisedash.detector.matching import match
from noisedash.detector.network import Detector
from noisedash.errors import DivergedError
from noisedash.noise.recipe import NoisyDataset
from noisedash.probe_records import ProbeRecord
from noisedash.records import MetricRecord, Progress
from noisedash.spec import CrossEntropy, Focal, RunSpec
from noisedash.training.batches import Batch, Batches, in_order
from noisedash.training.checkpoint import Checkpoint, CheckpointFolder
from noisedash.training.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from noisedash.training.precision import autocast_on_gpu
from noisedash.training.probe import Probe
from noisedash.training.progress import LossWatch, Reporter, diverged
from noisedash.training.undisturbed import undisturbed

CPU = torch.device("cpu")
GPU_LOOK_EVERY = 50
"""Steps between two looks at the losses on a GPU, which each wait for it."""


class TrainingStoppedError(Exception):
    """The run was asked to stop and to go on later; the last step lies in a checkpoint."""


def train(
    spec: RunSpec,
    data: NoisyDataset,
    images: DecodedRows,
    model: Detector,
    *,
    checkpoints: CheckpointFolder,
    checkpoint_every: int,
    checkpoint_every_s: float = math.inf,
    report: Callable[[Progress, MetricRecord | None], None],
    saved: Callable[[int, Path], None] = lambda _step, _path: None,
    should_stop: Callable[[], bool] = lambda: False,
    evaluate: Callable[[Detector, int], None] | None = None,
    probed: Callable[[ProbeRecord], None] | None = None,
    device: torch.device = CPU,
    clock: Callable[[], float] = time.monotonic,
) -> Detector:
    """Train the model in place to the end of the spec's steps, and give it back.

    It goes on from the newest checkpoint of this run, if there is one, and writes one each `checkpoint_every` steps,
    besides where `checkpoint_every_s` seconds have passed since the last, before each evaluation, when it is to stop,
    and at the end: where they fall makes no difference to the weights. `saved` is called after each, with its step and
    file. `evaluate` is called after each `spec.evaluation.every` steps, save at the end, with the number of steps done,
    and may put the model into whatever mode: training is not disturbed. A run that goes on from a step of an evaluation
    evaluates there again, with the same result. Where `probed` is given, the run is looked at by its `Probe`, with the
    same weights in the end, and it is called with all points so far after each. `report` is called at the start, after
    the first step, then about each second, and at the end; what `report`, `saved` and `probed` raise ends training.
    `should_stop` is asked after each step. `clock` gives seconds.

    Raises TrainingStoppedError where `should_stop` said so, DivergedError where a loss or a weight is not finite (such
    weights never come into a checkpoint), StorageError where a checkpoint cannot be written, DataError where there is
    nothing to train on, WeightsError where the newest checkpoint is of another network.
    """
    steps = spec.training.steps
    model.to(device).to(memory_format=torch.channels_last).train()
    batches = Batches(data, images, spec.training, spec.detector.input_side, device)
    probe = None if probed is None else Probe(spec, data, images, probed, device)
    run = _Run(spec, model, checkpoints, saved, device, probe)
    first = run.resume()
    reporter = Reporter(report, clock, first, steps, spec.training.batch_size)

    def evaluate_at(done: int) -> None:
        if evaluate is not None and _is_evaluated(spec, done):
            with reporter.evaluating(done), undisturbed(model):
                evaluate(model, done)

    evaluate_at(first)
    run.look(first)
    saved_at = clock()
    with closing(in_order(batches.batch_at, first, steps, ahead=device.type != "cpu")) as coming:
        for done, batch in enumerate(coming, first + 1):
            run.step(done, batch)
            run.look(done)
            stopping = should_stop()
            is_step_to_save = done % checkpoint_every == 0 or done == steps or _is_evaluated(spec, done)
            if is_step_to_save or stopping or clock() - saved_at >= checkpoint_every_s:
                run.save(done)
                saved_at = clock()
            if stopping:
                raise TrainingStoppedError
            evaluate_at(done)
            if reporter.is_due() or done == steps:
                run.report(done, reporter)
    return model


def training_step(
    model: Detector,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    loss: CrossEntropy | Focal,
    clip_norm: float | None,
) -> LossParts:
    """One update of the model on a batch; the losses before the update."""
    with autocast_on_gpu(batch.images):
        logits, deltas = model(batch.images)
    targets = match(model.anchors, batch.boxes, batch.labels, batch.valid)
    parts = detection_loss(logits, deltas, targets, model.anchors, loss)
    optimizer.zero_grad()
    torch.autograd.backward(parts.total)
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return parts


class _Run:
    """A model with all that changes while it trains."""

    def __init__(
        self,
        spec: RunSpec,
        model: Detector,
        checkpoints: CheckpointFolder,
        saved: Callable[[int, Path], None],
        device: torch.device,
        probe: Probe | None,
    ) -> None:
        self._spec = spec
        self._model = model
        self._checkpoints = checkpoints
        self._saved = saved
        self._optimizer = build_optimizer(model, spec.optimizer)
        self._probe = probe
        self._watch = LossWatch(look_every=1 if device.type == "cpu" else GPU_LOOK_EVERY)

    def resume(self) -> int:
        """Take the newest checkpoint's state, if there is one; the number of steps done."""
        checkpoint = self._checkpoints.latest(self._spec.id)
        if checkpoint is None:
            return 0
        checkpoint.restore(self._model, self._optimizer)
        if self._probe is not None and checkpoint.probed is not None:
            self._probe.go_on_from(checkpoint.probed)
        return checkpoint.step

    def step(self, done: int, batch: Batch) -> None:
        learning_rate = self._learning_rate(done)
        set_learning_rate(self._optimizer, learning_rate)
        parts = training_step(self._model, batch, self._optimizer, self._spec.loss, self._spec.optimizer.clip_norm)
        self._watch.add(done, learning_rate, parts)

    def look(self, done: int) -> None:
        """Probe the model where the plan says so."""
        if self._probe is not None and self._probe.is_due(done):
            self._probe.look(self._model, done)

    def save(self, done: int) -> None:
        self._watch.look()
        for name, value in self._model.state_dict().items():
            if not value.isfinite().all():
                raise DivergedError(diverged(f"the weights '{name}' were not finite", done, self._learning_rate(done)))
        seen = None if self._probe is None else self._probe.record
        path = self._checkpoints.save(Checkpoint.of(done, self._spec.id, self._model, self._optimizer, seen))
        self._saved(done, path)

    def report(self, done: int, reporter: Reporter) -> None:
        reporter.training(done, self._learning_rate(done), self._watch.take_means())

    def _learning_rate(self, done: int) -> float:
        """Of the step that was the `done`-th, counted from 1."""
        return learning_rate_at(done - 1, self._spec.training.steps, self._spec.optimizer)


def _is_evaluated(spec: RunSpec, done: int) -> bool:
    every = spec.evaluation.every
    return every > 0 and done % every == 0 and 0 < done < spec.training.steps
