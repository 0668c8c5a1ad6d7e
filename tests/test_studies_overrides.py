"""Settings by name: what they reach, what they refuse, and how the refusal reads."""

import pytest

from noisedash.errors import SpecError
from noisedash.noise_spec import BySize, ExtraNoise, WholeImages, WrongClassNoise
from noisedash.spec import (
    AdamW,
    CrossEntropy,
    DataSpec,
    Focal,
    FromWeights,
    MissingNoise,
    NoiseRecipe,
    RmsPropTf,
    RunSpec,
)
from noisedash.studies.overrides import apply_overrides, apply_to_all

DATA = DataSpec(content_hash="0" * 64)
FOCAL = RunSpec(data=DATA, loss=Focal(), noise=NoiseRecipe(steps=(MissingNoise(rate=0.5, seed=3),)))
CE = RunSpec(data=DATA, loss=CrossEntropy())


@pytest.mark.parametrize(
    ("key", "text", "path", "expected"),
    [
        ("steps", "300", "training.steps", 300),
        ("training.steps", "50_000", "training.steps", 50_000),
        ("batch_size", "8", "training.batch_size", 8),
        ("learning_rate", "2e-3", "optimizer.learning_rate", 0.002),
        ("input_side", "160", "detector.input_side", 160),
        ("depth_multiplier", "0.25", "detector.depth_multiplier", 0.25),
        ("class_prior", "0.01", "detector.class_prior", 0.01),
        ("classification_weight", "30", "loss.classification_weight", 30.0),
        ("loss.gamma", "5", "loss.gamma", 5.0),
        ("random_crop", "false", "training.augmentation.random_crop", False),
        ("augmentation.random_crop", "off", "training.augmentation.random_crop", False),
        ("clip_norm", "10", "optimizer.clip_norm", 10.0),
        ("score_thresholds", "[0.05, 0.5]", "evaluation.score_thresholds", (0.05, 0.5)),
        ("score_thresholds", "0.2", "evaluation.score_thresholds", (0.2,)),
        ("max_train_images", "300", "data.split.max_train_images", 300),
        ("training.seed", "7", "training.seed", 7),
        ("split.seed", "7", "data.split.seed", 7),
    ],
)
def test_a_setting_reaches_its_field_and_no_other(key: str, text: str, path: str, expected: object) -> None:
    changed = apply_overrides(FOCAL, {key: text})
    value: object = changed
    for name in path.split("."):
        value = getattr(value, name)
    assert value == expected
    assert _without(changed, path) == _without(FOCAL, path)


def _without(spec: RunSpec, path: str) -> dict:
    tree = spec.model_dump()
    *groups, name = path.split(".")
    branch = tree
    for group in groups:
        branch = branch[group]
    del branch[name]
    return tree


def test_the_noise_is_reached_through_its_step() -> None:
    changed = apply_overrides(FOCAL, {"noise.seed": "9", "rate": "0.2"})
    assert changed.noise == NoiseRecipe(steps=(MissingNoise(rate=0.2, seed=9),))


def test_a_step_of_the_noise_goes_by_its_kind() -> None:
    steps = (MissingNoise(rate=0.5), ExtraNoise(rate=0.1))
    both = FOCAL.model_copy(update={"noise": NoiseRecipe(steps=steps)})
    changed = apply_overrides(both, {"extra.rate": "0.2", "noise.steps.missing.seed": "4", "max_iou": "0.3"})
    assert changed.noise.steps == (MissingNoise(rate=0.5, seed=4), ExtraNoise(rate=0.2, max_iou=0.3))
    changed = apply_overrides(both, {"missing.weighting": "images", "extra.weighting": "{kind: size, exponent: 1}"})
    assert [step.weighting for step in changed.noise.steps] == [WholeImages(), BySize(exponent=1)]
    with pytest.raises(SpecError, match=r"'noise\.seed' is ambiguous: write noise\.steps\.missing\.seed or .*extra"):
        apply_overrides(both, {"noise.seed": "1"})


def test_the_noise_can_be_written_anew() -> None:
    changed = apply_overrides(CE, {"noise": "{steps: [{kind: wrong_class, rate: 0.2, confusion: {cat: {dog: 1}}}]}"})
    assert changed.noise == NoiseRecipe(steps=(WrongClassNoise(rate=0.2, confusion={"cat": {"dog": 1}}),))


def test_null_takes_an_optional_setting_away() -> None:
    assert apply_overrides(CE, {"mining_nms_iou": "null"}).loss == CrossEntropy(mining_nms_iou=None)


def test_naming_a_kind_starts_from_its_defaults_and_order_counts() -> None:
    expected = AdamW(learning_rate=0.01)
    assert apply_overrides(CE, {"optimizer": "adamw", "learning_rate": "0.01"}).optimizer == expected
    assert apply_overrides(CE, {"optimizer.kind": "adamw", "learning_rate": "0.01"}).optimizer == expected
    assert apply_overrides(CE, {"optimizer": "{kind: adamw, learning_rate: 0.01}"}).optimizer == expected
    assert apply_overrides(CE, {"learning_rate": "0.01", "optimizer": "adamw"}).optimizer == AdamW()
    weights = apply_overrides(CE, {"initial": f"{{kind: weights, sha256: {'a' * 64}}}"}).initial
    assert weights == FromWeights(sha256="a" * 64)


def test_a_setting_of_one_loss_skips_the_other() -> None:
    ce, focal = apply_to_all([CE, FOCAL], {"alpha": "0.25", "negatives_per_positive": "5"})
    assert ce.loss == CrossEntropy(negatives_per_positive=5)
    assert focal.loss == Focal(alpha=0.25)


def test_no_overrides_change_nothing() -> None:
    assert apply_to_all([CE, FOCAL], {}) == (CE, FOCAL)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("gamma", "-1", r"Setting gamma=-1: loss\.focal\.gamma: input should be greater than or equal to 0, got -1"),
        ("rate", "1.5", r"Setting rate=1\.5: noise\.steps\.0\.missing\.rate: .*less than or equal to 1, got 1\.5"),
        ("steps", "many", r"Setting steps=many: training\.steps: .*valid integer.*got 'many'"),
        ("gamma", ".nan", r"Setting gamma=\.nan: loss\.focal\.gamma: .*finite"),
        ("depth_multiplier", "0.3", r"depth_multiplier: input should be 1, 0\.75, 0\.5 or 0\.25, got 0\.3"),
        ("optimizer", "adagrad", r"Setting optimizer=adagrad: optimizer: .*adagrad"),
        ("stepz", "3", r"No run has a setting 'stepz': did you mean steps"),
        ("training.stepz", "3", r"No run has a setting 'training\.stepz': did you mean training\.steps"),
        ("loss.gama", "3", r"did you mean (loss\.)?gamma"),
        ("mining_nms_iou", "0.9", r"No run has a setting 'mining_nms_iou': did you mean nms_iou"),
        ("qqq", "3", r"No run has a setting 'qqq': choose one of alpha, augmentation, .*warmup_steps"),
        ("content_hash", "3", r"No run has a setting 'content_hash'"),
        ("version", "1", r"No run has a setting 'version'"),
        ("seed", "3", r"'seed' is ambiguous: write data\.split\.seed or noise\.steps\.missing\.seed or training\.seed"),
        ("steps", "[1", r"Setting steps=\[1: the value is not valid YAML"),
        ("", "3", r"No run has a setting ''"),
    ],
)
def test_what_is_refused_is_named(key: str, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        apply_overrides(FOCAL, {key: text})


def test_a_setting_that_undoes_what_the_study_varies_is_refused() -> None:
    specs = [RunSpec(data=DATA, loss=Focal(gamma=gamma)) for gamma in (0, 2, 5)]
    with pytest.raises(SpecError, match=r"Setting gamma=3 makes runs equal that differed in it"):
        apply_to_all(specs, {"gamma": "3"})
    assert apply_overrides(CE, {"optimizer": "rmsprop_tf"}).optimizer == RmsPropTf()
