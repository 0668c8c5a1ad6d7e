"""Studies that vary settings, one alone at a time, round runs that a recipe and a person's overrides give: the centre.

Overrides act on the centre, before it is varied: so `steps=300` scales a study, and half its length is then 150 steps.
Runs whose specs are equal to those of other studies are the same runs, and are not trained again.
"""

from collections.abc import Callable, Mapping, Sequence

from noisedash.errors import SpecError
from noisedash.spec import (
    AdamW,
    Augmentation,
    DataSpec,
    FromScratch,
    FromWeights,
    Frozen,
    RetinaNetResNet50,
    RunSpec,
    Sgd,
    Ssd300Vgg16,
    SsdLiteMobileNetV3,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.studies.grid import check_count, focal, grid, without_repeats
from noisedash.studies.quick import HARD_NEGATIVES, quick

LOW_GAMMA, HIGH_GAMMA = 2.0, 5.0
"""The contrast that `confounders` explains."""
RATE = 0.5
_LOW_PRIOR, _EVEN_PRIOR = 0.01, 0.5
_HEAVY = 30.0
"""Classification weight at which a high gamma's loss is no longer tiny beside the boxes'."""
_RATE_FROM_SCRATCH = 4
"""Times the learning rate of a fine-tuned SSD-MobileNetV1, and of torchvision's detectors. In the 600 steps of
`architectures` it learns nothing from scratch at theirs, and they leave their plateau (docs/findings.md)."""
_LONGER_FROM_SCRATCH = 3
"""He et al. (2019, "Rethinking ImageNet pre-training"): from scratch a detector needs about three times the steps."""

Variations = Mapping[str, RunSpec]
"""Runs that differ from a centre in one setting, by its name for people."""


def confounders(data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]) -> tuple[RunSpec, ...]:
    """The centre: the quick study's runs of gamma 2 and 5 with half of the labels missing.

    Clean runs are left out: what is explained is a contrast between noisy runs, and they would double the cost.
    """
    gammas = {loss.gamma for loss in focal((LOW_GAMMA, HIGH_GAMMA))}
    return tuple(
        spec
        for spec in quick(data, initial, seeds)
        if spec.noise.missing_rate == RATE and getattr(spec.loss, "gamma", None) in gammas
    )


def confounding_settings(centre: RunSpec) -> Variations:
    """The centre with each setting that may move the effect of gamma changed alone.

    The score threshold is none of them, as every run is evaluated at all thresholds. From scratch only where the
    centre starts from weights.
    """
    training, detector = centre.training, centre.detector
    prior = _LOW_PRIOR if detector.class_prior > 0.1 else _EVEN_PRIOR
    weight = 1.0 if centre.loss.classification_weight == _HEAVY else _HEAVY
    augmented = training.augmentation.horizontal_flip or training.augmentation.random_crop
    lengths = {
        name: training.model_copy(update={"steps": max(1, round(training.steps * times))})
        for name, times in (("half the steps", 0.5), ("twice the steps", 2.0))
    }
    varied: dict[str, dict[str, Frozen]] = {
        f"class head's prior {prior:g}": {"detector": detector.model_copy(update={"class_prior": prior})},
        f"classification weight {weight:g}": {"loss": centre.loss.model_copy(update={"classification_weight": weight})},
        "no augmentation" if augmented else "flip and crop": {
            "training": training.model_copy(
                update={"augmentation": Augmentation(horizontal_flip=not augmented, random_crop=not augmented)}
            )
        },
        **{name: {"training": changed} for name, changed in lengths.items()},
        "SGD" if isinstance(centre.optimizer, AdamW) else "AdamW": {"optimizer": _other_optimizer(centre)},
    }
    if isinstance(centre.initial, FromWeights):
        varied["from scratch"] = {"initial": FromScratch()}
    return {name: centre.model_copy(update=update) for name, update in varied.items()}


def scratch_or_finetuned(
    data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]
) -> tuple[RunSpec, ...]:
    """The fine-tuned side: the quick study's runs of cross-entropy, gamma 2 and gamma 5."""
    gammas = (None, LOW_GAMMA, HIGH_GAMMA)
    return tuple(spec for spec in quick(data, initial, seeds) if getattr(spec.loss, "gamma", None) in gammas)


def from_scratch_too(centre: RunSpec) -> Variations:
    """The same run from scratch, with as many steps and with three times as many. Raises SpecError."""
    if isinstance(centre.initial, FromScratch):
        raise SpecError("From scratch or fine-tuned: choose weights to fine-tune from, such as with --weights NAME.")
    scratch = centre.model_copy(update={"initial": FromScratch()})
    longer = centre.training.model_copy(update={"steps": _LONGER_FROM_SCRATCH * centre.training.steps})
    return {
        "from scratch": scratch,
        "from scratch, three times the steps": scratch.model_copy(update={"training": longer}),
    }


def architectures(data: DataSpec, initial: FromScratch | FromWeights, seeds: Sequence[int]) -> tuple[RunSpec, ...]:
    """SSD-MobileNetV1 at 160 px with cross-entropy, gamma 2 and 5, on clean labels and with half of them missing."""
    times = _RATE_FROM_SCRATCH if isinstance(initial, FromScratch) else 1
    base = RunSpec(
        data=data,
        detector=SsdMobileNetV1(input_side=160, depth_multiplier=0.5, class_prior=0.01, batch_norm_decay=0.99),
        initial=initial,
        loss=HARD_NEGATIVES,
        optimizer=AdamW(learning_rate=times * 1e-3, warmup_steps=100, schedule="cosine", clip_norm=10.0),
        training=TrainingSpec(steps=600, batch_size=8),
    )
    return grid(base, (HARD_NEGATIVES, *focal((LOW_GAMMA, HIGH_GAMMA))), (0.0, RATE), seeds, noise_seed=None)


def other_architectures(centre: RunSpec) -> Variations:
    """The same run with torchvision's three detectors, all from scratch, from the same prior.

    They have the centre's input side, but for ssd300_vgg16, which has 300 px only, and the learning rate of a
    fine-tuned centre, a quarter of one's from scratch. A centre that starts from weights is trained from scratch too,
    since the weights fit no other network.
    """
    is_scratch = isinstance(centre.initial, FromScratch)
    rate = centre.optimizer.learning_rate / (_RATE_FROM_SCRATCH if is_scratch else 1)
    scratch = centre.model_copy(update={"initial": FromScratch()})
    side, prior = centre.detector.input_side, centre.detector.class_prior
    detectors = (
        SsdLiteMobileNetV3(input_side=side, class_prior=prior),
        Ssd300Vgg16(class_prior=prior),
        RetinaNetResNet50(input_side=side, class_prior=prior),
    )
    others: dict[str, RunSpec] = {
        detector.kind: _at_rate(scratch, rate).model_copy(update={"detector": detector}) for detector in detectors
    }
    return others if is_scratch else {"from scratch": _at_rate(scratch, _RATE_FROM_SCRATCH * rate), **others}


def with_variations(centre: Sequence[RunSpec], vary: Callable[[RunSpec], Variations]) -> tuple[RunSpec, ...]:
    """The centre's runs and their variations, seed by seed, the centre first. Raises SpecError for too many."""
    seeds = list(dict.fromkeys(spec.training.seed for spec in centre))
    runs: list[RunSpec] = []
    for seed in seeds:
        own = [spec for spec in centre if spec.training.seed == seed]
        varied = [vary(spec) for spec in own]
        runs += own
        runs += [variations[name] for name in varied[0] for variations in varied]
    check_count(len(runs))
    return without_repeats(runs)


def _at_rate(spec: RunSpec, learning_rate: float) -> RunSpec:
    return spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"learning_rate": learning_rate})})


def _other_optimizer(centre: RunSpec) -> AdamW | Sgd:
    """The other kind with its own learning rate, and the centre's schedule, warm-up and clipping."""
    own = centre.optimizer
    shared = {"schedule": own.schedule, "warmup_steps": own.warmup_steps, "clip_norm": own.clip_norm}
    other = Sgd() if isinstance(own, AdamW) else AdamW()
    return other.model_copy(update=shared)
