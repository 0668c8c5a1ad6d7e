"""Losses times rates times seeds over one base: the shape of most studies."""

from collections.abc import Iterable, Sequence

from noisedash.errors import SpecError
from noisedash.noise_spec import noise_beside_rate
from noisedash.spec import (
    CrossEntropy,
    Focal,
    MissingNoise,
    NoiseRecipe,
    RunSpec,
    TrainingSpec,
    parse,
)

MAX_RUNS = 10_000
"""More runs than this are taken for a slip of the hand."""


def grid(
    base: RunSpec,
    losses: Sequence[CrossEntropy | Focal],
    missing_rates: Sequence[float],
    seeds: Sequence[int] = (0,),
    noise_seed: int | None = 0,
) -> tuple[RunSpec, ...]:
    """The runs of all combinations, equal ones once; seed by seed, so that a whole first set of curves comes early.

    The base's noise stays but for two things: the rates are those of its step `missing`, which is added where it is
    not there, and all its steps are drawn by `noise_seed`, for all runs alike whatever their loss and seed; None takes
    each run's own seed. Steps of rate 0 are left out and with them their seed, so clean runs are shared between draws.
    Raises SpecError for an empty list, more than MAX_RUNS runs, or a rate or seed that is out of range.
    """
    for name, choices in (("loss", losses), ("missing rate", missing_rates), ("seed", seeds)):
        if not choices:
            raise SpecError(f"A study needs at least one {name}.")
    check_count(len(losses) * len(missing_rates) * len(seeds))
    trainings = [
        parse(TrainingSpec, {**base.training.model_dump(), "seed": seed}, f"Training with seed {seed}")
        for seed in seeds
    ]
    return without_repeats(
        base.model_copy(update={"loss": loss, "noise": noise, "training": training})
        for training in trainings
        for noise in (
            with_missing(base.noise, rate, training.seed if noise_seed is None else noise_seed)
            for rate in missing_rates
        )
        for loss in losses
    )


def missing(rate: float, seed: int = 0) -> NoiseRecipe:
    """The recipe that drops that share of the labels; at 0 the clean one. Raises SpecError out of [0, 1].

    >>> missing(0.0, seed=7) == NoiseRecipe()
    True
    """
    return with_missing(NoiseRecipe(), rate, seed)


def with_missing(noise: NoiseRecipe, rate: float, seed: int) -> NoiseRecipe:
    """The recipe with that missing rate, all its steps drawn by `seed`, without those of rate 0. Raises SpecError.

    >>> from noisedash.noise_spec import ExtraNoise
    >>> changed = with_missing(NoiseRecipe(steps=(ExtraNoise(rate=0.1),)), 0.3, seed=7)
    >>> [(step.kind, step.rate, step.seed) for step in changed.steps]
    [('missing', 0.3, 7), ('extra', 0.1, 7)]
    """
    who = [step.model_dump() for step in noise.steps if isinstance(step, MissingNoise)] or [{}]
    step = parse(MissingNoise, {**who[0], "rate": rate, "seed": seed}, f"Missing labels at {rate:g}")
    others = [step.model_copy(update={"seed": seed}) for step in noise.steps if not isinstance(step, MissingNoise)]
    return NoiseRecipe(steps=tuple(step for step in (step, *others) if step.rate > 0))


def with_noise(specs: Sequence[RunSpec], noise: NoiseRecipe) -> tuple[RunSpec, ...]:
    """The runs with that noise beside their own missing rates, drawn by the seeds that draw their missing labels.

    A step `missing` says who goes missing, and its rate is not used. Clean runs are drawn as the others of their seed.

    >>> from noisedash.noise_spec import ExtraNoise
    >>> from noisedash.spec import DataSpec
    >>> base = RunSpec(data=DataSpec(content_hash="0" * 64), loss=Focal())
    >>> specs = with_noise(grid(base, [Focal()], [0, 0.5], noise_seed=3), NoiseRecipe(steps=(ExtraNoise(rate=0.1),)))
    >>> [(step.kind, step.rate, step.seed) for spec in specs for step in spec.noise.steps]
    [('extra', 0.1, 3), ('missing', 0.5, 3), ('extra', 0.1, 3)]
    """
    drawn_by = {spec.training.seed: step.seed for spec in specs for step in spec.noise.steps}
    return tuple(
        spec.model_copy(
            update={"noise": with_missing(noise, spec.noise.missing_rate, drawn_by.get(spec.training.seed, 0))}
        )
        for spec in specs
    )


def title_with_noise(title: str, specs: Sequence[RunSpec]) -> str:
    """The study's title, and what noise stands beside the missing labels of its noisiest run.

    >>> from noisedash.noise_spec import ExtraNoise
    >>> from noisedash.spec import DataSpec
    >>> noise = NoiseRecipe(steps=(ExtraNoise(rate=0.1),))
    >>> run = RunSpec(data=DataSpec(content_hash="0" * 64), loss=Focal(), noise=noise)
    >>> title_with_noise("Two losses", [run])
    'Two losses; 10 % extra'
    """
    most = max((spec.noise for spec in specs), key=lambda noise: noise.missing_rate, default=NoiseRecipe())
    return "; ".join(filter(None, (title, noise_beside_rate(most))))


def focal(gammas: Iterable[float], like: Focal | None = None) -> tuple[Focal, ...]:
    """The focal loss at each gamma, all else as in `like`. Raises SpecError for a gamma below 0.

    >>> [loss.gamma for loss in focal([0, 2])]
    [0.0, 2.0]
    """
    other = (like or Focal()).model_dump()
    return tuple(parse(Focal, {**other, "gamma": gamma}, f"Focal loss with gamma {gamma:g}") for gamma in gammas)


def without_repeats(specs: Iterable[RunSpec]) -> tuple[RunSpec, ...]:
    """Each run once, where it first stood."""
    return tuple({spec.id: spec for spec in specs}.values())


def check_count(runs: int) -> None:
    """Raises SpecError for a study of too many runs."""
    if runs > MAX_RUNS:
        raise SpecError(f"A study of {runs:,} runs is more than {MAX_RUNS:,}: leave out losses, rates or seeds.")
