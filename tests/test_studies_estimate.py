"""Estimates: the formula against speeds that were measured, the count of work against torch's, the schedule by hand."""

from datetime import UTC, datetime, timedelta

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from noisedash.detector.ssd import SsdMobileNet
from noisedash.records import JobRecord, JobState, Progress, Wanted
from noisedash.spec import CrossEntropy, DataSpec, EvaluationSpec, RunSpec, SplitSpec, SsdMobileNetV1, TrainingSpec
from noisedash.studies.cost import multiply_adds
from noisedash.studies.estimate import (
    FORWARD_SHARE,
    STARTUP_S,
    Speed,
    estimate,
    formula_images_per_s,
    images_per_s,
    speed_of,
)

MICRO = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
PAPER = SsdMobileNetV1()

MEASURED_ON_TWO_THREADS = [
    (PAPER, 11.8),
    *(
        (SsdMobileNetV1(input_side=side, depth_multiplier=multiplier), speed)
        for multiplier, speeds in ((0.5, (42, 72, 119, 176)), (0.25, (96, 150, 216, 292)))
        for side, speed in zip((300, 224, 160, 128), speeds, strict=True)
    ),
    (MICRO, 333),
]


def run(detector: SsdMobileNetV1 = MICRO, steps: int = 600, batch_size: int = 16, every: int = 0, **split) -> RunSpec:
    return RunSpec(
        data=DataSpec(content_hash="0" * 64, split=SplitSpec(**split)),
        detector=detector,
        loss=CrossEntropy(),
        training=TrainingSpec(steps=steps, batch_size=batch_size),
        evaluation=EvaluationSpec(every=every),
    )


def job(spec: RunSpec, state: JobState, progress: Progress | None = None, seconds: float | None = None) -> JobRecord:
    started = datetime(2026, 11, 22, tzinfo=UTC)
    return JobRecord(
        id=1,
        run_id=spec.id,
        spec=spec,
        dataset_name="made",
        state=state,
        wanted=Wanted.RUN,
        priority=0,
        attempts=1,
        max_attempts=3,
        reason="",
        worker="",
        progress=progress,
        created_at=started,
        started_at=started,
        finished_at=None if seconds is None else started + timedelta(seconds=seconds),
    )


@pytest.mark.parametrize(("detector", "measured"), MEASURED_ON_TWO_THREADS)
def test_the_formula_is_near_what_was_measured(detector: SsdMobileNetV1, measured: float) -> None:
    assert 1 / 1.2 < formula_images_per_s(detector, threads=2) / measured < 1.2


def test_one_thread_does_what_was_measured_for_one() -> None:
    assert 220 < formula_images_per_s(MICRO, threads=1) * 333 / formula_images_per_s(MICRO, threads=2) < 260


@pytest.mark.parametrize(
    "detector", [PAPER, MICRO, SsdMobileNetV1(input_side=161, depth_multiplier=0.75), SsdMobileNetV1(input_side=96)]
)
def test_the_work_is_what_torch_counts(detector: SsdMobileNetV1) -> None:
    with torch.device("meta"):
        images = torch.zeros(1, 3, detector.input_side, detector.input_side)
    model = SsdMobileNet(detector, classes=20).eval().to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    assert multiply_adds(detector) == counter.get_total_flops() / 2


def test_measured_speeds_go_before_the_formula() -> None:
    speeds = (Speed(MICRO, 16, 100.0), Speed(MICRO, 16, 300.0), Speed(MICRO, 16, 110.0), Speed(MICRO, 32, 500.0))
    assert images_per_s(MICRO, 16, 1, speeds) == (110.0, "measured")
    assert images_per_s(MICRO, 32, 1, speeds) == (500.0, "measured")
    assert images_per_s(MICRO, 8, 1, speeds) == (205.0, "measured")


def test_another_network_s_speed_scales_the_formula() -> None:
    fast = Speed(MICRO, 16, 3 * formula_images_per_s(MICRO, 2))
    speed, source = images_per_s(PAPER, 16, 2, (fast,))
    assert (speed, source) == (pytest.approx(3 * formula_images_per_s(PAPER, 2)), "scaled")
    assert images_per_s(PAPER, 16, 2)[1] == "formula"


def test_a_run_takes_startup_training_and_every_evaluation() -> None:
    speeds = [Speed(MICRO, 16, 100.0)]
    plain = estimate([run(steps=100)], 1, 2, speeds, test_images=0)
    assert plain.seconds == plain.first_run_s == pytest.approx(STARTUP_S + 16)
    tested = estimate([run(steps=100, every=25, max_test_images=50)], 1, 2, speeds, test_images=400)
    assert tested.seconds == pytest.approx(STARTUP_S + 16 + FORWARD_SHARE * 5 * 50 / 100)


def test_runs_go_to_the_slot_that_is_free_first() -> None:
    speeds = [Speed(MICRO, 16, 16.0)]
    specs = [run(steps=steps) for steps in (94, 14, 34, 4)]
    found = estimate(specs, 2, 2, speeds, test_images=0)
    assert found.first_run_s == pytest.approx(20)
    assert found.seconds == pytest.approx(100)
    assert estimate(specs, 1, 2, speeds, test_images=0).seconds == pytest.approx(170)
    assert estimate(specs, 99, 2, speeds, test_images=0).seconds == pytest.approx(100)


def test_the_least_certain_source_is_told() -> None:
    speeds = [Speed(MICRO, 16, 100.0)]
    assert estimate([run(MICRO)], 2, 2, speeds).source == "measured"
    assert estimate([run(MICRO), run(PAPER)], 2, 2, speeds).source == "scaled"
    assert estimate([run(MICRO), run(PAPER)], 2, 2).source == "formula"


def test_no_runs_take_no_time() -> None:
    assert estimate([], 2, 2).seconds == 0


def test_a_job_tells_its_speed_by_progress_or_by_its_end() -> None:
    spec = run(steps=100)
    training = Progress("training", 50, 100, images_per_s=42.0)
    assert speed_of(job(spec, JobState.RUNNING, training)) == Speed(MICRO, 16, 42.0)
    assert speed_of(job(spec, JobState.DONE, Progress("evaluating", 100, 100), seconds=STARTUP_S + 20)) == Speed(
        MICRO, 16, 80.0
    )
    assert speed_of(job(spec, JobState.QUEUED)) is None
    assert speed_of(job(spec, JobState.FAILED, seconds=3)) is None
    assert speed_of(job(spec, JobState.DONE, Progress("evaluating", 100, 100), seconds=STARTUP_S + 2)) is None
