"""The paper's claims as data: what is said, where, of which dataset, and the published numbers it rests on.

Every claim is one number, in points of mAP, and a side of a limit that it is said to be on; `studies.verdicts` gives
the same number of a person's own runs, with its interval.
"""

from dataclasses import dataclass
from typing import Literal

from noisedash.published import curves_over_gamma, curves_over_noise

Side = Literal["above", "below"]


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` at a missing rate: in AP, or in what they lost since clean labels.

    Losses go by their gamma, None being cross-entropy.
    """

    first: float | None
    second: float | None
    rate: float
    of: Literal["ap", "drop"]


@dataclass(frozen=True)
class DropOf:
    """What the focal loss of a gamma loses from clean labels to a missing rate."""

    gamma: float
    rate: float


@dataclass(frozen=True)
class BestGamma:
    """The best gamma from `split` on minus the best below it, at a missing rate."""

    split: float
    rate: float


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper that runs can support or contradict."""

    key: str
    short: str
    """What its number is, for the axis of a figure."""
    text: str
    place: str
    """Where the paper says it."""
    of: Difference | DropOf | BestGamma
    side: Side
    """On which side of `limit` the number is said to be."""
    limit: float
    """In points of mAP."""
    said_of: tuple[str, ...]
    """The paper's datasets of which it is said."""
    note: str = ""
    """What a careful reader must know of it."""

    def holds_for(self, value: float) -> bool:
        """Whether a number, in points, is on the claimed side."""
        return value > self.limit if self.side == "above" else value < self.limit


_ALL = ("indoor", "pascal_voc", "fddb")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        key="focal-loses-more",
        short="drop of γ 2 − CE",
        text="The focal loss (γ = 2) loses more than cross-entropy from clean labels to 50 % missing.",
        place="Section 4.1, Figures 3 and 4; section 5",
        of=Difference(2.0, None, 0.5, "drop"),
        side="above",
        limit=0.0,
        said_of=_ALL,
    ),
    Claim(
        key="focal-ahead-on-clean",
        short="γ 2 − CE, clean",
        text="On clean labels the focal loss (γ = 2) is ahead of cross-entropy.",
        place="Section 4.1, Figure 3",
        of=Difference(2.0, None, 0.0, "ap"),
        side="above",
        limit=0.0,
        said_of=("pascal_voc", "fddb"),
        note="Focal loss weighs all anchors .75 to .25, cross-entropy mines 3:1: more than γ differs.",
    ),
    Claim(
        key="focal-ahead-at-20",
        short="γ 2 − CE at 20 %",
        text="At 20 % missing the focal loss (γ = 2) is still ahead of cross-entropy.",
        place="Section 4.1, Figure 3",
        of=Difference(2.0, None, 0.2, "ap"),
        side="above",
        limit=0.0,
        said_of=_ALL,
    ),
    Claim(
        key="focal-behind-at-50",
        short="γ 2 − CE at 50 %",
        text="At 50 % missing the focal loss (γ = 2) has fallen behind cross-entropy.",
        place="Section 4.1, Figure 3; section 5",
        of=Difference(2.0, None, 0.5, "ap"),
        side="below",
        limit=0.0,
        said_of=("indoor", "fddb"),
        note="On PASCAL VOC it stays ahead at all points, as the paper says.",
    ),
    Claim(
        key="best-gamma-is-high",
        short="best γ ≥ 4 − best below",
        text="At 50 % missing the best γ is 4 or more.",
        place="Section 4.2, Figure 5",
        of=BestGamma(4.0, 0.5),
        side="above",
        limit=0.0,
        said_of=_ALL,
        note="Of the γ that were trained; the interval allows for their number (Bonferroni).",
    ),
    Claim(
        key="gamma-5-over-2",
        short="γ 5 − γ 2 at 50 %",
        text="At 50 % missing γ = 5 is better than γ = 2.",
        place="Section 4.2, Figure 5",
        of=Difference(5.0, 2.0, 0.5, "ap"),
        side="above",
        limit=0.0,
        said_of=_ALL,
    ),
    Claim(
        key="gamma-5-loses-less",
        short="drop of γ 5 − γ 2",
        text="γ = 5 loses less than γ = 2 from clean labels to 50 % missing.",
        place="Section 4.2, Figure 5; section 5",
        of=Difference(5.0, 2.0, 0.5, "drop"),
        side="below",
        limit=0.0,
        said_of=_ALL,
        note="Robustness proper: what γ = 5 gains on clean labels too is taken off.",
    ),
    Claim(
        key="gamma-8-loses-less-than-0",
        short="drop of γ 8 − γ 0",
        text="γ = 8 loses less than γ = 0 from clean labels to 50 % missing.",
        place="Section 4.2: Indoor 18.52 and 5.2, FDDB 18.90 and 2",
        of=Difference(8.0, 0.0, 0.5, "drop"),
        side="below",
        limit=0.0,
        said_of=("indoor", "fddb"),
        note="At one fixed prior of the class head this compares how the two are initialised, too.",
    ),
    Claim(
        key="gamma-8-is-indifferent",
        short="drop of γ 8",
        text="At γ = 8 half of the labels can go missing for at most 5.3 points.",
        place="Section 5, “indifferent to the noise level”; section 4.2, Indoor 5.2",
        of=DropOf(8.0, 0.5),
        side="below",
        limit=5.3,
        said_of=_ALL,
        note="5.3 is the most that γ = 8 loses on any of the paper's datasets.",
    ),
    Claim(
        key="gamma-5-beats-cross-entropy",
        short="γ 5 − CE at 50 %",
        text="At 50 % missing γ = 5 is better than cross-entropy.",
        place="Figures 3 and 5 together",
        of=Difference(5.0, None, 0.5, "ap"),
        side="above",
        limit=0.0,
        said_of=_ALL,
        note="Not said in so many words: it is what the advice to raise γ is worth to who trains with cross-entropy.",
    ),
    Claim(
        key="gamma-5-costs-nothing",
        short="γ 2 − γ 5, clean",
        text="On clean labels γ = 5 costs less than 1 point against γ = 2.",
        place="Section 4.2, Indoor: a higher γ “does not affect the clean dataset”",
        of=Difference(2.0, 5.0, 0.0, "ap"),
        side="below",
        limit=1.0,
        said_of=("indoor",),
        note="The limit of 1 point is ours.",
    ),
    Claim(
        key="gamma-8-costs-nothing",
        short="γ 2 − γ 8, clean",
        text="On clean labels γ = 8 costs less than 1 point against γ = 2.",
        place="Section 4.2, Indoor: a higher γ “does not affect the clean dataset”",
        of=Difference(2.0, 8.0, 0.0, "ap"),
        side="below",
        limit=1.0,
        said_of=("indoor",),
        note="The paper's own numbers contradict it on Indoor and on PASCAL VOC. The limit of 1 point is ours.",
    ),
)
"""In the order in which they are shown; keys stay, for scripts."""


def published_value(claim: Claim, dataset: str) -> float:
    """The number that a claim rests on, in points, from the paper's results. Raises NotFoundError.

    >>> [published_value(claim, "fddb") for claim in CLAIMS if claim.key == "focal-loses-more"]
    [9.98]
    """
    of = claim.of
    if isinstance(of, BestGamma):
        values = {gamma: _published_ap(dataset, gamma, of.rate) for gamma in range(9)}
        high = max(value for gamma, value in values.items() if gamma >= of.split)
        low = max(value for gamma, value in values.items() if gamma < of.split)
        return _points(high - low)
    if isinstance(of, DropOf):
        return _points(_published_drop(dataset, of.gamma, of.rate))
    quantity = _published_drop if of.of == "drop" else _published_ap
    in_experiment_1 = None in (of.first, of.second) and 2.0 in (of.first, of.second)
    first, second = (quantity(dataset, gamma, of.rate, in_experiment_1) for gamma in (of.first, of.second))
    return _points(first - second)


def _published_drop(dataset: str, gamma: float | None, rate: float, in_experiment_1: bool = False) -> float:
    return _published_ap(dataset, gamma, 0.0, in_experiment_1) - _published_ap(dataset, gamma, rate, in_experiment_1)


def _published_ap(dataset: str, gamma: float | None, rate: float, in_experiment_1: bool = False) -> float:
    """Cross-entropy is in the first experiment only, gamma 2 in both: not quite the same on PASCAL VOC."""
    if gamma is None or in_experiment_1:
        curve = next(curve for curve in curves_over_noise(dataset) if curve.gamma == gamma)
        return curve.mean_ap[curve.missing_rates.index(rate)]
    over_gamma = next(curve for curve in curves_over_gamma(dataset) if curve.missing_rate == rate)
    return over_gamma.mean_ap[over_gamma.gammas.index(gamma)]


def _points(value: float) -> float:
    return round(100 * value, 2)
