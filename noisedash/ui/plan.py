"""What the Launch page plans: from a preset and a person's changes to a study, and what it will cost."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.splits import default_split, split
from noisedash.errors import NotFoundError, SpecError
from noisedash.jobs.store import Store
from noisedash.noise_spec import MissingNoise, noise_beside_rate, noise_label
from noisedash.records import JobState
from noisedash.spec import (
    CrossEntropy,
    DataSpec,
    DetectorSpec,
    Focal,
    FromScratch,
    FromWeights,
    RunSpec,
    SplitSpec,
    detector_label,
)
from noisedash.studies.estimate import DEFAULT_TEST_IMAGES, Estimate, estimate, speed_of
from noisedash.studies.grid import focal, grid, title_with_noise
from noisedash.studies.overrides import apply_overrides, apply_to_all
from noisedash.studies.recipes import RECIPES, Recipe, make_study, varied
from noisedash.studies.study import Study
from noisedash.ui.text import count
from noisedash.weights import WeightsRegistry

OWN = "own"
PRESETS = {
    "quick": "Quick look",
    "paper-losses": "Paper: CE and FL",
    "paper-gammas": "Paper: γ 0 to 8",
    "confounders": "Confounders",
    "scratch-or-finetuned": "From scratch?",
    "architectures": "Architectures",
    OWN: "Own grid",
}
SCRATCH = "scratch"
NO_HASH = "0" * 64
"""Stands for a dataset that is not drawn yet, while its runs are only counted."""
_OWN_TITLE = "Own grid of losses and noise rates"
_OWN_NOTE = "An own grid: read it with its settings, which move the result as much as the loss does."
_EARLIER_RUNS = 200
"""So many of the last runs tell how fast this machine is."""


@dataclass(frozen=True)
class Grid:
    """Which runs: all combinations of losses, rates and seeds."""

    cross_entropy: bool
    gammas: tuple[float, ...]
    missing_rates: tuple[float, ...]
    seeds: int
    """Seeds 0 to this number less one."""
    own_noise: bool
    """Each seed draws its own noise; else one draw serves all."""


@dataclass(frozen=True)
class Preset:
    """What a form starts from: a run, the grid over it, and its words."""

    name: str
    title: str
    note: str
    dataset: str | None
    """The dataset that it is made for."""
    base: RunSpec
    cross_entropy: CrossEntropy
    """Cross-entropy as the recipe has it: how it is mined, say."""
    focal: Focal
    """The focal loss as the recipe has it, for any gamma."""
    grid: Grid
    weights: str
    """The name of the initial weights, 'scratch' where there are none."""
    absent_weights: str
    """The weights that it should start from and that are not at hand; '' where all is well."""


@dataclass(frozen=True)
class Cost:
    """What a study asks of this machine."""

    new: int
    trained: int
    """Runs that are done already, and are not trained again."""
    waiting: int
    """Runs that the queue knows and that are not done."""
    estimate: Estimate
    slots: int


def preset(name: str, weights: WeightsRegistry) -> Preset:
    """The preset of that name, as yet without a dataset. The own grid starts from the quick study's settings."""
    recipe = _recipe_of(name)
    initial, weights_name = _initial_of(recipe, weights)
    specs = recipe.runs(DataSpec(content_hash=NO_HASH), initial, recipe.seeds)
    absent = recipe.weights if recipe.weights and weights_name == SCRATCH else ""
    title, note = (_OWN_TITLE, _OWN_NOTE) if name == OWN else (recipe.title, recipe.note)
    losses = [spec.loss for spec in specs]
    return Preset(
        name=name,
        title=title,
        note=note,
        dataset=recipe.dataset,
        base=specs[0],
        cross_entropy=next((loss for loss in losses if isinstance(loss, CrossEntropy)), CrossEntropy()),
        focal=next((loss for loss in losses if isinstance(loss, Focal)), Focal()),
        grid=_grid_of(specs),
        weights=weights_name,
        absent_weights=absent,
    )


def weight_choices(weights: WeightsRegistry, detector: DetectorSpec) -> list[str]:
    """What a run of such a network can start from, by name."""
    label = detector_label(detector)
    return [SCRATCH, *(record.name for record in weights.list() if detector_label(record.detector) == label)]


def detector_of(planned: Preset, kind: str) -> DetectorSpec:
    """The preset's network; one of another kind has that kind's defaults."""
    own = planned.base.detector
    return own if kind == own.kind else apply_overrides(planned.base, {"detector": kind}).detector


def base_run(
    planned: Preset,
    dataset: Dataset | None,
    detector: DetectorSpec,
    weights_name: str,
    optimizer: str,
    weights: WeightsRegistry,
) -> RunSpec:
    """The preset's run on a dataset (None: not drawn yet) of that network, from those weights, with that optimiser.

    An optimiser of the preset's kind has the settings that its recipe gives runs from such weights; one of another
    kind has that kind's defaults. Raises NotFoundError, SpecError.
    """
    limits = {name: getattr(planned.base.data.split, name) for name in ("max_train_images", "max_test_images")}
    own_split = SplitSpec() if dataset is None else default_split(dataset)
    content_hash = NO_HASH if dataset is None else dataset.content_hash
    data = DataSpec(content_hash=content_hash, split=own_split.model_copy(update=limits))
    base = planned.base.model_copy(update={"data": data, "detector": detector})
    if weights_name != planned.weights:
        initial = _from_weights(weights_name, planned, weights)
        (own, *_) = _recipe_of(planned.name).runs(data, initial, (0,))
        base = base.model_copy(update={"initial": initial, "optimizer": own.optimizer})
    return base if optimizer == base.optimizer.kind else apply_overrides(base, {"optimizer": optimizer})


def planned_study(
    name: str, planned: Preset, base: RunSpec, chosen: Grid, changes: Mapping[str, str], dataset_name: str
) -> Study:
    """The study of a filled-in form. `changes` are settings by name. Raises SpecError that says what to change."""
    losses = (*((planned.cross_entropy,) if chosen.cross_entropy else ()), *focal(chosen.gammas, planned.focal))
    if not losses:
        raise SpecError("Choose at least one loss: cross-entropy, or a value of γ.")
    specs = grid(base, losses, chosen.missing_rates, range(chosen.seeds), None if chosen.own_noise else 0)
    fitting = {name: text for name, text in changes.items() if name != "loss.alpha" or chosen.gammas}
    title = title_with_noise(planned.title, specs)
    return make_study(name, title, planned.note, dataset_name, _varied(planned, apply_to_all(specs, fitting)))


def study_in_words(study: Study, weights_name: str) -> str:
    """What is trained from what, on which labels: all that the runs share and what they differ in but settings."""
    specs = study.specs
    gammas = [f"{gamma:g}" for gamma in _gammas(specs)]
    losses = [*(["CE"] if _has_cross_entropy(specs) else []), *([f"FL of γ {_listed(gammas)}"] if gammas else [])]
    seeds = len({spec.training.seed for spec in specs})
    draws = len({step.seed for spec in specs for step in spec.noise.steps})
    drawn = "" if seeds == 1 else "; each seed draws its own" if draws > 1 else "; one draw serves all seeds"
    labels = f"Training labels: {_noise_in_words(specs)}{drawn}" if draws else "The training labels stay clean"
    start = "from scratch" if weights_name == SCRATCH else f"from {weights_name}"
    return (
        f"{detector_label(specs[0].detector)} {start} on {study.dataset_name}, with {_listed(losses)}, over "
        f"{count(seeds, 'seed')}. {labels}. The test set stays clean."
    )


def _noise_in_words(specs: Sequence[RunSpec]) -> str:
    """'0, 30 and 50 % missing, 20 % wrong class, at 0 % missing too'."""
    rates = sorted({spec.noise.missing_rate for spec in specs})
    most = max((spec.noise for spec in specs), key=lambda noise: noise.missing_rate)
    if len(rates) == 1:
        return noise_label(most)
    beside = noise_beside_rate(most)
    percentages = f"{_listed([f'{round(100 * rate, 4):g}' for rate in rates])} %"
    missing = percentages if beside.startswith("missing") else f"{percentages} missing{',' if beside else ''}"
    told = f"{missing} {beside}".strip()
    others = any(not isinstance(step, MissingNoise) for step in most.steps)
    return f"{told}, at 0 % missing too" if others and not rates[0] else told


def _listed(words: Sequence[str]) -> str:
    """'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def changed(base: RunSpec, values: Mapping[str, Any]) -> dict[str, str]:
    """The settings (by dotted name) whose value is another than in the run, as texts for `planned_study`.

    >>> from noisedash.spec import DataSpec
    >>> run = RunSpec(data=DataSpec(content_hash=NO_HASH), loss=Focal())
    >>> changed(run, {"detector.class_prior": 0.5, "loss.alpha": 0.25})
    {'loss.alpha': '0.25'}
    """
    return {name: _as_text(value) for name, value in values.items() if value != setting(base, name)}


def setting(base: RunSpec, name: str) -> Any:
    """The value of a run's setting by its dotted name; those that only the focal loss has are its defaults' there."""
    value: Any = base.model_copy(update={"loss": Focal()}) if name == "loss.alpha" else base
    for part in name.split("."):
        value = getattr(value, part)
    return list(value) if isinstance(value, tuple) else value


def cost(study: Study, dataset: Dataset | None, store: Store) -> Cost:
    """How much of the study is new to the store, and how long the new runs take here."""
    ids = [spec.id for spec in study.specs]
    trained = {result.run_id for result in store.results(ids, final_only=True)}
    known = {run_id for run_id, studies in store.studies_of(ids).items() if studies}
    new = [spec for spec in study.specs if spec.id not in trained]
    cores = os.cpu_count() or 1
    slots = sum(worker.slots for worker in store.workers()) or cores
    earlier = store.jobs(states=[JobState.DONE], limit=_EARLIER_RUNS, newest_first=True)
    speeds = [speed for job in earlier if (speed := speed_of(job)) is not None]
    tested = DEFAULT_TEST_IMAGES if dataset is None else _test_images(dataset, study.specs[0].data.split)
    return Cost(
        new=len(set(ids) - trained - known),
        trained=len(trained),
        waiting=len(known - trained),
        estimate=estimate(new, slots, cores, speeds, tested),
        slots=slots,
    )


@lru_cache(maxsize=32)
def _test_images(dataset: Dataset, spec: SplitSpec) -> int:
    return len(split(dataset, spec).test.images)


def numbers(texts: Sequence[str], what: str) -> tuple[float, ...]:
    """Numbers that a person typed, each once, in order. Raises SpecError that names the one that is none.

    >>> numbers(["5", "0", "2,5"], "γ")
    (0.0, 2.5, 5.0)
    """
    found = set()
    for text in texts:
        try:
            found.add(float(text.replace("%", "").replace(",", ".").strip()))
        except ValueError:
            raise SpecError(f"{what}: {text!r} is no number.") from None
    if not all(map(isfinite, found)):
        raise SpecError(f"{what}: every number must be finite.")
    return tuple(sorted(found))


def rates(texts: Sequence[str]) -> tuple[float, ...]:
    """Missing rates as fractions from percentages that a person typed. Raises SpecError out of 0 to 100 %.

    >>> rates(["50 %", "0 %", "12.5"])
    (0.0, 0.125, 0.5)
    """
    percentages = numbers(texts, "Missing labels")
    for percentage in percentages:
        if not 0 <= percentage <= 100:
            raise SpecError(f"Missing labels: {percentage:g} % is not between 0 and 100 %.")
    return tuple(round(percentage / 100, 6) for percentage in percentages)


def _initial_of(recipe: Recipe, weights: WeightsRegistry) -> tuple[FromScratch | FromWeights, str]:
    if recipe.weights is None:
        return FromScratch(), SCRATCH
    try:
        return FromWeights(sha256=weights.find(recipe.weights).sha256), recipe.weights
    except NotFoundError:
        return FromScratch(), SCRATCH


def _recipe_of(name: str) -> Recipe:
    """The recipe of a preset; the own grid's is the quick study's."""
    return RECIPES["quick" if name == OWN else name]


def _varied(planned: Preset, centre: tuple[RunSpec, ...]) -> tuple[RunSpec, ...]:
    """The runs of a form's grid and what the preset's recipe varies in them. Raises SpecError."""
    return varied(RECIPES[planned.name], centre) if planned.name in RECIPES else centre


def _from_weights(name: str, planned: Preset, weights: WeightsRegistry) -> FromScratch | FromWeights:
    """A preset that draws its class head anew does so from any weights; so does one that started from scratch."""
    if name == SCRATCH:
        return FromScratch()
    reset = planned.base.initial.reset_class_head if isinstance(planned.base.initial, FromWeights) else False
    return FromWeights(sha256=weights.find(name).sha256, reset_class_head=reset)


def _grid_of(specs: Sequence[RunSpec]) -> Grid:
    """The grid that a recipe's runs are."""
    return Grid(
        cross_entropy=_has_cross_entropy(specs),
        gammas=_gammas(specs),
        missing_rates=tuple(sorted({spec.noise.missing_rate for spec in specs})),
        seeds=len({spec.training.seed for spec in specs}),
        own_noise=len({step.seed for spec in specs for step in spec.noise.steps}) > 1,
    )


def _has_cross_entropy(specs: Sequence[RunSpec]) -> bool:
    return any(isinstance(spec.loss, CrossEntropy) for spec in specs)


def _gammas(specs: Sequence[RunSpec]) -> tuple[float, ...]:
    return tuple(sorted({spec.loss.gamma for spec in specs if isinstance(spec.loss, Focal)}))


def _as_text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
