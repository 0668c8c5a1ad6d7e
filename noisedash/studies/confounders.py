"""When does a high gamma help? What of "gamma 5 minus gamma 2 at 50 % missing" each setting explains.

The effect under a setting is the mean over seeds of AP at gamma 5 minus AP at gamma 2, in points. A setting explains
what of the effect is gone when it alone is changed: the centre's effect minus the effect under it, run by run of the
same seed and noise draw. Negative where the effect grows.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from noisedash.errors import NotFoundError
from noisedash.spec import Focal, RunSpec
from noisedash.studies.summary import MEAN
from noisedash.studies.uncertainty import Estimate, estimate
from noisedash.studies.variations import HIGH_GAMMA, LOW_GAMMA, RATE, confounding_settings

CENTRE = "as it is"
_PAIR = ["seed", "noise_seed"]
_FEWEST = 2


def settings_of(specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """For each run of a study of the recipe `confounders` the setting that it changes, CENTRE for none; by run id.

    The centre is found by itself: it is the run whose variations are in the study. Empty for any other study.
    """
    contrast = {run_id: spec for run_id, spec in specs.items() if _is_of_the_contrast(spec)}
    low = [spec for spec in contrast.values() if isinstance(spec.loss, Focal) and spec.loss.gamma == LOW_GAMMA]
    first = [spec for spec in low if spec.training.seed == low[0].training.seed]
    found = max(first, key=lambda spec: _variations_in(contrast, spec), default=None)
    if found is None or _variations_in(contrast, found) < _FEWEST:
        return {}
    names: dict[str, str] = {}
    for run_id, spec in contrast.items():
        if _differs_in_run_only(spec, found):
            names[run_id] = CENTRE
            names |= {
                changed.id: name for name, changed in confounding_settings(spec).items() if changed.id in contrast
            }
    return names


def rank(rows: pd.DataFrame, settings: Mapping[str, str], threshold: float, level: float = 0.95) -> pd.DataFrame:
    """Settings by how much of the effect they explain at a score threshold, the most first, the centre at the top.

    `rows` as `studies.summary.summarise` gives them, `settings` as `settings_of` does. Columns: `setting`, `effect`,
    `effect_low`, `effect_high`, `explained`, `low`, `high` (points), `share` (of the centre's effect, nan where that
    is not apart from 0), `runs` and `varies`. The other thresholds of the centre's own runs are settings too. Raises
    NotFoundError where the centre has no pair of runs.
    """
    effects = _effects(rows[(rows["class_name"] == MEAN) & rows["run_id"].isin(settings)], settings)
    own = effects[effects["threshold"] == threshold]
    centre = own[own["setting"] == CENTRE]
    if centre.empty:
        raise NotFoundError(f"The centre has no runs of γ = {LOW_GAMMA:g} and {HIGH_GAMMA:g} of one seed yet.")
    others = effects[(effects["threshold"] != threshold) & (effects["setting"] == CENTRE)]
    others = others.assign(setting=[f"score threshold {other:g}" for other in others["threshold"]])
    made = _estimated(centre["effect"], centre)
    low, high = made.interval(level)
    records = [_record(CENTRE, made, None, level)]
    for name, changed in pd.concat([own[own["setting"] != CENTRE], others]).groupby("setting", sort=False):
        both = changed.merge(centre, on=_PAIR, suffixes=("", "_centre"))
        if len(both):
            explained = _estimated(both["effect_centre"] - both["effect"], both)
            records.append(_record(str(name), _estimated(changed["effect"], changed), explained, level))
    table = pd.DataFrame(records)
    table["share"] = table["explained"] / float(made.value) if low > 0 or high < 0 else np.nan
    return table.sort_values("explained", key=lambda points: -points.abs(), na_position="first", ignore_index=True)


def _effects(rows: pd.DataFrame, settings: Mapping[str, str]) -> pd.DataFrame:
    """A row for each setting, threshold and pair of runs: `effect`, in points."""
    named = rows.assign(setting=rows["run_id"].map(settings))
    keys = ["setting", "threshold", "step", "final", *_PAIR]
    sides = [named.loc[named["gamma"] == gamma, [*keys, "ap"]] for gamma in (HIGH_GAMMA, LOW_GAMMA)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("_high", "_low"))
    return pairs.assign(effect=100 * (pairs["ap_high"] - pairs["ap_low"]))


def _record(name: str, effect: Estimate, explained: Estimate | None, level: float) -> dict[str, object]:
    low, high = effect.interval(level)
    ends = (np.nan, np.nan) if explained is None else explained.interval(level)
    return {
        "setting": name,
        "effect": float(effect.value),
        "effect_low": float(low),
        "effect_high": float(high),
        "explained": np.nan if explained is None else float(explained.value),
        "low": float(ends[0]),
        "high": float(ends[1]),
        "runs": effect.runs if explained is None else explained.runs,
        "varies": (effect if explained is None else explained).design.value,
    }


def _estimated(values: "pd.Series[float]", rows: pd.DataFrame) -> Estimate:
    return estimate(np.asarray(values, dtype=np.float64), rows["seed"].tolist(), rows["noise_seed"].tolist())


def _is_of_the_contrast(spec: RunSpec) -> bool:
    gamma = spec.loss.gamma if isinstance(spec.loss, Focal) else None
    return gamma in (LOW_GAMMA, HIGH_GAMMA) and spec.noise.missing_rate == RATE


def _variations_in(specs: Mapping[str, RunSpec], centre: RunSpec) -> int:
    return sum(changed.id in specs for changed in confounding_settings(centre).values())


def _differs_in_run_only(spec: RunSpec, centre: RunSpec) -> bool:
    """Whether a run is the centre's but for gamma, seed and noise draw."""
    assert isinstance(spec.loss, Focal), "runs of the contrast have a gamma"
    loss = spec.loss.model_copy(update={"gamma": LOW_GAMMA})
    training = spec.training.model_copy(update={"seed": centre.training.seed})
    return spec.model_copy(update={"loss": loss, "training": training, "noise": centre.noise}) == centre
