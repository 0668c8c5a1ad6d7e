import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from training_toys import CLASSES, toy_pixels, toy_training_set

from noisedash.detector.ssd import SsdMobileNet
from noisedash.errors import DivergedError, StorageError, WeightsError
from noisedash.records import MetricRecord, Progress
from noisedash.spec import (
    AdamW,
    CrossEntropy,
    DataSpec,
    EvaluationSpec,
    Focal,
    Loss,
    Optimizer,
    RmsPropTf,
    RunSpec,
    Sgd,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.training.checkpoint import CheckpointFolder
from noisedash.training.loop import TrainingStoppedError, train
from noisedash.training.randomness import Purpose, generator_at

MICRO = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
GOLDEN = Path(__file__).parent / "golden" / "training_losses.json"
DATA = toy_training_set(rate=0.25)
PIXELS = toy_pixels(DATA.clean)
Reports = list[tuple[Progress, MetricRecord | None]]
OPTIMIZERS: list[Optimizer] = [
    RmsPropTf(),
    Sgd(warmup_steps=2, schedule="cosine"),
    AdamW(warmup_steps=2, schedule="cosine", clip_norm=10.0),
]


def spec_of(optimizer: Optimizer, loss: Loss | None = None, steps: int = 6, every: int = 0) -> RunSpec:
    return RunSpec(
        data=DataSpec(content_hash="0" * 64),
        detector=MICRO,
        loss=loss or Focal(),
        optimizer=optimizer,
        training=TrainingSpec(steps=steps, batch_size=4, seed=3),
        evaluation=EvaluationSpec(every=every),
    )


class Ticking:
    """A clock that goes on by `tick_s` whenever it is read."""

    def __init__(self, tick_s: float = 1.0) -> None:
        self.now, self.tick_s = 0.0, tick_s

    def __call__(self) -> float:
        self.now += self.tick_s
        return self.now


def run(
    spec: RunSpec,
    folder: Path,
    *,
    reports: Reports | None = None,
    report: Callable[[Progress, MetricRecord | None], None] | None = None,
    model: SsdMobileNet | None = None,
    tick_s: float = 1.0,
    checkpoint_every: int = 2,
    earlier: tuple[Path, ...] = (),
    **options: object,
) -> SsdMobileNet:
    def keep(progress: Progress, metric: MetricRecord | None) -> None:
        if reports is not None:
            reports.append((progress, metric))

    return train(
        spec,
        DATA,
        PIXELS,
        model or SsdMobileNet(MICRO, len(CLASSES), seed=spec.training.seed),
        checkpoints=CheckpointFolder(folder, earlier),
        checkpoint_every=checkpoint_every,
        report=report or keep,
        clock=Ticking(tick_s),
        **options,
    )


def assert_same_weights(first: SsdMobileNet, second: SsdMobileNet) -> None:
    for (name, value), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


class Killed(BaseException):
    """As little can be done about it as about SIGKILL."""


def killed_after(step: int) -> Callable[[Progress, MetricRecord | None], None]:
    def report(progress: Progress, metric: MetricRecord | None) -> None:
        if progress.step == step:
            raise Killed

    return report


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.kind)
def test_killed_and_resumed_again_and_again_the_weights_are_the_same_bit_by_bit(
    tmp_path: Path, optimizer: Optimizer
) -> None:
    spec = spec_of(optimizer, steps=7)
    undisturbed = run(spec, tmp_path / "undisturbed")
    folders: list[Path] = []
    for attempt, step in enumerate((1, 3, 4, 7)):
        with pytest.raises(Killed):
            run(spec, tmp_path / str(attempt), earlier=tuple(folders), report=killed_after(step))
        folders.insert(0, tmp_path / str(attempt))
    reports: Reports = []
    resumed = run(spec, tmp_path / "last", earlier=tuple(folders), reports=reports)
    assert reports[0][0].step == 7
    assert_same_weights(undisturbed, resumed)

    no_checkpoint_at_7 = tuple(folders[1:])
    resumed = run(spec, tmp_path / "other", earlier=no_checkpoint_at_7, reports=reports)
    assert reports[-2][0].step == 6
    assert_same_weights(undisturbed, resumed)


def test_cross_entropy_resumes_bit_by_bit_too(tmp_path: Path) -> None:
    spec = spec_of(AdamW(), CrossEntropy(), steps=4)
    undisturbed = run(spec, tmp_path / "undisturbed")
    with pytest.raises(Killed):
        run(spec, tmp_path / "killed", report=killed_after(3))
    assert_same_weights(undisturbed, run(spec, tmp_path / "killed"))


def test_a_stopped_run_goes_on_from_where_it_stopped(tmp_path: Path) -> None:
    spec = spec_of(AdamW(), steps=5)
    asked: list[int] = []
    saved: list[tuple[int, Path]] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(TrainingStoppedError):
        run(
            spec,
            tmp_path / "stopped",
            checkpoint_every=100,
            should_stop=should_stop,
            saved=lambda step, path: saved.append((step, path)),
        )
    assert [(step, path.is_file()) for step, path in saved] == [(3, True)]
    reports: Reports = []
    resumed = run(spec, tmp_path / "stopped", reports=reports)
    assert reports[0][0].step == 3
    assert_same_weights(run(spec, tmp_path / "undisturbed"), resumed)


def test_a_run_killed_in_an_evaluation_keeps_its_steps_and_evaluates_again(tmp_path: Path) -> None:
    spec = spec_of(Sgd(), steps=6, every=4)
    evaluated: list[int] = []

    def die(model: SsdMobileNet, step: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        run(spec, tmp_path, checkpoint_every=100, evaluate=die)
    reports: Reports = []
    run(spec, tmp_path, checkpoint_every=100, evaluate=lambda model, step: evaluated.append(step), reports=reports)
    assert reports[0][0].step == 4
    assert evaluated == [4]


def test_training_learns(tmp_path: Path) -> None:
    reports: Reports = []
    run(spec_of(AdamW(learning_rate=4e-3), steps=25), tmp_path, reports=reports)
    losses = [metric.loss for _, metric in reports if metric]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


class Exact(SsdMobileNet):
    """The network in float64 and from weights that every processor draws alike.

    The first steps from random weights multiply a difference by about 70 each, so that in float32 two processors, or
    two numbers of threads, are percents apart by the third.
    """

    def __init__(self) -> None:
        super().__init__(MICRO, len(CLASSES))
        self.double()
        rng = generator_at(0, Purpose.AUGMENTATION)
        for param in self.parameters():
            if param.ndim > 1:
                uniform = torch.from_numpy(rng.random(param.numel())).view(param.shape) - 0.5
                param.data.copy_(uniform * (12 / param[0].numel()) ** 0.5)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        levels = ((images.double() + 1) * 127.5).round()
        return super().forward(levels / 127.5 - 1)


def losses_of_some_steps(folder: Path) -> dict[str, list[list[float]]]:
    losses = {}
    for optimizer, loss in zip(OPTIMIZERS, (CrossEntropy(), Focal(gamma=0.5), Focal(gamma=5)), strict=True):
        reports: Reports = []
        run(spec_of(optimizer, loss, steps=4), folder / optimizer.kind, model=Exact(), reports=reports)
        metrics = [metric for _, metric in reports if metric]
        losses[optimizer.kind] = [[metric.classification_loss, metric.localization_loss] for metric in metrics]
    return losses


def test_losses_are_those_of_the_golden_curve(tmp_path: Path) -> None:
    found, golden = losses_of_some_steps(tmp_path), json.loads(GOLDEN.read_text())
    assert golden.keys() == found.keys()
    for kind, losses in golden.items():
        np.testing.assert_allclose(found[kind], losses, rtol=1e-4, err_msg=kind)


def test_reports_come_at_the_start_after_the_first_step_each_second_and_at_the_end(tmp_path: Path) -> None:
    reports: Reports = []
    run(spec_of(Sgd(), steps=9), tmp_path, reports=reports, tick_s=0.4)
    steps = [progress.step for progress, _ in reports]
    assert steps[:2] == [0, 1]
    assert steps[-1] == 9
    assert 4 <= len(steps) < 9
    assert reports[0] == (Progress("training", 0, 9), None)
    for progress, metric in reports[1:]:
        assert metric is not None
        assert (progress.phase, progress.steps, metric.step) == ("training", 9, progress.step)
        assert progress.loss == metric.loss == pytest.approx(metric.classification_loss + metric.localization_loss)
        assert metric.learning_rate == 0.01


def test_reported_losses_are_means_since_the_last_report(tmp_path: Path) -> None:
    each, means = [], []
    run(spec_of(Sgd(), steps=6), tmp_path / "1", reports=each)
    run(spec_of(Sgd(), steps=6), tmp_path / "2", reports=means, tick_s=0.0)
    assert [progress.step for progress, _ in means] == [0, 1, 6]
    expected = np.mean([metric.loss for _, metric in each[2:]])
    assert means[-1][1].loss == pytest.approx(expected, rel=1e-6)


def test_evaluation_disturbs_nothing_and_costs_no_speed(tmp_path: Path) -> None:
    spec = spec_of(AdamW(), steps=6, every=2)
    evaluated = []

    def evaluate(model: SsdMobileNet, step: int) -> None:
        evaluated.append(step)
        torch.manual_seed(step)
        model.eval()
        with torch.no_grad():
            model(torch.rand(2, 3, 96, 96))

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    reports: Reports = []
    with_evaluation = run(spec, tmp_path / "1", evaluate=evaluate, reports=reports)
    assert torch.rand(1) == expected
    assert with_evaluation.training
    assert evaluated == [2, 4]
    assert [progress.step for progress, _ in reports if progress.phase == "evaluating"] == [2, 4]
    assert_same_weights(with_evaluation, run(spec, tmp_path / "2"))


def test_speed_and_time_left(tmp_path: Path) -> None:
    now = [0.0]

    def evaluate(model: SsdMobileNet, step: int) -> None:
        now[0] += 1000

    class Stepping(list):
        """Half a second passes for each image that is read."""

        def __getitem__(self, row):
            now[0] += 0.5
            return super().__getitem__(row)

    reports: Reports = []
    train(
        spec_of(Sgd(), steps=5, every=2),
        DATA,
        Stepping(PIXELS),
        SsdMobileNet(MICRO, len(CLASSES)),
        checkpoints=CheckpointFolder(tmp_path),
        checkpoint_every=10,
        report=lambda progress, metric: reports.append((progress, metric)),
        evaluate=evaluate,
        clock=lambda: now[0],
    )
    trained = [progress for progress, metric in reports if metric]
    assert [progress.images_per_s for progress in trained] == pytest.approx([2.0] * 5)
    assert [progress.eta_s for progress in trained] == pytest.approx([8.0, 6.0, 4.0, 2.0, 0.0])


@pytest.mark.parametrize(
    ("poisoned", "named"), [("class_heads.0.bias", "classification"), ("box_heads.0.bias", "localization")]
)
def test_a_loss_that_is_not_finite_ends_the_run_and_says_which_and_where(
    tmp_path: Path, poisoned: str, named: str
) -> None:
    model = SsdMobileNet(MICRO, len(CLASSES))
    steps: list[int] = []

    def poison(progress: Progress, metric: MetricRecord | None) -> None:
        steps.append(progress.step)
        if progress.step == 3:
            model.state_dict()[poisoned].fill_(math.nan)

    with pytest.raises(DivergedError, match=rf"^Training diverged: the {named} loss was nan at step 4 .*\.$"):
        run(spec_of(Sgd()), tmp_path, model=model, report=poison)
    assert steps[-1] == 3
    assert CheckpointFolder(tmp_path).latest(spec_of(Sgd()).id).step == 2


def test_weights_that_are_not_finite_come_into_no_checkpoint(tmp_path: Path) -> None:
    spec = spec_of(Sgd(learning_rate=1e38), steps=1)
    with pytest.raises(DivergedError, match="diverged"):
        run(spec, tmp_path)
    assert CheckpointFolder(tmp_path).latest(spec.id) is None


def test_a_full_disk_ends_the_run_and_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = CheckpointFolder.save

    def full_at_4(folder: CheckpointFolder, checkpoint: object) -> Path:
        if checkpoint.step == 4:
            raise StorageError("The checkpoint of step 4 does not fit on the disk.")
        return save(folder, checkpoint)

    monkeypatch.setattr(CheckpointFolder, "save", full_at_4)
    with pytest.raises(StorageError, match="step 4"):
        run(spec_of(Sgd()), tmp_path)
    assert CheckpointFolder(tmp_path).latest(spec_of(Sgd()).id).step == 2


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    spec = spec_of(Sgd(), steps=1)
    run(spec, tmp_path)
    with pytest.raises(WeightsError, match="does not fit the network"):
        run(spec, tmp_path, model=SsdMobileNet(MICRO, classes=5))


if __name__ == "__main__":  # run as a script it writes the golden curve anew, where a change of it is meant
    with tempfile.TemporaryDirectory() as scratch:
        GOLDEN.write_text(json.dumps(losses_of_some_steps(Path(scratch)), indent=1) + "\n")
