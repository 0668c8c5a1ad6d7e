"""What the runs of a study say together: tidy rows, their mean and spread over seeds, and what else differs.

Nothing is averaged that differs in more than seeds: runs that differ in other settings carry these in the column
`settings`, and losses that would share a label carry what parts them in the label.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from noisedash.noise_spec import noise_beside_rate
from noisedash.records import ResultRecord
from noisedash.spec import Focal, RunSpec, loss_label

MEAN = ""
"""The `class_name` of the mean over classes."""

ROW_COLUMNS = (
    "run_id",
    "loss",
    "kind",
    "gamma",
    "missing_rate",
    "seed",
    "noise_seed",
    "settings",
    "step",
    "final",
    "threshold",
    "class_name",
    "ap",
    "drop",
    "clean_run_id",
)
CURVE_COLUMNS = ("threshold", "class_name", "kind", "gamma", "loss", "settings", "missing_rate", "step", "final")
"""What the runs that are averaged have in common; in this order the averages are sorted."""

_VARIED = ("loss.", "noise.", "training.seed")
_PAIRED = ("kind", "gamma", "loss", "settings", "seed", "step", "final", "threshold", "class_name")


def summarise(specs: Mapping[str, RunSpec], results: Iterable[ResultRecord]) -> pd.DataFrame:
    """A row for each result and class, and one for its mean (class_name ''); columns as in ROW_COLUMNS.

    `specs` by run id; results of other runs are left out. `ap` is a fraction, nan for a class without clean boxes;
    `drop` is how many points (hundredths) it is below the clean run of the same loss, settings and seed, which is
    `clean_run_id`; both are missing where there is none. `gamma` is nan for cross-entropy, `noise_seed` missing for
    clean runs. Noise beside the missing rate, where runs differ in it, stands in `settings`.
    """
    labels, settings, others = loss_labels(specs), settings_texts(specs), _other_noise(specs)
    records: list[dict[str, Any]] = []
    for result in results:
        if result.run_id in specs:
            columns = _run_columns(specs[result.run_id], result, labels, settings)
            aps = {MEAN: result.mean_ap, **result.ap_of_class}
            records += [{**columns, "class_name": name, "ap": ap} for name, ap in aps.items()]
    rows = pd.DataFrame(records, columns=[name for name in ROW_COLUMNS if name not in ("drop", "clean_run_id")])
    rows = rows.astype({"gamma": float, "missing_rate": float, "threshold": float, "ap": float, "noise_seed": "Int64"})
    rows = _with_drop(rows)
    rows["settings"] = [
        ", ".join(filter(None, (text, others.get(run_id, ""))))
        for run_id, text in zip(rows["run_id"], rows["settings"], strict=True)
    ]
    return rows[list(ROW_COLUMNS)]


def aggregate(rows: pd.DataFrame) -> pd.DataFrame:
    """Over seeds, of rows as `summarise` gives them: CURVE_COLUMNS, then `mean`, `sd`, `low`, `high`, `n`, and the
    drop's `drop_mean`, `drop_sd`, `drop_n`.

    `sd` is the sample standard deviation, nan for a single seed. A class without clean boxes has no row.
    """
    grouped = rows.dropna(subset="ap").groupby(list(CURVE_COLUMNS), dropna=False, sort=True)
    return grouped.agg(
        mean=("ap", "mean"),
        sd=("ap", "std"),
        low=("ap", "min"),
        high=("ap", "max"),
        n=("ap", "count"),
        drop_mean=("drop", "mean"),
        drop_sd=("drop", "std"),
        drop_n=("drop", "count"),
    ).reset_index()


def to_csv(rows: pd.DataFrame) -> str:
    """The rows as CSV text with a heading line; empty where a number is missing."""
    return rows.to_csv(index=False, lineterminator="\n")


def mixed_settings(specs: Iterable[RunSpec]) -> dict[str, tuple[Any, ...]]:
    """Settings other than loss, missing rate and seeds in which the runs differ; None where a run has none.

    What this gives, a figure over these runs must say. Names are dotted as in `studies.overrides`; `noise` is what
    damages the labels beside the missing rate, in words, of the runs whose labels are damaged.
    """
    known = list(specs)
    mixed = {n: values for n, values in _values(known).items() if len(values) > 1 and not n.startswith(_VARIED)}
    noises = _noises(known)
    return mixed | ({"noise": noises} if len(noises) > 1 else {})


def shared_settings(specs: Iterable[RunSpec]) -> dict[str, Any]:
    """Settings that are the same in every run that has them, to be shown beside a figure."""
    found = {name: [value for value in values if value is not _ABSENT] for name, values in _raw_values(specs).items()}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def loss_labels(specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """A label for each run's loss: 'CE', 'FL γ=2', and what parts losses that these names would not.

    >>> from noisedash.spec import DataSpec
    >>> spec = RunSpec(data=DataSpec(content_hash="0" * 64), loss=Focal())
    >>> other = spec.model_copy(update={"loss": Focal(alpha=0.25)})
    >>> list(loss_labels({"one": spec, "two": other}).values())
    ['FL γ=2 alpha=0.75', 'FL γ=2 alpha=0.25']
    """
    namesakes: dict[str, list[RunSpec]] = {}
    for spec in specs.values():
        namesakes.setdefault(loss_label(spec.loss), []).append(spec)
    parting = {label: [n for n in _differing(group) if n.startswith("loss.")] for label, group in namesakes.items()}
    return {
        run_id: " ".join([loss_label(spec.loss), *_told(spec, parting[loss_label(spec.loss)])])
        for run_id, spec in specs.items()
    }


def settings_texts(specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """For each run the settings but noise that part it from others, as text; '' for all where none do.

    Runs with the same text agree in every setting. Of settings that only change together one is told, a kind before
    others; `mixed_settings` has them all.
    """
    names = [name for name in mixed_settings(specs.values()) if name != "noise"]
    telling = _telling([dict(_flat(spec.model_dump(mode="json"))) for spec in specs.values()], names)
    return {run_id: ", ".join(_told(spec, telling)) for run_id, spec in specs.items()}


def _telling(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """As few of the named settings as part the runs no less than all do."""

    def parted(chosen: Sequence[str]) -> int:
        return len({tuple(repr(settings.get(name, _ABSENT)) for name in chosen) for settings in runs})

    telling: list[str] = []
    for name in sorted(names, key=lambda name: not name.endswith(".kind")):
        if parted([*telling, name]) > parted(telling):
            telling.append(name)
    for name in reversed(telling.copy()):
        others = [other for other in telling if other != name]
        if parted(others) == parted(names):
            telling = others
    return telling


def _noises(specs: Iterable[RunSpec]) -> tuple[str, ...]:
    """The noises beside the missing rate that there are among the runs whose labels are damaged."""
    return tuple(
        dict.fromkeys(
            noise_beside_rate(spec.noise) for spec in specs if any(step.rate > 0 for step in spec.noise.steps)
        )
    )


def _other_noise(specs: Mapping[str, RunSpec]) -> dict[str, str]:
    """For each run its noise beside the missing rate, in words; nothing where it is the same for all that have any."""
    if len(_noises(specs.values())) < 2:
        return {}
    return {run_id: noise_beside_rate(spec.noise) for run_id, spec in specs.items()}


def _run_columns(
    spec: RunSpec, result: ResultRecord, labels: Mapping[str, str], settings: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "loss": labels[result.run_id],
        "kind": spec.loss.kind,
        "gamma": spec.loss.gamma if isinstance(spec.loss, Focal) else np.nan,
        "missing_rate": spec.noise.missing_rate,
        "seed": spec.training.seed,
        "noise_seed": next((step.seed for step in spec.noise.steps if step.rate > 0), None),
        "settings": settings[result.run_id],
        "step": result.step,
        "final": result.final,
        "threshold": result.score_threshold,
    }


def _with_drop(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `drop`, in points below the clean run that differs in nothing else, and that run's id."""
    clean = rows.loc[rows["noise_seed"].isna(), [*_PAIRED, "ap", "run_id"]].drop_duplicates(list(_PAIRED))
    clean = clean.rename(columns={"ap": "clean_ap", "run_id": "clean_run_id"})
    paired = rows.merge(clean, on=list(_PAIRED), how="left")
    return paired.assign(drop=100 * (paired["clean_ap"] - paired["ap"]))


_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class _Absent:
    """The value of a setting that a run does not have."""


_ABSENT = _Absent()


def _raw_values(specs: Iterable[RunSpec]) -> dict[str, list[Any]]:
    """The distinct values of every setting, in the order of the runs; _ABSENT where a run has none."""
    flat = [dict(_flat(spec.model_dump(mode="json"))) for spec in specs]
    values: dict[str, list[Any]] = {name: [] for settings in flat for name in settings}
    for settings in flat:
        for name, seen in values.items():
            value = settings.get(name, _ABSENT)
            if value not in seen:
                seen.append(value)
    return values


def _values(specs: Iterable[RunSpec]) -> dict[str, tuple[Any, ...]]:
    raw = _raw_values(specs)
    return {name: tuple(None if value is _ABSENT else value for value in values) for name, values in raw.items()}


def _differing(specs: Sequence[RunSpec]) -> list[str]:
    return [name for name, values in _values(specs).items() if len(values) > 1]


def _told(spec: RunSpec, names: Sequence[str]) -> list[str]:
    """'alpha=0.25' for each of the named settings that the run has; a kind by what it is of: 'optimizer=sgd'."""
    flat = dict(_flat(spec.model_dump(mode="json"))) if names else {}
    return [
        f"{name.removesuffix('.kind').rpartition('.')[2]}={value_in_words(flat[name])}"
        for name in names
        if name in flat
    ]


def value_in_words(value: Any) -> str:
    """A setting's value for people; of a checksum the first digits.

    >>> value_in_words(True), value_in_words(0.5), value_in_words(None), value_in_words("0123456789abcdef" * 4)
    ('on', '0.5', 'none', '0123456789ab')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str) and _CHECKSUM.fullmatch(value):
        return value[:12]
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a spec's fields; positions in lists are left out of the names."""
    if isinstance(tree, dict):
        for name, child in tree.items():
            yield from _flat(child, f"{prefix}.{name}" if prefix else name)
    elif isinstance(tree, list) and tree and isinstance(tree[0], dict):
        for child in tree:
            yield from _flat(child, prefix)
    else:
        yield prefix, tree
