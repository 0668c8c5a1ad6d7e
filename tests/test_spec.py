"""The specification: one id for one outcome, every problem in one message, nothing that changes under one's hands."""

import json
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from noisedash.errors import SpecError
from noisedash.spec import (
    AdamW,
    AddedLater,
    CrossEntropy,
    DataSpec,
    Focal,
    Frozen,
    MissingNoise,
    NoiseRecipe,
    RunSpec,
    Sgd,
    canonical_json,
    loss_label,
    parse_run_spec,
)

DATA = {"content_hash": "0" * 64}
SPEC = RunSpec(data=DataSpec(**DATA), loss=Focal(gamma=2))


def test_the_id_stays_what_it_is() -> None:
    """If this changes, every run that was ever trained is forgotten: see docs/adr/0001."""
    assert SPEC.id == "e7e5440d93a8e324"


@pytest.mark.parametrize(
    "change",
    [
        {"loss": Focal(gamma=3)},
        {"loss": CrossEntropy()},
        {"optimizer": AdamW()},
        {"noise": NoiseRecipe(steps=(MissingNoise(rate=0.1),))},
        {"data": DataSpec(content_hash="1" * 64)},
    ],
)
def test_whatever_decides_the_outcome_changes_the_id(change: dict[str, object]) -> None:
    assert SPEC.model_copy(update=change).id != SPEC.id


def test_equal_specs_have_equal_ids_however_they_are_written() -> None:
    written = parse_run_spec({"loss": {"gamma": 2, "kind": "focal"}, "data": DATA}, "a file")
    assert written == SPEC
    assert written.id == RunSpec.model_validate_json(canonical_json(SPEC)).id == SPEC.id


def test_every_problem_is_told_at_once() -> None:
    values = {"data": DATA, "loss": {"kind": "focal", "gamma": -1}, "training": {"steps": 0}, "colour": "red"}
    with pytest.raises(SpecError) as told:
        parse_run_spec(values, "spec.yaml")
    message = str(told.value)
    assert message.startswith("spec.yaml: ")
    assert "\n" not in message
    for problem in ("loss.focal.gamma", "got -1", "training.steps", "colour", "extra inputs are not permitted"):
        assert problem in message


@pytest.mark.parametrize(
    "values",
    [
        {"detector": {"depth_multiplier": 0.3}},
        {"detector": {"input_side": 95}},
        {"noise": {"steps": [{"kind": "missing", "rate": 1.5}]}},
        {"optimizer": {"kind": "sgd", "learning_rate": float("nan")}},
        {"training": {"seed": 2**64}},
        {"evaluation": {"score_thresholds": []}},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"^here: "):
        parse_run_spec({"data": DATA, "loss": {"kind": "ce"}, **values}, "here")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.loss = CrossEntropy()


def test_canonical_json_writes_every_default_in_order() -> None:
    text = canonical_json(SPEC.model_copy(update={"optimizer": Sgd(learning_rate=0.1)}))
    values = json.loads(text)
    assert " " not in text
    assert list(values) == sorted(values)
    assert values["optimizer"]["momentum"] == 0.9


class Wheel(Frozen):
    """A part that had a rate from the start, and got a hub and spokes later."""

    rate: float = 1.0
    hub: Annotated[int, Field(ge=0), AddedLater()] = 3
    spokes: Annotated[tuple[int, ...], AddedLater()] = ()


class Rim(Frozen):
    kind: Literal["rim"] = "rim"


class Cart(Frozen):
    one: Wheel = Wheel()
    others: tuple[Wheel, ...] = ()
    rim: Annotated[Rim | None, AddedLater()] = Rim()


@pytest.mark.parametrize(
    ("cart", "written"),
    [
        (Cart(), {"one": {"rate": 1.0}, "others": []}),
        (Cart(one=Wheel(hub=4)), {"one": {"rate": 1.0, "hub": 4}, "others": []}),
        (Cart(rim=None), {"one": {"rate": 1.0}, "others": [], "rim": None}),
        (
            Cart(others=(Wheel(spokes=(1, 2)), Wheel(rate=2, hub=3))),
            {"one": {"rate": 1.0}, "others": [{"rate": 1.0, "spokes": [1, 2]}, {"rate": 2.0}]},
        ),
    ],
)
def test_a_field_added_later_is_written_only_where_it_is_used(cart: Cart, written: dict[str, object]) -> None:
    assert json.loads(canonical_json(cart)) == written
    assert Cart.model_validate_json(canonical_json(cart)) == cart


def test_losses_have_short_names() -> None:
    assert [loss_label(loss) for loss in (CrossEntropy(), Focal(), Focal(gamma=0.5))] == ["CE", "FL γ=2", "FL γ=0.5"]
