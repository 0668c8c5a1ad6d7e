"""Studies and single runs written as YAML (or JSON), with names of datasets and weights in place of checksums.

    name: threshold-of-pain
    dataset: bccd
    weights: coco            # optional; from scratch where left out
    base:                    # any setting of a run; the paper's where left out
      training: {steps: 300, batch_size: 16}
      optimizer: {kind: adamw, learning_rate: 0.002}
      noise: {steps: [{kind: extra, rate: 0.1}]}     # beside the missing labels
    losses: [ce, {kind: focal, gamma: 2, alpha: 0.25}]
    gammas: [0, 5]           # each one more focal loss
    missing_rates: [0, 0.3, 0.5]
    seeds: [0, 1, 2]
    noise_seed: run          # each run's own seed; a number draws the noise alike for all

The missing rates are those of the noise's step `missing`; one in `base` says who goes missing, and its rate holds
where there are no `missing_rates`: `{kind: missing, rate: 0.3, weighting: {kind: size, exponent: -1}}`.

In place of losses, gammas, rates and seeds, `runs` may list mappings that are each laid over `base`. `split` holds
the fields of a SplitSpec.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from noisedash.errors import SpecError
from noisedash.spec import (
    CrossEntropy,
    Focal,
    FromScratch,
    FromWeights,
    Frozen,
    RunSpec,
    SplitSpec,
    parse,
    parse_run_spec,
)
from noisedash.studies.grid import focal, grid
from noisedash.studies.recipes import make_study
from noisedash.studies.study import Study

_DEFAULT_LOSS = {"kind": "ce"}
_TITLE = "A study from a file"


DataOf = Callable[[str], tuple[str, SplitSpec]]
"""Content hash and default split of a dataset by name. Raises NotFoundError."""
InitialOf = Callable[[str], FromScratch | FromWeights | None]
"""Initial weights by name. Raises NotFoundError."""


class _StudyFile(Frozen):
    name: str | None = None
    title: str = _TITLE
    note: str = ""
    dataset: str
    split: dict[str, Any] | None = None
    weights: str | None = None
    reset_class_head: bool = False
    base: dict[str, Any] = Field(default_factory=dict)
    losses: tuple[str | dict[str, Any], ...] = ()
    gammas: tuple[float, ...] = ()
    missing_rates: tuple[float, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    noise_seed: int | Literal["run"] = 0
    runs: tuple[dict[str, Any], ...] | None = None


def load_study_file(path: Path, data_of: DataOf, initial_of: InitialOf) -> Study:
    """The study of a file; named as the file where it does not say. Raises SpecError, or NotFoundError for a name."""
    content = parse(_StudyFile, read_settings(path), str(path))
    if any("data" in settings for settings in (content.base, *(content.runs or ()))):
        raise SpecError(f"{path}: all runs share one dataset; write 'dataset: NAME' and 'split: …' in place of 'data'.")
    base = _base(content, data_of, initial_of)
    if content.runs is None:
        specs = _grid(content, parse_run_spec(base, f"{path}, base"), path)
    else:
        _refuse_both(content, path)
        specs = tuple(
            parse_run_spec(_laid_over(base, run), f"{path}, run {number}")
            for number, run in enumerate(content.runs, start=1)
        )
    name = path.stem if content.name is None else content.name
    return make_study(name, content.title, content.note, content.dataset, specs)


def load_run_file(path: Path, data_of: DataOf, initial_of: InitialOf) -> RunSpec:
    """The run of a file: a study file that makes one run, or a whole RunSpec, such as a run folder's spec.json.

    Raises SpecError, or NotFoundError for a name.
    """
    content = read_settings(path)
    if "data" in content:
        return parse_run_spec(content, str(path))
    specs = load_study_file(path, data_of, initial_of).specs
    if len(specs) != 1:
        raise SpecError(f"{path} makes {len(specs)} runs, and one is wanted: submit it as a study.")
    return specs[0]


def read_settings(path: Path) -> dict[str, Any]:
    """The named settings of a YAML or JSON file. Raises SpecError where it cannot be read or holds none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not text in UTF-8.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"{path}{place} is not valid YAML.") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SpecError(f"{path} does not hold settings with names: write lines such as 'dataset: indoor'.")
    return content


def _base(content: _StudyFile, data_of: DataOf, initial_of: InitialOf) -> dict[str, Any]:
    """The settings that all runs share: the file's base, and what its names stand for."""
    content_hash, default_split = data_of(content.dataset)
    split = default_split.model_dump() if content.split is None else content.split
    base = {
        **_laid_over({"loss": _DEFAULT_LOSS}, content.base),
        "data": {"content_hash": content_hash, "split": split},
    }
    initial = None if content.weights is None else initial_of(content.weights)
    if initial is not None:
        base["initial"] = initial.model_dump()
    if isinstance(initial, FromWeights):
        base["initial"]["reset_class_head"] = content.reset_class_head
    return base


def _grid(content: _StudyFile, base: RunSpec, path: Path) -> Sequence[RunSpec]:
    losses = [_loss(loss, f"{path}, loss {number}") for number, loss in enumerate(content.losses, start=1)]
    losses += focal(content.gammas)
    noise_seed = None if content.noise_seed == "run" else content.noise_seed
    if seeded := [step.kind for step in base.noise.steps if step.seed]:
        raise SpecError(
            f"{path}: the noise of a study is drawn by its noise_seed: leave the seed of {' and '.join(seeded)} out."
        )
    rates = (base.noise.missing_rate,) if content.missing_rates is None else content.missing_rates
    return grid(base, losses or [base.loss], rates, content.seeds, noise_seed)


def _loss(loss: str | dict[str, Any], where: str) -> CrossEntropy | Focal:
    values = {"kind": loss} if isinstance(loss, str) else loss
    models: dict[str, type[CrossEntropy] | type[Focal]] = {"ce": CrossEntropy, "focal": Focal}
    kind = values.get("kind")
    if kind not in models:
        raise SpecError(f"{where}: its kind must be one of {', '.join(models)}, got {kind!r}.")
    return parse(models[kind], values, where)


def _refuse_both(content: _StudyFile, path: Path) -> None:
    axes = {"losses", "gammas", "missing_rates", "seeds", "noise_seed"} & content.model_fields_set
    if axes:
        raise SpecError(f"{path} lists runs, so {', '.join(sorted(axes))} would be ignored: write them into the runs.")


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `above` in place of those of `below`; groups are merged, unless `above` names another kind."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict) and _same_kind(old, value):
            value = _laid_over(old, value)
        merged[name] = value
    return merged


def _same_kind(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    return bool(above.get("kind", below.get("kind")) == below.get("kind"))
