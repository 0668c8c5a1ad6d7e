"""A store with studies in every state, and a small drawn dataset, for the tests of figures and pages."""

import math
from pathlib import Path

import numpy as np

from noisedash.datasets import indoor
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import split
from noisedash.evaluation.files import save_predictions
from noisedash.evaluation.records import Predictions
from noisedash.jobs.protocol import Claim
from noisedash.jobs.runfolder import newest_attempt
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState, MetricRecord, Progress, ResultRecord
from noisedash.settings import Settings
from noisedash.spec import DataSpec, Focal, FromScratch, RunSpec
from noisedash.studies.quick import NOTE, quick
from noisedash.studies.study import Study

NAME = "rooms"


def draw_rooms(settings: Settings, folder: Path, images: int = 12) -> Dataset:
    """Register a drawn dataset of a few images as 'rooms'."""
    dataset = indoor.generate(folder / NAME, images, seed=3, workers=1)
    named = Dataset(NAME, dataset.root, dataset.classes, dataset.images, dataset.boxes)
    DatasetRegistry(settings).register(named, "built-in", folder / NAME)
    return named


def demo_study(content_hash: str, name: str = "demo", seeds: tuple[int, ...] = (0, 1, 2)) -> Study:
    """The quick study's runs under another name."""
    specs = quick(DataSpec(content_hash=content_hash), FromScratch(), seeds)
    return Study(name, "Five losses with half of the labels missing", NOTE, NAME, specs)


def plausible_ap(spec: RunSpec, threshold: float) -> float:
    """mAP that behaves as the paper reports: high gamma loses less to missing labels and more to the threshold."""
    gamma = spec.loss.gamma if isinstance(spec.loss, Focal) else 1.0
    rate, noise = spec.noise.missing_rate, np.random.default_rng(spec.training.seed + int(10 * gamma)).normal(0, 0.008)
    robust = 0.30 * rate * math.exp(-0.28 * gamma)
    return float(
        0.71 - 0.002 * (gamma - 3) ** 2 - robust - threshold * 0.35 * math.exp(-0.4 * gamma) * (1 + rate) + noise
    )


def results_of(claim: Claim, classes: tuple[str, ...]) -> list[ResultRecord]:
    """Final results of a run at both thresholds; the last class has no clean box."""
    records = []
    for threshold in claim.spec.evaluation.score_thresholds:
        mean = plausible_ap(claim.spec, threshold)
        shifts = np.linspace(-0.12, 0.12, max(len(classes) - 1, 1))
        per_class: dict[str, float | None] = {name: mean + shift for name, shift in zip(classes, shifts, strict=False)}
        per_class[classes[-1]] = None
        records.append(ResultRecord(claim.run_id, claim.spec.training.steps, True, threshold, mean, per_class))
    return records


def detect(settings: Settings, dataset: Dataset, job: JobRecord) -> None:
    """Keep predictions of a done job: most boxes of its test images, shaken, some under a wrong class, and strays."""
    test, rng = split(dataset, job.spec.data.split).test, np.random.default_rng(job.id)
    boxes = test.boxes
    found = np.flatnonzero(rng.random(len(boxes)) < 0.8)
    shaken = boxes.xyxy[found] + rng.normal(0, 6, (len(found), 4))
    wrong = rng.random(len(found)) < 0.1
    stray = boxes.xyxy + rng.normal(0, 60, boxes.xyxy.shape)
    corners = np.concatenate([shaken, stray])
    predictions = Predictions(
        image_index=np.concatenate([boxes.image_index[found], boxes.image_index]),
        class_id=np.concatenate([(boxes.class_id[found] + wrong) % len(test.classes), boxes.class_id]),
        score=np.concatenate([rng.uniform(0.2, 1, len(found)), rng.uniform(0.01, 0.6, len(stray))]).astype(np.float32),
        xyxy=np.concatenate(
            [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:]) + 1], axis=1
        ).astype(np.float32),
    )
    path = newest_attempt(settings, job).predictions
    path.parent.mkdir(parents=True, exist_ok=True)
    save_predictions(path, predictions)


def train(store: Store, claim: Claim, until: int) -> None:
    """Report a falling loss up to a step."""
    steps = claim.spec.training.steps
    for step in range(0, until + 1, max(until // 8, 1)):
        loss = 2.2 * math.exp(-step / 180) + 0.3
        metric = MetricRecord(step, loss, 0.7 * loss, 0.3 * loss, 2e-3 * (1 - step / steps), 330.0)
        progress = Progress("training", step, steps, loss, 0.7 * loss, 0.3 * loss, 330.0, (steps - step) * 16 / 330)
        store.report(claim.job_id, claim.token, progress, metric)


def finish_next(store: Store, classes: tuple[str, ...]) -> Claim | None:
    """Train the next job to its end."""
    claim = store.claim("demo-worker")
    if claim is not None:
        train(store, claim, claim.spec.training.steps)
        store.finish(claim.job_id, claim.token, results_of(claim, classes))
    return claim


def fill(store: Store, dataset: Dataset, done: int = 26, worker: bool = True) -> Study:
    """A study of 30 runs: some done, one failed, one running, the rest queued."""
    study = demo_study(dataset.content_hash)
    store.submit_study(study)
    if worker:
        store.see_worker("demo-worker", "here", 1, 2)
    for _ in range(done):
        finish_next(store, dataset.classes)
    if done < len(study.specs):
        failed = store.claim("demo-worker")
        assert failed is not None
        train(store, failed, 40)
        store.fail(failed.job_id, failed.token, "The loss is not finite at step 41: lower the learning rate.")
    if done + 1 < len(study.specs):
        running = store.claim("demo-worker")
        assert running is not None
        train(store, running, 380)
    return study


def filled_home(folder: Path) -> Settings:
    """A home below a folder: drawn rooms, a study with runs in every state, and the first one's detections."""
    settings = Settings(folder / "home", f"sqlite:///{folder / 'home' / 'noisedash.db'}")
    dataset = draw_rooms(settings, folder)
    store = Store(settings.database_url)
    fill(store, dataset)
    detect(settings, dataset, store.jobs("demo", [JobState.DONE])[0])
    store.close()
    return settings
