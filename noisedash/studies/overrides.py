"""Settings that a person changes by name: `steps=300`, `loss.gamma=3`, `optimizer=adamw`, `score_thresholds=[0.01]`.

A key is the path of a field of RunSpec, or any of its parts that end with the field's name and are unambiguous:
`training.augmentation.random_crop`, `augmentation.random_crop` and `random_crop` are one, and `training.seed` is the
seed of the run. A step of the noise goes by its kind: `noise.steps.extra.rate`, `extra.rate`, and `noise.seed` where
there is one step only; `noise={steps: [...]}` writes the noise anew.

A value is a YAML scalar, list or mapping. Where a field is one of several kinds (optimizer, loss, initial), naming the
kind starts it from that kind's defaults.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from noisedash.errors import SpecError
from noisedash.spec import RunSpec, parse_run_spec

Path = tuple[str, ...]
Overrides = Mapping[str, str]

_FIXED: frozenset[Path] = frozenset({("version",), ("noise", "version"), ("data", "content_hash"), ("noise", "steps")})
_SUGGESTIONS = 3


def apply_overrides(spec: RunSpec, overrides: Overrides) -> RunSpec:
    """The spec with those settings, applied in their order. Raises SpecError that names the key.

    >>> from noisedash.spec import DataSpec, Focal
    >>> spec = RunSpec(data=DataSpec(content_hash="0" * 64), loss=Focal())
    >>> changed = apply_overrides(spec, {"steps": "300", "loss.gamma": "3"})
    >>> changed.training.steps, changed.loss.gamma
    (300, 3.0)
    """
    return apply_to_all([spec], overrides)[0]


def apply_to_all(specs: Sequence[RunSpec], overrides: Overrides) -> tuple[RunSpec, ...]:
    """Every spec with those settings; a setting that some specs lack (alpha for cross-entropy) skips these.

    Raises SpecError for a key that no spec has or that is ambiguous, for a value that does not fit, and where specs
    that differed become equal: then a setting has overridden what the study varies.
    """
    changed = tuple(specs)
    for key, text in overrides.items():
        value = _parse_value(key, text)
        before = len({spec.id for spec in changed})
        changed = _apply_one(changed, key, value, f"Setting {key}={text}")
        if len({spec.id for spec in changed}) < before:
            raise SpecError(
                f"Setting {key}={text} makes runs equal that differed in it: leave it out, "
                "or choose other losses, rates or seeds for the study."
            )
    return changed


def read_lines(lines: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE texts as overrides; empty ones are left out. Raises SpecError for one without '='.

    >>> read_lines(["steps=300", "", "loss.gamma = 3"])
    {'steps': '300', 'loss.gamma': '3'}
    """
    parsed = {}
    for text in filter(str.strip, lines):
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise SpecError(f"The setting {text!r} cannot be read: write KEY=VALUE, such as steps=300.")
        parsed[key.strip()] = value.strip()
    return parsed


def _apply_one(specs: tuple[RunSpec, ...], key: str, value: Any, where: str) -> tuple[RunSpec, ...]:
    trees = [spec.model_dump(mode="json") for spec in specs]
    matches = [_matching_path(key, list(_paths(tree))) for tree in trees]
    if not any(matches):
        raise SpecError(_unknown(key, trees))
    return tuple(
        spec if path is None else parse_run_spec(_replaced(tree, path, value), where)
        for spec, tree, path in zip(specs, trees, matches, strict=True)
    )


def _parse_value(key: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"Setting {key}={text}: the value is not valid YAML; put it in quotes.") from None


def _paths(tree: Any, prefix: Path = ()) -> Iterator[Path]:
    """Every path of a spec's tree, groups and fields, that may be set."""
    children = tree.items() if isinstance(tree, dict) else _by_kind(tree).items() if _is_group_list(tree) else ()
    for name, child in children:
        path = (*prefix, str(name))
        if path not in _FIXED:
            yield path
        yield from _paths(child, path)


def _is_group_list(tree: Any) -> bool:
    return isinstance(tree, list) and all(isinstance(item, dict) for item in tree)


def _by_kind(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The steps of a recipe by their kinds, of which each stands once."""
    return {str(group["kind"]): group for group in groups}


def _matching_path(key: str, paths: Sequence[Path]) -> Path | None:
    """The one path that `key` means, None if there is none. Raises SpecError if there are several."""
    parts = tuple(key.split("."))
    if parts in paths:
        return parts
    matches = [path for path in paths if path[-1] == parts[-1] and _is_subsequence(parts, path)]
    if len(matches) > 1:
        choices = " or ".join(".".join(path) for path in matches)
        raise SpecError(f"Setting '{key}' is ambiguous: write {choices}.")
    return matches[0] if matches else None


def _is_subsequence(parts: Path, path: Path) -> bool:
    rest = iter(path)
    return all(part in rest for part in parts)


def _replaced(tree: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The tree with `value` at `path`; nothing of the old tree is changed."""
    if path[-1] == "kind":
        path, value = path[:-1], {"kind": value}
    name, rest = path[0], path[1:]
    child = tree[name]
    if not rest:
        return {**tree, name: _fitted(child, value)}
    if isinstance(child, list):
        items = [_replaced(item, rest[1:], value) if item["kind"] == rest[0] else item for item in child]
        return {**tree, name: items}
    return {**tree, name: _replaced(child, rest, value)}


def _fitted(old: Any, new: Any) -> Any:
    """A kind's name where a group with kinds stood becomes that group; a lone value where a list stood, a list."""
    if isinstance(old, dict) and "kind" in old and isinstance(new, str):
        return {"kind": new}
    if isinstance(old, list) and not isinstance(new, list):
        return [new]
    return new


def _unknown(key: str, trees: Sequence[dict[str, Any]]) -> str:
    paths = {path for tree in trees for path in _paths(tree)}
    names: dict[str, str] = {path[-1]: ".".join(path) for path in paths}
    near = difflib.get_close_matches(key, [*names, *names.values()], n=_SUGGESTIONS)
    if not near:
        near = difflib.get_close_matches(key.rsplit(".", 1)[-1], list(names), n=_SUGGESTIONS)
    if near:
        return f"No run has a setting '{key}': did you mean {' or '.join(dict.fromkeys(near))}?"
    return f"No run has a setting '{key}': choose one of {', '.join(sorted(names))}."
