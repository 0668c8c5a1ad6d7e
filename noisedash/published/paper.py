"""Typed access to results.json, the paper's numbers: mAP@.50 as a fraction, on a clean test set."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisedash.errors import NotFoundError

_RESULTS: dict[str, Any] = json.loads(Path(__file__).with_name("results.json").read_text(encoding="utf-8"))
_TITLES = {"indoor": "Indoor", "pascal_voc": "PASCAL VOC 2012", "fddb": "FDDB"}

SOURCE: str = _RESULTS["source"]
METRIC: str = _RESULTS["metric"]
NOTES: tuple[str, ...] = tuple(_RESULTS["notes"])


@dataclass(frozen=True)
class PublishedDataset:
    """A row of the paper's Table 1."""

    name: str
    title: str
    images: int
    instances: int
    classes: int


@dataclass(frozen=True)
class NoiseCurve:
    """mAP over the share of missing labels (Figure 3). `gamma` is None for cross-entropy."""

    dataset: str
    gamma: float | None
    missing_rates: tuple[float, ...]
    mean_ap: tuple[float, ...]


@dataclass(frozen=True)
class GammaCurve:
    """mAP of the focal loss over gamma at one share of missing labels (Figure 5)."""

    dataset: str
    missing_rate: float
    gammas: tuple[float, ...]
    mean_ap: tuple[float, ...]


def dataset(name: str) -> PublishedDataset:
    """The dataset of that name. Raises NotFoundError.

    >>> dataset("fddb").instances
    5171
    """
    if name not in DATASETS:
        raise NotFoundError(f"The paper has no dataset '{name}': choose one of {', '.join(DATASETS)}.")
    return DATASETS[name]


def curves_over_noise(name: str) -> tuple[NoiseCurve, NoiseCurve]:
    """Cross-entropy and the focal loss (gamma 2) at 0 to 50 % missing labels. Raises NotFoundError.

    >>> cross_entropy, focal = curves_over_noise("pascal_voc")
    >>> focal.gamma, focal.missing_rates[-1], focal.mean_ap[-1]
    (2.0, 0.5, 0.3312)
    """
    comparison = _RESULTS["loss_comparison"]
    rates, curves = tuple(comparison["missing_rate"]), comparison[dataset(name).name]
    return (
        NoiseCurve(name, None, rates, tuple(curves["ce"])),
        NoiseCurve(name, comparison["focal_gamma"], rates, tuple(curves["focal"])),
    )


def curves_over_gamma(name: str) -> tuple[GammaCurve, ...]:
    """The focal loss at gamma 0 to 8, a curve for each of 0, 10 and 50 % missing labels. Raises NotFoundError.

    >>> [curve.missing_rate for curve in curves_over_gamma("indoor")]
    [0.0, 0.1, 0.5]
    """
    sweep = _RESULTS["gamma_sweep"]
    gammas = tuple(float(gamma) for gamma in sweep["gamma"])
    return tuple(
        GammaCurve(name, float(rate), gammas, tuple(values)) for rate, values in sweep[dataset(name).name].items()
    )


def _published_dataset(name: str) -> PublishedDataset:
    row = _RESULTS["datasets"][name]
    return PublishedDataset(name, _TITLES[name], row["images"], row["instances"], row["classes"])


DATASETS: dict[str, PublishedDataset] = {name: _published_dataset(name) for name in _TITLES}
"""The paper's three datasets by name."""
