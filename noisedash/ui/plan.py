"""What the Launch page plans: from a preset and a person's changes to a study, and what it will cost."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.splits import default_split, split
from noisedash.errors import NotFoundError, SpecError
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.spec import CrossEntropy, DataSpec, Focal, FromScratch, FromWeights, RunSpec, SplitSpec
from noisedash.studies.estimate import Estimate, Speed, estimate, speed_of
from noisedash.studies.grid import focal, grid
from noisedash.studies.overrides import apply_to_all
from noisedash.studies.recipes import RECIPES, Recipe, make_study
from noisedash.studies.study import Study
from noisedash.weights import WeightsRegistry

OWN = "own"
PRESETS = {
    "quick": "Quick look",
    "paper-losses": "Paper: CE and FL",
    "paper-gammas": "Paper: γ 0 to 8",
    OWN: "Own grid",
}
SCRATCH = "scratch"
NO_HASH = "0" * 64
"""Stands for a dataset that is not drawn yet, while its runs are only counted."""
_OWN_NOTE = "An own grid. Read it with its settings: they are shown beside every figure."
_OWN_TITLE = "Own grid of losses and noise rates"


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
    """What a form starts from: the first run of a recipe, its grid, and its words."""

    name: str
    title: str
    note: str
    base: RunSpec
    grid: Grid
    weights: str
    """The name of the initial weights, 'scratch' where there are none."""
    missing_weights: str
    """The weights that it should start from and that are not at hand; '' where all is well."""


def preset(name: str, weights: WeightsRegistry) -> Preset:
    """The preset of that name, as yet without a dataset. The own grid starts from the quick study's settings."""
    recipe = RECIPES["quick" if name == OWN else name]
    initial, weights_name, missing_weights = _initial_of(recipe, weights)
    specs = recipe.runs(DataSpec(content_hash=NO_HASH), initial, recipe.seeds)
    note, title = (_OWN_NOTE, _OWN_TITLE) if name == OWN else (recipe.note, recipe.title)
    return Preset(name, title, note, specs[0], _grid_of(specs), weights_name, missing_weights)


def weight_choices(weights: WeightsRegistry) -> list[str]:
    """What a run can start from, by name."""
    return [SCRATCH, *(record.name for record in weights.list())]


def with_weights(base: RunSpec, name: str, weights: WeightsRegistry) -> RunSpec:
    """The run, started from those weights with a new class head, or from scratch. Raises NotFoundError."""
    if name == SCRATCH:
        return base.model_copy(update={"initial": FromScratch()})
    reset = base.initial.reset_class_head if isinstance(base.initial, FromWeights) else False
    initial = FromWeights(sha256=weights.find(name).sha256, reset_class_head=reset)
    return base.model_copy(update={"initial": initial})


def on_dataset(base: RunSpec, dataset: Dataset | None) -> RunSpec:
    """The run on a dataset and its default split, with the limits that the run has; None: not drawn yet."""
    limits = {name: getattr(base.data.split, name) for name in ("max_train_images", "max_test_images")}
    own = SplitSpec() if dataset is None else default_split(dataset)
    data = DataSpec(
        content_hash=NO_HASH if dataset is None else dataset.content_hash, split=own.model_copy(update=limits)
    )
    return base.model_copy(update={"data": data})


def planned_study(
    name: str, planned: Preset, base: RunSpec, chosen: Grid, changes: dict[str, str], dataset_name: str
) -> Study:
    """The study of a filled-in form. Raises SpecError that says what to change."""
    focal_like = next((spec.loss for spec in (base,) if isinstance(spec.loss, Focal)), Focal())
    ce = base.loss if isinstance(base.loss, CrossEntropy) else CrossEntropy()
    losses = (*((ce,) if chosen.cross_entropy else ()), *focal(chosen.gammas, focal_like))
    if not losses:
        raise SpecError("Choose at least one loss: cross-entropy, or a value of γ.")
    noise_seed = None if chosen.own_noise else 0
    specs = grid(base, losses, chosen.missing_rates, range(chosen.seeds), noise_seed)
    return make_study(name, planned.title, planned.note, dataset_name, apply_to_all(specs, changes))
