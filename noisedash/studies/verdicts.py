"""What a person's own runs say of the paper's claims: supported, contradicted, undecided, or not testable.

A claim is supported or contradicted only where the whole interval of its number lies on one side of the limit. Each
interval is for itself, not for all claims together, and covers other seeds and noise draws, not other test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import pandas as pd

from noisedash.errors import NotFoundError
from noisedash.studies.claims import CLAIMS, BestGamma, Claim, Difference, DropOf
from noisedash.studies.robustness import compare_losses, drop_intervals
from noisedash.studies.student import t_quantile
from noisedash.studies.summary import MEAN

_MOST_SEEDS = 100


class Ruling(StrEnum):
    """What runs say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable"


@dataclass(frozen=True)
class Verdict:
    """A claim held against runs of one condition. Numbers are points of mAP, nan where they are not known."""

    claim: Claim
    ruling: Ruling
    value: float
    low: float
    high: float
    runs: int
    """Pairs of runs (or runs, where the claim is of one loss)."""
    varies: str
    """Which of seed and noise draw the interval covers, in words."""
    needs: str
    """What is missing to test or to decide it; '' where it is decided."""


@dataclass(frozen=True)
class Condition:
    """What runs must have in common to be held against a claim together."""

    threshold: float
    settings: str
    """'' where nothing but loss, missing rate and seeds differs in the study."""
    step: int
    final: bool


@dataclass(frozen=True)
class _Found:
    value: float
    low: float
    high: float
    runs: int
    varies: str


class _RunsMissingError(Exception):
    """Runs are missing; the text says which."""


def conditions(rows: pd.DataFrame) -> tuple[Condition, ...]:
    """What rows as `studies.summary.summarise` gives them can be judged under, each by itself."""
    focal = _mean_rows(rows).query("kind == 'focal'")
    keys = focal[["threshold", "condition", "step", "final"]].drop_duplicates()
    return tuple(
        Condition(float(threshold), str(settings), int(step), bool(final))
        for threshold, settings, step, final in sorted(keys.itertuples(index=False))
    )


def judge(
    rows: pd.DataFrame, condition: Condition, level: float = 0.95, claims: Sequence[Claim] = CLAIMS
) -> tuple[Verdict, ...]:
    """Each claim held against the rows of one condition, in the claims' order."""
    own = rows_under(rows, condition)
    return tuple(_verdict(own, claim, level) for claim in claims)


def rows_under(rows: pd.DataFrame, condition: Condition) -> pd.DataFrame:
    """The rows of mAP of one condition: its focal losses, and cross-entropy with the same settings."""
    mean = _mean_rows(rows)
    measured = mean[
        (mean["threshold"] == condition.threshold)
        & (mean["step"] == condition.step)
        & (mean["final"] == condition.final)
    ]
    focal = measured[(measured["kind"] == "focal") & (measured["condition"] == condition.settings)]
    ce = measured[(measured["kind"] == "ce") & measured["settings"].isin(focal["settings"])]
    return pd.concat([focal, ce]).drop(columns="condition")


def _verdict(rows: pd.DataFrame, claim: Claim, level: float) -> Verdict:
    try:
        found = _measure(rows, claim.of, level)
    except _RunsMissingError as reason:
        return Verdict(claim, Ruling.NOT_TESTABLE, np.nan, np.nan, np.nan, 0, "", str(reason))
    ruling = _ruling(found, claim)
    needs = _needs(found, claim, level) if ruling is Ruling.UNDECIDED else ""
    return Verdict(claim, ruling, found.value, found.low, found.high, found.runs, found.varies, needs)


def _ruling(found: _Found, claim: Claim) -> Ruling:
    if found.low <= claim.limit <= found.high or np.isnan(found.low):
        return Ruling.UNDECIDED
    return Ruling.SUPPORTED if claim.holds_for(found.value) else Ruling.CONTRADICTED


def _needs(found: _Found, claim: Claim, level: float) -> str:
    if np.isnan(found.low):
        return "more than one seed: one pair of runs tells nothing of its spread"
    if isinstance(claim.of, BestGamma):
        return "more seeds"
    reach = t_quantile(0.5 + level / 2, found.runs - 1)
    spread = (found.high - found.low) / 2 / reach * np.sqrt(found.runs)
    sizes = np.arange(found.runs + 1, _MOST_SEEDS + 1)
    enough = sizes[t_quantile(0.5 + level / 2, sizes - 1) * spread / np.sqrt(sizes) < abs(found.value - claim.limit)]
    if not len(enough):
        return f"more than {_MOST_SEEDS} seeds, should mean and spread stay: a tie for all practical purposes"
    return f"about {enough[0]} seeds, should mean and spread stay"


def _measure(rows: pd.DataFrame, of: Difference | DropOf | BestGamma, level: float) -> _Found:
    if isinstance(of, BestGamma):
        return _best_gamma(rows, of, level)
    if isinstance(of, DropOf):
        own = _at(rows, of.rate)
        return _only(drop_intervals(own[own["loss"] == _label(rows, of.gamma, of.rate, "drop")], level=level), 1.0)
    first, second = (_label(rows, gamma, of.rate, of.of) for gamma in (of.first, of.second))
    return _difference(_at(rows, of.rate), first, second, of.of, level)


def _difference(rows: pd.DataFrame, first: str, second: str, of: Literal["ap", "drop"], level: float) -> _Found:
    try:
        compared = compare_losses(rows, first, second, of, level)
    except NotFoundError:
        raise _RunsMissingError(f"runs of {first} and of {second} with the same seed and the same noise draw") from None
    return _only(compared, 100.0 if of == "ap" else 1.0)


def _best_gamma(rows: pd.DataFrame, of: BestGamma, level: float) -> _Found:
    """The best high gamma minus the best low one, with an interval that holds whichever these are.

    For a fixed high gamma, the smallest of the lower ends against each low one is a lower bound of its lead over the
    best low one, at the level of a single end; the largest of these over the high gammas is one too, if each end is
    taken at the level shared out among them. The upper end likewise, the sides changed.
    """
    at = _at(rows, of.rate)
    focal = at[at["kind"] == "focal"]
    high = sorted(focal.loc[focal["gamma"] >= of.split, "loss"].unique())
    low = sorted(focal.loc[focal["gamma"] < of.split, "loss"].unique())
    if not high or not low:
        which = f"{of.split:g} or more" if not high else f"less than {of.split:g}"
        raise _RunsMissingError(f"runs of a γ of {which} {_in_words(of.rate)}")

    def pairs(parts: int) -> dict[tuple[str, str], _Found]:
        shared = 1 - (1 - level) / parts
        return {(one, other): _difference(at, one, other, "ap", shared) for one in high for other in low}

    by_high, by_low = pairs(len(high)), pairs(len(low))
    value = max(min(by_high[one, other].value for other in low) for one in high)
    lower = max(min(by_high[one, other].low for other in low) for one in high)
    upper = min(max(by_low[one, other].high for one in high) for other in low)
    some = min(by_high.values(), key=lambda found: found.runs)
    return _Found(value, lower, upper, some.runs, some.varies)


def _only(table: pd.DataFrame, scale: float) -> _Found:
    """The one row of a table of means, in points."""
    assert len(table) == 1, "a condition leaves one row"
    row = table.iloc[0]
    value, low, high = (scale * float(row[name]) for name in ("value", "low", "high"))
    return _Found(value, low, high, int(row["runs"]), str(row["varies"]))


def _label(rows: pd.DataFrame, gamma: float | None, rate: float, of: Literal["ap", "drop"]) -> str:
    """The loss's label among rows at a rate. Raises _RunsMissingError, which says the runs that are missing."""
    name = "cross-entropy" if gamma is None else f"γ = {gamma:g}"
    own = rows[rows["kind"] == "ce"] if gamma is None else rows[rows["gamma"] == gamma]
    at = _at(own, rate)
    if at.empty:
        raise _RunsMissingError(f"runs of {name} {_in_words(rate)}")
    if of == "drop" and at["drop"].isna().all():
        raise _RunsMissingError(f"runs of {name} on clean labels with the same seeds")
    labels = at["loss"].unique()
    if len(labels) > 1:
        raise _RunsMissingError(f"one kind of {name}: this study has {' and '.join(sorted(labels))}")
    return str(labels[0])


def _at(rows: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The rows at a missing rate; at 0 only those whose labels are not damaged in other ways either."""
    at = rows[np.isclose(rows["missing_rate"], rate)]
    return at if rate else at[at["noise_seed"].isna()]


def _in_words(rate: float) -> str:
    return f"at {100 * rate:g} % missing" if rate else "on clean labels"


def _mean_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of mAP, with `condition`: the settings, and what parts focal losses of one gamma."""
    mean = rows[(rows["class_name"] == MEAN) & rows["ap"].notna()]
    texts = [
        ", ".join(filter(None, (settings, label.removeprefix(f"FL γ={gamma:g}").strip() if kind == "focal" else "")))
        for settings, label, gamma, kind in mean[["settings", "loss", "gamma", "kind"]].itertuples(index=False)
    ]
    return mean.assign(condition=texts)
