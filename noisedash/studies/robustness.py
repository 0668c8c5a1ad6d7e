"""How robust each loss is, as tables with intervals: AP, drops, comparisons, tolerated rates, risks.

All take rows as `studies.summary.summarise` gives them and average only over seeds and noise draws; what differs
otherwise stays apart, by CURVE_COLUMNS. The interval's `varies` says which of the two it covers. That other test images
would give another AP is not in it, unless `with_image_draws` has joined them to the rows: then means of AP, drops and
differences have intervals for other test images too. Runs of one test set are resampled alike, so what drops and
differences share is not counted as error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from noisedash.errors import NotFoundError
from noisedash.spec import RunSpec
from noisedash.studies.summary import CURVE_COLUMNS
from noisedash.studies.tolerance import tolerance
from noisedash.studies.uncertainty import Estimate, FloatArray, estimate, risk

Drop = Literal["points", "percent"]
"""Points of AP (hundredths) lost since clean labels, or that loss in per cent of the clean AP."""

ImageDraws = Mapping[tuple[str, float, str], FloatArray]
"""For a run id, score threshold and class name ('' for the mean) AP on B resamples of the test images, (B,)."""

_OF_LOSS = tuple(name for name in CURVE_COLUMNS if name != "missing_rate")
_WITHOUT_LOSS = tuple(name for name in CURVE_COLUMNS if name not in ("loss", "kind", "gamma"))
_OF_RUN = ("kind", "gamma", "loss", "settings", "missing_rate")
_RUN = ("seed", "noise_seed")
IMAGE_DRAWS = _DRAWS, _CLEAN_DRAWS = "ap_draws", "clean_ap_draws"
"""The columns that `with_image_draws` adds."""
_LEVEL = 0.95


def with_image_draws(rows: pd.DataFrame, draws: ImageDraws) -> pd.DataFrame:
    """The rows with their AP on resampled test images, and that of the clean run that each is held against.

    `draws` has all runs of the rows, resampled alike.
    """
    with_draws = rows.copy()
    for column, run_id in ((_DRAWS, "run_id"), (_CLEAN_DRAWS, "clean_run_id")):
        keys = zip(rows[run_id], rows["threshold"], rows["class_name"], strict=True)
        with_draws[column] = pd.Series([draws.get(key) for key in keys], index=rows.index, dtype=object)
    return with_draws


def has_image_draws(rows: pd.DataFrame) -> bool:
    """Whether `with_image_draws` has been there."""
    return _DRAWS in rows


def ap_intervals(rows: pd.DataFrame, level: float = _LEVEL) -> pd.DataFrame:
    """Mean AP of each loss, rate and class, a row each: CURVE_COLUMNS, then those of every table of means.

    These are `value`, `low`, `high`, `standard_error`, `df`, `runs`, `varies` (text), and `seed_sd`, `draw_sd` and
    `rest_sd` where every seed was trained with every noise draw. Errors are nan for a single run. Intervals are cut at
    0 and 1, past which no AP is: they cover as often as before.
    """
    known = rows.dropna(subset="ap")
    table = _table(known, CURVE_COLUMNS, lambda own: _over_runs(own, own["ap"], level, own.get(_DRAWS)))
    return table.assign(low=table["low"].clip(0, 1), high=table["high"].clip(0, 1))


def drop_intervals(rows: pd.DataFrame, drop: Drop = "points", level: float = _LEVEL) -> pd.DataFrame:
    """Mean drop since clean labels, as `ap_intervals` has AP. Each run is held against the clean run of its seed.

    The drop in per cent is the mean of the runs' own. Rows without a clean run are left out, and so are clean ones.
    """

    def dropped(own: pd.DataFrame) -> dict[str, Any]:
        return _over_runs(own, _drop(own, drop), level, _drop_draws(own, drop))

    return _table(_noisy(rows), CURVE_COLUMNS, dropped)


def min_max(rows: pd.DataFrame) -> pd.DataFrame:
    """The paper's Figure 4, "relative decrease": each curve of mean AP, stretched so that it spans 0 to 1.

    CURVE_COLUMNS and `value` = (AP - lowest) / (highest - lowest) over the rates of the curve; nan for a level curve.
    It tells the shapes of curves apart, not their heights nor how deep they fall: any curve ends at 0 and 1, so there
    is no interval to give.
    """
    curves = rows.dropna(subset="ap").groupby(list(CURVE_COLUMNS), dropna=False)["ap"].mean().reset_index()
    ends = curves.groupby(list(_OF_LOSS), dropna=False)["ap"].agg(["min", "max"]).reset_index()
    both = curves.merge(ends, on=list(_OF_LOSS))
    span = (both["max"] - both["min"]).replace(0.0, np.nan)
    return both.assign(value=(both["ap"] - both["min"]) / span)[[*CURVE_COLUMNS, "value"]]


def compare_losses(
    rows: pd.DataFrame, first: str, second: str, of: Literal["ap", "drop"] = "ap", level: float = _LEVEL
) -> pd.DataFrame:
    """`first` minus `second` at each rate and class: pairs of runs of one seed, noise draw and settings.

    `of`: AP, or the drop since clean labels in points (then `first` loses more where the value is above 0). The columns
    of a table of means, and `p_value` of the paired t test. Raises NotFoundError where no pair of runs is there.
    """
    shared = [*_WITHOUT_LOSS, *_RUN]
    chosen = _noisy(rows) if of == "drop" else rows.dropna(subset="ap")
    if of == "drop" and has_image_draws(chosen):
        chosen = chosen.assign(**{_DRAWS: _drop_draws(chosen, "points")})
    measured = [of, *([_DRAWS] if has_image_draws(chosen) else [])]
    sides = [chosen.loc[chosen["loss"] == loss, [*shared, *measured]] for loss in (first, second)]
    pairs = sides[0].merge(sides[1], on=shared, suffixes=("_first", "_second"))
    if pairs.empty:
        raise NotFoundError(
            f"No run of '{first}' and of '{second}' share seed, noise draw and settings: choose losses of one study."
        )
    for name in measured:
        pairs[name] = pairs[f"{name}_first"] - pairs[f"{name}_second"]

    def compared(own: pd.DataFrame) -> dict[str, Any]:
        made = _estimate(own, own[of], own.get(_DRAWS))
        return {**_columns(made, level), "p_value": float(made.p_value())}

    return _table(pairs, _WITHOUT_LOSS, compared).assign(first=first, second=second)


def tolerances(rows: pd.DataFrame, limit: float, drop: Drop = "points", level: float = _LEVEL) -> pd.DataFrame:
    """The share of missing labels that each loss and class tolerates before it drops by `limit`, a row each.

    `tolerates`, `low` and `high` are rates; inf where the limit is not reached up to `measured_to`. Only runs with all
    rates of their curve count. What is assumed is said in `studies.tolerance`.
    """

    def tolerated(own: pd.DataFrame) -> dict[str, Any] | None:
        missing = own.assign(drop=_drop(own, drop))[own["missing_rate"] > 0]
        curves = missing.pivot_table("drop", list(_RUN), "missing_rate").dropna()
        if curves.empty:
            return None
        rates = [0.0, *curves.columns]
        drops = np.concatenate([np.zeros((len(curves), 1)), curves.to_numpy(dtype=np.float64)], axis=1)
        seeds, draws = zip(*curves.index, strict=True)
        made = tolerance(rates, drops, limit, seeds, draws, level)
        return {
            "tolerates": float(made.rate),
            "low": float(made.low),
            "high": float(made.high),
            "measured_to": made.measured_to,
            "runs": made.drops.runs,
            "varies": made.drops.design.value,
        }

    return _table(_noisy(rows), _OF_LOSS, tolerated)


def risks(rows: pd.DataFrame, limit: float, drop: Drop = "points", level: float = _LEVEL) -> pd.DataFrame:
    """The probability that one more training drops by more than `limit`, for each loss, rate and class.

    CURVE_COLUMNS, `probability`, `low`, `high`, `runs`, `varies`; nan for a single run.
    """

    def at_risk(own: pd.DataFrame) -> dict[str, Any]:
        made = _estimate(own, _drop(own, drop))
        chance = risk(made, limit, level)
        return {
            "probability": float(chance.probability),
            "low": float(chance.low),
            "high": float(chance.high),
            "runs": made.runs,
            "varies": made.design.value,
        }

    return _table(_noisy(rows), CURVE_COLUMNS, at_risk)


RESTING = {
    "inside_clearly": "rest as objects",
    "inside": "in the region",
    "in_band": "in the band",
    "mean_score": "mean score",
    "gradient_share": "share of the gradient",
}
"""What `resting` gives of the anchors of dropped boxes, for people: shares and a score in [0, 1]."""


def resting(rows: pd.DataFrame, probed: pd.DataFrame, level: float = _LEVEL) -> pd.DataFrame:
    """How the anchors of dropped boxes rest at the end of training: each loss and rate, a row for each of RESTING.

    `probed` has a row for each run that was probed, with `run_id`, `anchors` and RESTING. Columns: `measure`, what
    tells curves apart, and those of every table of means. Runs without such anchors are left out. What is a share
    cannot leave [0, 1], and so its interval is cut off there.
    """
    runs = rows.drop_duplicates("run_id")[["run_id", *_OF_RUN, *_RUN]]
    both = runs.merge(probed.loc[probed["anchors"] > 0, ["run_id", *RESTING]], on="run_id")
    long = both.melt(["run_id", *_OF_RUN, *_RUN], list(RESTING), var_name="measure", value_name="rests")
    table = _table(long, ("measure", *_OF_RUN), lambda own: _over_runs(own, own["rests"], level))
    return table if table.empty else table.assign(low=table["low"].clip(0, 1), high=table["high"].clip(0, 1))


@dataclass(frozen=True)
class Basis:
    """What a figure or table over runs stands on, to be said beside it."""

    runs: int
    datasets: tuple[str, ...]
    """Content hashes."""
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    noise_seeds: tuple[int, ...]
    missing_rates: tuple[float, ...]
    steps: tuple[int, ...]
    """At which the rows were measured."""
    unfinished_runs: int
    """Runs of which no row is final."""
    thresholds: tuple[float, ...]
    settings: tuple[str, ...]
    """What else differs between the runs; ('',) where nothing does."""

    @property
    def is_mixed(self) -> bool:
        """Whether rows of different datasets, steps, thresholds or settings stand side by side."""
        return any(len(values) > 1 for values in (self.datasets, self.steps, self.thresholds, self.settings))


def basis(specs: Mapping[str, RunSpec], rows: pd.DataFrame) -> Basis:
    """What those rows stand on; `specs` by run id."""

    def distinct(column: str) -> tuple[Any, ...]:
        return tuple(sorted(rows[column].dropna().unique().tolist()))

    run_ids = distinct("run_id")
    return Basis(
        runs=len(run_ids),
        datasets=tuple(sorted({specs[run_id].data.content_hash for run_id in run_ids})),
        losses=distinct("loss"),
        seeds=distinct("seed"),
        noise_seeds=distinct("noise_seed"),
        missing_rates=distinct("missing_rate"),
        steps=distinct("step"),
        unfinished_runs=int((~rows.groupby("run_id")["final"].any()).sum()),
        thresholds=distinct("threshold"),
        settings=distinct("settings"),
    )


def _noisy(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of noisy runs that have a clean run to be held against."""
    return rows[rows["noise_seed"].notna() & rows["drop"].notna()]


def _drop(rows: pd.DataFrame, drop: Drop) -> pd.Series:
    if drop == "points":
        return rows["drop"]
    clean = rows["ap"] + rows["drop"] / 100
    return rows["drop"] / clean.replace(0.0, np.nan)


def _table(
    rows: pd.DataFrame, keys: Sequence[str], columns_of: Callable[[pd.DataFrame], dict[str, Any] | None]
) -> pd.DataFrame:
    """A row for each group of rows that agree in the keys: the keys, and the columns made of the group."""
    records = [{**key, **columns} for key, own in _groups(rows, keys) if (columns := columns_of(own)) is not None]
    return pd.DataFrame(records) if records else pd.DataFrame(columns=list(keys))


def _groups(rows: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    for key, own in rows.groupby(list(keys), dropna=False, sort=True):
        yield dict(zip(keys, key, strict=True)), own


def _drop_draws(rows: pd.DataFrame, drop: Drop) -> pd.Series | None:
    """The drop of each row on each resample of the images; None where there are none."""
    if not has_image_draws(rows):
        return None
    if drop == "points":
        return 100 * (rows[_CLEAN_DRAWS] - rows[_DRAWS])
    clean = [np.where(draws > 0, draws, np.nan) for draws in rows[_CLEAN_DRAWS]]
    return 100 * (1 - rows[_DRAWS] / pd.Series(clean, index=rows.index))


def _estimate(rows: pd.DataFrame, values: "pd.Series[float]", image_draws: pd.Series | None = None) -> Estimate:
    """Over runs, and over images where there are draws (B,) of each value."""
    made = estimate(np.asarray(values, dtype=np.float64), rows["seed"].tolist(), _draws(rows["noise_seed"]))
    if image_draws is None:
        return made
    of_mean = np.mean(np.stack(image_draws.tolist()), axis=0)
    known = of_mean[~np.isnan(of_mean)]  # a resample may hold no box of a class
    return made.with_images(known.std(ddof=1) if len(known) > 1 else np.nan)


def _draws(noise_seeds: Iterable[Any]) -> list[int | None]:
    """Noise seeds, None for clean runs."""
    return [None if pd.isna(seed) else int(seed) for seed in noise_seeds]


def _over_runs(
    rows: pd.DataFrame, values: "pd.Series[float]", level: float, image_draws: pd.Series | None = None
) -> dict[str, Any]:
    return _columns(_estimate(rows, values, image_draws), level)


def _columns(made: Estimate, level: float) -> dict[str, Any]:
    low, high = made.interval(level)
    return {
        "value": float(made.value),
        "low": float(low),
        "high": float(high),
        "standard_error": float(made.standard_error),
        "df": float(made.df),
        "runs": made.runs,
        "varies": made.design.value,
        "seed_sd": float(np.sqrt(made.seed_variance)),
        "draw_sd": float(np.sqrt(made.draw_variance)),
        "rest_sd": float(np.sqrt(made.rest_variance)),
    }
