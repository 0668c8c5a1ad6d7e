"""What tables over runs say, in sentences; the same on the pages and on the command line."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from noisedash.spec import RunSpec
from noisedash.studies.robustness import Basis
from noisedash.studies.summary import mixed_settings, value_in_words

_MOST_NUMBERS = 8


def basis_in_words(basis: Basis) -> str:
    """What a figure or table stands on, to be said beside it."""
    draws = f"noise draws {_list(basis.noise_seeds)}" if basis.noise_seeds else "no noise"
    parts = [
        f"{basis.runs:,} {'run' if basis.runs == 1 else 'runs'}",
        f"seeds {_list(basis.seeds)}",
        draws,
        f"measured at step {_list(basis.steps)}",
        f"score ≥ {_list(basis.thresholds)}",
        f"dataset {', '.join(content_hash[:12] for content_hash in basis.datasets)}",
    ]
    if basis.unfinished_runs:
        parts.append(f"{basis.unfinished_runs:,} of them before the end of their training")
    return "; ".join(parts)


def mixture_in_words(basis: Basis) -> str:
    """What stands side by side though it differs in more than loss, noise and seeds; '' where nothing does."""
    told = {
        "datasets": tuple(content_hash[:12] for content_hash in basis.datasets),
        "steps": basis.steps,
        "score thresholds": basis.thresholds,
        "settings": tuple(setting or "the others" for setting in basis.settings),
    }
    mixed = [f"{name} ({'; '.join(map(_told, values))})" for name, values in told.items() if len(values) > 1]
    if not mixed:
        return ""
    return f"Runs of different {' and '.join(mixed)} stand side by side here; they are never averaged together."


def differences_in_words(specs: Iterable[RunSpec]) -> str:
    """Every setting, other than loss, noise and seeds, in which the runs differ; '' where there is none."""
    told = [f"{name}: {', '.join(map(value_in_words, values))}" for name, values in mixed_settings(specs).items()]
    return f"These runs differ in more than loss, noise and seeds. {'; '.join(told)}." if told else ""


def comparison_in_words(row: "Mapping[str, Any] | pd.Series[Any]", of: Literal["ap", "drop"]) -> str:
    """A row of `compare_losses` as a sentence: what was measured, and how far chance alone would go.

    >>> row = {"first": "CE", "second": "FL γ=2", "missing_rate": 0.5, "value": 3.0, "low": 1.0, "high": 5.0}
    >>> print(comparison_in_words(row | {"p_value": 0.2, "runs": 3}, "drop"))
    At 50 % missing, CE loses 3.00 points more than FL γ=2 (+1.00 to +5.00, p = .2, 3 pairs): chance alone may do that.
    """
    value, low, high = (float(row[name]) * (1 if of == "drop" else 100) for name in ("value", "low", "high"))
    verb, sides = ("loses", ("more than", "less than")) if of == "drop" else ("is", ("above", "below"))
    where = f"At {rate_in_words(row['missing_rate'])} missing" if row["missing_rate"] else "On clean labels"
    said = f"{where}, {row['first']} {verb} {abs(value):.2f} points {sides[value < 0]} {row['second']}"
    if math.isnan(low):
        return f"{said}; from a single pair of runs there is no telling that from chance."
    told = f"{low:+.2f} to {high:+.2f}, {p_in_words(float(row['p_value']))}, {row['runs']} pairs"
    verdict = "more than chance explains" if row["p_value"] < 0.05 else "chance alone may do that"
    return f"{said} ({told}): {verdict}."


def p_in_words(p_value: float) -> str:
    """A p-value with two digits.

    >>> p_in_words(0.0312), p_in_words(0.00001), p_in_words(0.5)
    ('p = .031', 'p < .001', 'p = .5')
    """
    return "p < .001" if p_value < 0.001 else f"p = {f'{p_value:.2g}'.removeprefix('0')}"


def tolerance_in_words(row: "Mapping[str, Any] | pd.Series[Any]", limit: float, unit: str) -> str:
    """A row of `tolerances` as a sentence.

    >>> row = {"loss": "CE", "tolerates": 0.21, "low": 0.1, "high": math.inf, "measured_to": 0.5, "runs": 3}
    >>> tolerance_in_words(row, 2, "points")
    'CE tolerates 21 % missing labels within 2 points (95 % interval: 10 % to beyond 50 %; 3 curves).'
    """
    beyond = rate_in_words(row["measured_to"])
    rate = f"more than {beyond}" if row["tolerates"] == math.inf else rate_in_words(row["tolerates"])
    said = f"{row['loss']} tolerates {rate} missing labels within {limit:g} {unit}"
    if math.isnan(row["low"]):
        return f"{said} (one curve: its error is not known)."
    if row["low"] == math.inf:
        return f"{said} (so does the whole 95 % interval; {row['runs']} curves)."
    low, high = (f"beyond {beyond}" if row[end] == math.inf else rate_in_words(row[end]) for end in ("low", "high"))
    return f"{said} (95 % interval: {low} to {high}; {row['runs']} curves)."


def rate_in_words(rate: float) -> str:
    """A share in per cent, three digits at most.

    >>> rate_in_words(0.12345), rate_in_words(0.5)
    ('12.3 %', '50 %')
    """
    return f"{100 * rate:.3g} %"


def _list(values: Sequence[Any]) -> str:
    """Values with commas between; of many the first and the last.

    >>> _list((0, 1, 2)), _list(range(100))
    ('0, 1, 2', '0, 1, 2 … 99 (100 of them)')
    """
    if len(values) <= _MOST_NUMBERS:
        return ", ".join(map(_told, values))
    return f"{', '.join(map(_told, values[:3]))} … {_told(values[-1])} ({len(values)} of them)"


def _told(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
