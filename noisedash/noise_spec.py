"""Label noise as frozen settings: the four kinds of the paper's Figure 1, who is hit, and the recipe of them."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from noisedash.frozen import AddedLater, Frozen


def _check_exponent(value: float) -> float:
    if not (4 * value).is_integer():
        raise PydanticCustomError("exponent", "input should be a multiple of 0.25")
    return value


Exponent = Annotated[float, Field(ge=-4, le=4), AfterValidator(_check_exponent)]
Weight = Annotated[float, Field(ge=0)]


class Uniform(Frozen):
    """Every box is as likely to be hit: the paper's noise."""

    kind: Literal["uniform"] = "uniform"


class BySize(Frozen):
    """A box weighs side ** exponent, its side being the root of its area in pixels: below 0 small boxes go first."""

    kind: Literal["size"] = "size"
    exponent: Exponent = -1.0


class ByCrowding(Frozen):
    """A box weighs (1 + neighbours) ** exponent: above 0 boxes among many others go first.

    Two boxes of an image are neighbours if they would overlap, each made twice as wide and high about its centre.
    """

    kind: Literal["crowding"] = "crowding"
    exponent: Exponent = 1.0


class ByOcclusion(Frozen):
    """A box weighs 1 where it is free and `factor` where it is hidden, in proportion between.

    Hidden is the largest share of it that one other box of its image covers, and wholly hidden a box that is marked
    truncated or difficult. These are proxies: annotations do not say what lies in front.
    """

    kind: Literal["occlusion"] = "occlusion"
    factor: float = Field(default=4.0, gt=0)


def _named(value: Any) -> Any:
    """A mapping by class name as sorted pairs, so that equal mappings are equal however they are written."""
    if value is None or isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        raise PydanticCustomError("mapping", "input should be a mapping by class name")
    return tuple(sorted((str(name), child) for name, child in value.items()))


WeightOfClass = Annotated[tuple[tuple[str, Weight], ...], BeforeValidator(_named), PlainSerializer(dict)]


class ByClass(Frozen):
    """A box weighs what the mapping `weights` says of its class, `other` where it says nothing.

    Boxes of weight 0 are hit only when no other is left.
    """

    kind: Literal["class"] = "class"
    weights: WeightOfClass
    other: Weight = 1.0


class WholeImages(Frozen):
    """All boxes of an image are hit before any of the next; images in random order, the last one in part."""

    kind: Literal["images"] = "images"


Weighting = Annotated[Uniform | BySize | ByCrowding | ByOcclusion | ByClass | WholeImages, Field(discriminator="kind")]
WeightingOfTemplates = Annotated[Uniform | BySize | ByClass, Field(discriminator="kind")]


class _Noise(Frozen):
    rate: float = Field(ge=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**63)


class MissingNoise(_Noise):
    """Of the N boxes of the training set floor(N (1 - rate)) are kept, nested in the rate; `weighting`: who goes."""

    kind: Literal["missing"] = "missing"
    weighting: Annotated[Weighting, AddedLater()] = Uniform()


class InaccurateNoise(_Noise):
    """Of the boxes left the share `rate` is drawn badly: centre and size are off, relative to the box.

    A centre is off by up to `centre` sides in x and y, a width and a height by up to the share `size`, each evenly:
    x' = x + w U(-centre, centre), w' = w (1 + U(-size, size)).
    """

    kind: Literal["inaccurate"] = "inaccurate"
    centre: float = Field(default=0.2, ge=0, le=0.5)
    size: float = Field(default=0.2, ge=0, le=0.5)
    weighting: Weighting = Uniform()


def _check_confusion(value: "tuple[tuple[str, WeightOfClass], ...] | None") -> Any:
    for name, row in value or ():
        if name in dict(row):
            raise PydanticCustomError("confusion", f"{name!r} cannot be mistaken for itself")
        if not any(weight > 0 for _, weight in row):
            raise PydanticCustomError("confusion", f"{name!r} needs a class with a weight above 0")
    return value


def _as_mapping(value: "tuple[tuple[str, WeightOfClass], ...] | None") -> dict[str, dict[str, float]] | None:
    return None if value is None else {name: dict(row) for name, row in value}


Confusion = Annotated[
    tuple[tuple[str, WeightOfClass], ...] | None,
    BeforeValidator(_named),
    AfterValidator(_check_confusion),
    PlainSerializer(_as_mapping),
]


class WrongClassNoise(_Noise):
    """Of the boxes left the share `rate` gets another class.

    `confusion` maps a class to the weights of the classes that it is mistaken for, `{dog: {cat: 3, fox: 1}}`. A class
    without an entry, and every class where it is None, is mistaken for any other alike.
    """

    kind: Literal["wrong_class"] = "wrong_class"
    confusion: Confusion = None
    weighting: Weighting = Uniform()


class ExtraNoise(_Noise):
    """Boxes where no object is: the share `rate` of the N boxes of the training set, rounded up, is added.

    Each has the size, shape and class of a box of the data, chosen by `weighting`, on any image alike, and overlaps no
    real box, dropped ones included, by an IoU above `max_iou`.
    """

    kind: Literal["extra"] = "extra"
    max_iou: float = Field(default=0.1, ge=0, lt=1)
    weighting: WeightingOfTemplates = Uniform()


Noise = MissingNoise | InaccurateNoise | WrongClassNoise | ExtraNoise
NOISE_KINDS = ("missing", "inaccurate", "wrong_class", "extra")
"""The order in which the steps of every recipe are taken."""


def _in_order(steps: tuple[Noise, ...]) -> tuple[Noise, ...]:
    for kind in NOISE_KINDS:
        if sum(step.kind == kind for step in steps) > 1:
            raise PydanticCustomError("steps", f"each kind may stand once, and {kind!r} stands more often")
    return tuple(sorted(steps, key=lambda step: NOISE_KINDS.index(step.kind)))


class NoiseRecipe(Frozen):
    """How the training labels are damaged. No steps leaves them clean.

    Each kind stands at most once, and they are taken in the order of NOISE_KINDS, however they were written: what goes
    missing is neither moved nor relabelled, and the rates of these two are shares of what is left. See docs/adr/0006.
    """

    version: Literal[1] = 1
    steps: Annotated[tuple[Annotated[Noise, Field(discriminator="kind")], ...], AfterValidator(_in_order)] = ()

    @property
    def missing_rate(self) -> float:
        """The rate of the missing-label step, 0 where there is none."""
        return next((step.rate for step in self.steps if step.kind == "missing"), 0.0)


def noise_label(recipe: NoiseRecipe) -> str:
    """A short name for people; 'clean' where nothing is hit. Recipes that differ in more than seeds differ in it.

    >>> noise_label(NoiseRecipe(steps=(ExtraNoise(rate=0.1, max_iou=0.5), MissingNoise(rate=0.3, weighting=BySize()))))
    '30 % missing by size^-1, 10 % extra max_iou=0.5'
    """
    return ", ".join(_step_label(step) for step in recipe.steps if step.rate > 0) or "clean"


def noise_beside_rate(recipe: NoiseRecipe) -> str:
    """What parts the recipe from missing labels as in the paper, whatever their rate; '' for these.

    >>> noise_beside_rate(NoiseRecipe(steps=(MissingNoise(rate=0.3, weighting=WholeImages()),)))
    'missing whole images'
    """
    hit = [step for step in recipe.steps if step.rate > 0]
    told = [_what(step) if isinstance(step, MissingNoise) else _step_label(step) for step in hit]
    return ", ".join(label for label in told if label != "missing")


def _step_label(step: Noise) -> str:
    return f"{round(step.rate * 100, 4):g} % {_what(step)}"


def _what(step: Noise) -> str:
    """The step without its rate and seed."""
    who = "" if isinstance(step.weighting, Uniform) else f" {weighting_label(step.weighting)}"
    fields = type(step).model_fields
    changed = {n: getattr(step, n) for n in fields if n not in _TOLD and getattr(step, n) != fields[n].default}
    more = "".join(f" {name}={_short(value)}" for name, value in changed.items())
    return f"{step.kind.replace('_', ' ')}{who}{more}"


_TOLD = ("kind", "rate", "seed", "weighting")


def _short(value: Any) -> str:
    """A number as it is; a confusion matrix by the first digits of its hash."""
    return f"{value:g}" if isinstance(value, float) else hashlib.sha256(repr(value).encode()).hexdigest()[:6]


def weighting_label(
    weighting: Uniform | BySize | ByCrowding | ByOcclusion | ByClass | WholeImages,
) -> str:
    """A weighting for people.

    >>> weighting_label(BySize(exponent=-2)), weighting_label(ByClass(weights={"cup": 3}))
    ('by size^-2', 'by class: cup 3, others 1')
    """
    match weighting:
        case BySize() | ByCrowding():
            return f"by {weighting.kind}^{weighting.exponent:g}"
        case ByOcclusion():
            return f"by occlusion x {weighting.factor:g}"
        case ByClass():
            named = "".join(f"{name} {weight:g}, " for name, weight in weighting.weights)
            return f"by class: {named}others {weighting.other:g}"
        case WholeImages():
            return "whole images"
        case Uniform():
            return "uniform"
