"""Frozen settings: strict models, one canonical text for each, every problem told at once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from noisedash.errors import SpecError

M = TypeVar("M", bound=BaseModel)


class Frozen(BaseModel):
    """Immutable, refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class AddedLater:
    """Marks a field that came after runs had been trained: `name: Annotated[Type, AddedLater()] = DEFAULT`.

    The canonical JSON leaves it out where it holds its default, so that older runs keep their ids. The default must
    therefore do what the code did before, and must never change. See docs/adr/0001.
    """


def canonical_json(model: BaseModel) -> str:
    """The model as JSON with sorted keys, no white space and every default written out, `AddedLater` ones left out."""
    return json.dumps(_canonical(model), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _canonical(model: BaseModel) -> dict[str, Any]:
    """The model's values for JSON, without the fields that were added later and hold their default."""
    values = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        child = getattr(model, name)
        if AddedLater() in field.metadata and child == field.default:
            del values[name]
        elif isinstance(child, BaseModel):
            values[name] = _canonical(child)
        elif isinstance(child, tuple) and child and all(isinstance(item, BaseModel) for item in child):
            values[name] = [_canonical(item) for item in child]
    return values


def parse(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """The model of a mapping. Raises SpecError with every problem of it in one message that names `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the whole'}: "
            f"{problem['msg'].lower()}, got {problem['input']!r}"
            for problem in error.errors()
        )
        raise SpecError(f"{where}: {problems}.") from None
