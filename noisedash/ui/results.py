"""What the Results page shows, without the page: the chosen studies' runs and results as tidy frames."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from noisedash.figures.curves import Series
from noisedash.figures.style import LineStyle, category_style, loss_style, rate_style, style_of
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState, MetricRecord, ResultRecord, StudyRecord
from noisedash.spec import RunSpec
from noisedash.studies.summary import MEAN, aggregate, shared_settings, summarise, value_in_words
from noisedash.ui.layout import plain
from noisedash.ui.progress import ACTIVE
from noisedash.ui.text import count, run_label

AUTHORS_THRESHOLD = 0.3
QUANTITIES = {
    "loss": "loss",
    "classification_loss": "classification loss",
    "localization_loss": "localisation loss",
    "learning_rate": "learning rate",
    "images_per_s": "images/s",
}


@dataclass(frozen=True, eq=False)
class Found:
    """The chosen studies with all that the store has of them."""

    studies: tuple[StudyRecord, ...]
    jobs: tuple[JobRecord, ...]
    """Each run's job once."""
    rows: pd.DataFrame
    """A row per run, threshold and class at the end of training."""
    points: pd.DataFrame
    """The same over seeds."""
    interim: tuple[ResultRecord, ...]
    """Results of all steps, where runs were evaluated on the way."""
    interim_step: int | None
    """While no run has finished: the step of the interim results that stand in rows and points."""

    @property
    def specs(self) -> dict[str, RunSpec]:
        """The runs by id."""
        return {job.run_id: job.spec for job in self.jobs}

    @property
    def is_active(self) -> bool:
        """Whether a run may still bring results."""
        return any(job.state in ACTIVE for job in self.jobs)

    @property
    def thresholds(self) -> list[float]:
        """Score thresholds that there are results for, ascending."""
        return sorted(self.rows["threshold"].unique())

    @property
    def settings(self) -> list[str]:
        """What parts the finished runs beside loss, noise and seeds; [''] where nothing does."""
        return sorted(self.rows["settings"].unique())

    def with_settings(self, chosen: Collection[str]) -> "Found":
        """The same without the finished runs of other settings."""
        rows = self.rows[self.rows["settings"].isin(chosen)]
        left_out = set(self.rows["run_id"]) - set(rows["run_id"])
        return replace(
            self,
            jobs=tuple(job for job in self.jobs if job.run_id not in left_out),
            rows=rows,
            points=self.points[self.points["settings"].isin(chosen)],
            interim=tuple(result for result in self.interim if result.run_id not in left_out),
        )

    def rows_at(self, threshold: float) -> pd.DataFrame:
        """Rows at a score threshold, of the mean over classes."""
        return self.rows[(self.rows["threshold"] == threshold) & (self.rows["class_name"] == MEAN)]

    def points_at(self, threshold: float, class_name: str | None = MEAN) -> pd.DataFrame:
        """Points at a score threshold: of the mean over classes, of one class, or (None) of all classes."""
        at = self.points[self.points["threshold"] == threshold]
        return at[at["class_name"] != MEAN] if class_name is None else at[at["class_name"] == class_name]


def find(store: Store, names: Sequence[str]) -> Found:
    """All that the store has of the studies of those names. Raises NotFoundError."""
    studies = tuple(store.study(name) for name in names)
    jobs = {job.run_id: job for study in studies for job in store.jobs(study.name)}
    specs = {run_id: job.spec for run_id, job in jobs.items()}
    results = store.results(list(specs))
    final = [result for result in results if result.final]
    interim_step = max((result.step for result in results), default=None) if not final else None
    rows = summarise(specs, final or [result for result in results if result.step == interim_step])
    interim_runs = {result.run_id for result in results if not result.final}
    interim = tuple(result for result in results if result.run_id in interim_runs)
    return Found(studies, tuple(jobs.values()), rows, aggregate(rows), interim, interim_step)


def studies_in_words(found: Found) -> str:
    """What the studies are, then what a reader must know of them, each note once; as markdown."""
    headlines = [f"**{plain(f'{study.name}: {study.title}, on {study.dataset_name}')}**" for study in found.studies]
    notes = dict.fromkeys(plain(study.note) for study in found.studies)
    return "\n\n".join([*headlines, *notes])


def completeness(found: Found) -> str:
    """'26 of 30 runs are in' and what became of the others."""
    jobs = found.jobs
    if found.interim_step is not None:
        steps = max(job.spec.training.steps for job in jobs)
        return f"No run has finished yet: these are first measurements, at step {found.interim_step:,} of {steps:,}."
    done = sum(job.state is JobState.DONE for job in jobs)
    if done == len(jobs):
        return f"All {count(len(jobs), 'run')} are in."
    states = [
        f"{number} {state}"
        for state in JobState
        if state is not JobState.DONE and (number := sum(job.state is state for job in jobs))
    ]
    return f"{done} of {count(len(jobs), 'run')} are in ({', '.join(states)}): the curves may still change."


def seeds_in_words(points: pd.DataFrame, spread: str) -> str:
    """How many seeds the points are of, and what the bars mean."""
    if points.empty:
        return ""
    low, high = int(points["n"].min()), int(points["n"].max())
    if high == 1:
        return "One seed each: there is no telling a difference between losses from chance."
    seeds = f"{low}" if low == high else f"{low} to {high}"
    bars = "one standard deviation" if spread == "sd" else "the lowest and the highest seed"
    return f"Means over n = {seeds} seeds; bars show {bars}."


def key_settings(found: Found, weights_by_sha256: Mapping[str, str]) -> str:
    """The settings that move a result most, on one line; those in which the runs differ are left out."""
    shared = shared_settings(found.specs.values())
    sha256 = shared.get("initial.sha256")
    if sha256 is not None:
        shared["initial.kind"] = weights_by_sha256.get(sha256, f"weights {sha256[:8]}…")
    names = {
        "detector.class_prior": "class head starts at {}",
        "loss.classification_weight": "classification weight {}",
        "loss.alpha": "α {}",
        "training.augmentation.horizontal_flip": "flip {}",
        "training.augmentation.random_crop": "crop {}",
        "training.steps": "{} steps",
        "training.batch_size": "batch {}",
        "data.split.max_train_images": "at most {} training images",
        "optimizer.kind": "{}",
        "optimizer.learning_rate": "learning rate {}",
        "detector.input_side": "{} px",
        "detector.depth_multiplier": "depth {}",
        "initial.kind": "from {}",
    }
    return ", ".join(
        text.format(value_in_words(shared[name])) for name, text in names.items() if shared.get(name) is not None
    )


def settings_table(found: Found) -> pd.DataFrame:
    """Every setting that the runs share."""
    shared = shared_settings(found.specs.values())
    return pd.DataFrame({"setting": list(shared), "value": [value_in_words(value) for value in shared.values()]})


def result_table(points: pd.DataFrame) -> pd.DataFrame:
    """The means as a person reads them."""
    told = {
        "threshold": "score ≥",
        "loss": "loss",
        "settings": "settings",
        "missing_rate": "missing, %",
        "mean": "mAP",
        "sd": "sd",
        "low": "lowest",
        "high": "highest",
        "n": "seeds",
        "drop_mean": "points lost",
    }
    shown = points[points["class_name"] == MEAN].assign(missing_rate=100 * points["missing_rate"])
    columns = [column for column in told if column != "settings" or shown["settings"].any()]
    return shown[columns].rename(columns=told)


def classes_by_loss(points: pd.DataFrame) -> list[str]:
    """Class names, those first that lose most between the lowest and the highest noise rate."""
    classes = points[points["class_name"] != MEAN]
    lost = classes.groupby("class_name")["drop_mean"].max().fillna(0.0)
    return [str(name) for name in lost.sort_values(ascending=False, kind="stable").index]


def run_styles(jobs: Sequence[JobRecord]) -> list[LineStyle]:
    """A run has its loss's style where it is the only one of that loss, else one of its own."""
    losses = [job.spec.loss for job in jobs]
    return [style_of(loss) if losses.count(loss) == 1 else category_style(index) for index, loss in enumerate(losses)]


def training_series(
    jobs: Sequence[JobRecord], metrics: Mapping[str, list[MetricRecord]], quantity: str
) -> list[Series]:
    """A line per run of a quantity of QUANTITIES."""
    return [
        Series(
            run_label(job),
            [metric.step for metric in metrics[job.run_id]],
            [getattr(metric, quantity) for metric in metrics[job.run_id]],
            style,
        )
        for job, style in zip(jobs, run_styles(jobs), strict=True)
    ]


def ap_series(jobs: Sequence[JobRecord], interim: Sequence[ResultRecord], threshold: float) -> list[Series]:
    """mAP over training steps of the runs that were evaluated on the way."""
    series = []
    for job, style in zip(jobs, run_styles(jobs), strict=True):
        own = [result for result in interim if result.run_id == job.run_id and result.score_threshold == threshold]
        if own:
            steps, aps = [result.step for result in own], [result.mean_ap for result in own]
            series.append(Series(run_label(job), steps, aps, style))
    return series


def mean_ap_series(found: Found, threshold: float) -> list[Series]:
    """mAP over training steps of each loss at each noise rate, a mean over seeds, where runs were evaluated on the way.

    A step that fewer seeds have reached than another is left out. The loss gives colour and marker, the rate the dash.
    """
    points = aggregate(summarise(found.specs, found.interim))
    points = points[(points["threshold"] == threshold) & (points["class_name"] == MEAN)]
    of_curve = ["kind", "gamma", "loss", "settings", "missing_rate"]
    series = []
    for kind, gamma, loss, settings, rate in points[of_curve].drop_duplicates().itertuples(index=False):
        alike = (points["loss"] == loss) & (points["settings"] == settings) & (points["missing_rate"] == rate)
        own = points[alike].sort_values("step")
        whole = own[own["n"] == own["n"].max()]
        name = ", ".join(filter(None, (loss, f"{100 * rate:g} % missing", settings)))
        style = replace(loss_style(kind, gamma), dash=rate_style(rate).dash)
        series.append(Series(name, whole["step"].tolist(), whole["mean"].tolist(), style))
    return series
