"""The named studies and grids: how many runs, which, in what order, and what they share."""

import pytest

from noisedash.errors import NotFoundError, SpecError
from noisedash.spec import (
    CrossEntropy,
    DataSpec,
    Focal,
    FromScratch,
    FromWeights,
    NoiseRecipe,
    RmsPropTf,
    RunSpec,
    SplitSpec,
    SsdMobileNetV1,
    TrainingSpec,
    loss_label,
)
from noisedash.studies.grid import MAX_RUNS, focal, grid, missing
from noisedash.studies.recipes import RECIPES, build_study, make_study, recipe
from noisedash.studies.study import Study

HASH = "a" * 64
WEIGHTS = FromWeights(sha256="b" * 64)
BASE = RunSpec(data=DataSpec(content_hash=HASH), loss=CrossEntropy())


def build(name: str, **choices) -> Study:
    chosen = recipe(name)
    choices.setdefault("initial", WEIGHTS if chosen.weights else None)
    return build_study(chosen, chosen.dataset or "bccd", HASH, **choices)


def points(study: Study) -> list[tuple[str, float]]:
    return [(loss_label(spec.loss), spec.noise.missing_rate) for spec in study.specs]


def test_the_papers_first_experiment() -> None:
    study = build("paper-losses")
    rates = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert points(study) == [(label, rate) for rate in rates for label in ("CE", "FL γ=2")]
    spec = study.specs[0]
    assert spec.detector == SsdMobileNetV1(input_side=300, depth_multiplier=1.0)
    assert spec.optimizer == RmsPropTf(learning_rate=0.004, momentum=0.9, decay=0.9, epsilon=1.0, weight_decay=4e-5)
    assert (spec.training.steps, spec.training.batch_size) == (50_000, 24)
    assert (spec.training.augmentation.horizontal_flip, spec.training.augmentation.random_crop) == (True, True)
    assert spec.evaluation.score_thresholds == (0.01, 0.3)
    assert isinstance(spec.initial, FromScratch)


def test_the_papers_second_experiment() -> None:
    study = build("paper-gammas")
    expected = [(f"FL γ={gamma}", rate) for rate in (0.0, 0.1, 0.5) for gamma in range(9)]
    assert points(study) == expected


@pytest.mark.parametrize("initial", [None, WEIGHTS])
def test_the_two_experiments_share_their_runs_at_gamma_2(initial: FromWeights | None) -> None:
    losses, gammas = (build(name, initial=initial).specs for name in ("paper-losses", "paper-gammas"))
    shared = {spec.id for spec in losses} & {spec.id for spec in gammas}
    assert shared == {
        spec.id for spec in losses if isinstance(spec.loss, Focal) and spec.noise.missing_rate in (0.0, 0.1, 0.5)
    }
    assert len(shared) == 3


def test_quick_is_five_losses_at_two_rates_and_three_seeds_with_its_own_noise_each() -> None:
    study = build("quick")
    assert len(study.specs) == 30
    assert points(study)[:10] == [
        (label, rate) for rate in (0.0, 0.5) for label in ("CE", "FL γ=0", "FL γ=2", "FL γ=5", "FL γ=8")
    ]
    assert [spec.training.seed for spec in study.specs] == [0] * 10 + [1] * 10 + [2] * 10
    assert all(step.seed == spec.training.seed for spec in study.specs for step in spec.noise.steps)
    assert {spec.initial for spec in study.specs} == {FromWeights(sha256="b" * 64, reset_class_head=True)}
    assert {spec.data.split.max_train_images for spec in study.specs} == {300}
    assert "illustration" in study.note


def test_quick_keeps_a_limit_that_the_person_chose() -> None:
    study = build("quick", split=SplitSpec(max_train_images=50), seeds=[4])
    assert {spec.data.split.max_train_images for spec in study.specs} == {50}
    assert {spec.training.seed for spec in study.specs} == {4}


def test_indoor_pretrain_is_one_clean_run() -> None:
    (spec,) = build("indoor-pretrain").specs
    assert spec.noise == NoiseRecipe()
    assert spec.detector == build("quick").specs[0].detector


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is_and_its_name(name: str) -> None:
    chosen = RECIPES[name]
    assert chosen.name == name
    assert len(chosen.title) > 10
    assert len(chosen.note) > 20
    study = build(name)
    assert (study.title, study.note) == (chosen.title, chosen.note)
    assert len({spec.id for spec in study.specs}) == len(study.specs)


def test_a_study_of_another_dataset_carries_its_name() -> None:
    assert build("paper-losses").name == "paper-losses-bccd"
    assert build("quick").name == "quick"
    assert build_study(recipe("quick"), "bccd", HASH, initial=WEIGHTS).name == "quick-bccd"


def test_what_the_person_chose_reaches_every_run() -> None:
    split = SplitSpec(kind="random", seed=3)
    study = build("paper-losses", split=split, initial=WEIGHTS, overrides={"steps": "300"}, seeds=[5, 5, 6])
    assert len(study.specs) == 24
    assert {spec.training.steps for spec in study.specs} == {300}
    assert {spec.data.split for spec in study.specs} == {split}
    assert {spec.initial for spec in study.specs} == {WEIGHTS}
    assert [spec.training.seed for spec in study.specs] == [5] * 12 + [6] * 12


def test_the_papers_noise_is_one_draw_for_all_seeds() -> None:
    study = build("paper-losses", seeds=[5, 6])
    assert {step.seed for spec in study.specs for step in spec.noise.steps} == {0}


def test_a_recipe_that_needs_weights_says_so() -> None:
    with pytest.raises(SpecError, match="'quick' starts from the weights 'indoor-micro'"):
        build("quick", initial=None)
    assert len(build("quick", initial=FromScratch()).specs) == 30


def test_an_unknown_recipe_is_refused_with_the_choices() -> None:
    with pytest.raises(NotFoundError, match="'papers': choose one of quick, paper-losses, paper-gammas"):
        recipe("papers")


def test_a_grid_runs_seed_by_seed_and_equal_runs_once() -> None:
    specs = grid(BASE, [CrossEntropy(), Focal(), Focal()], [0.0, 0.5, 0.5], seeds=[1, 0])
    assert [(loss_label(s.loss), s.noise.missing_rate, s.training.seed) for s in specs] == [
        (label, rate, seed) for seed in (1, 0) for rate in (0.0, 0.5) for label in ("CE", "FL γ=2")
    ]
    assert grid(BASE, [CrossEntropy()], [0.0]) == (BASE,)


def test_noise_is_drawn_alike_or_by_each_seed() -> None:
    def noise_seeds(noise_seed: int | None) -> list[int]:
        specs = grid(BASE, [CrossEntropy()], [0.3], seeds=[1, 2], noise_seed=noise_seed)
        return [spec.noise.steps[0].seed for spec in specs]

    assert noise_seeds(9) == [9, 9]
    assert noise_seeds(None) == [1, 2]
    assert missing(0, seed=1) == missing(0, seed=2) == NoiseRecipe()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [0.0]), "at least one loss"),
        (([CrossEntropy()], []), "at least one missing rate"),
        (([CrossEntropy()], [0.0], []), "at least one seed"),
        (([CrossEntropy()], [1.5]), r"Missing labels at 1\.5: rate: .*less than or equal to 1"),
        (([CrossEntropy()], [0.0], [-1]), "Training with seed -1: seed: .*greater than or equal to 0"),
        (([CrossEntropy()], [0.5], [0], -2), "seed: .*greater than or equal to 0, got -2"),
        (([CrossEntropy()], [0.5], range(MAX_RUNS + 1)), r"10,001 runs is more than 10,000"),
    ],
)
def test_a_grid_refuses_in_one_sentence(arguments: tuple, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        grid(BASE, *arguments)


def test_gammas_below_zero_are_refused() -> None:
    assert focal([0, 3], like=Focal(alpha=0.25)) == (Focal(gamma=0, alpha=0.25), Focal(gamma=3, alpha=0.25))
    with pytest.raises(SpecError, match=r"Focal loss with gamma -1: gamma: .*greater than or equal to 0, got -1"):
        focal([-1])


def test_a_study_holds_each_run_once_and_not_too_many() -> None:
    assert make_study("s", "", "", "d", [BASE, BASE]).specs == (BASE,)
    many = [BASE.model_copy(update={"training": TrainingSpec(seed=seed)}) for seed in range(MAX_RUNS + 1)]
    with pytest.raises(SpecError, match=r"10,001 runs"):
        make_study("s", "", "", "d", many)
