"""A contract's version changes with what it asks for, and with nothing else."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from mas_guard.contracts import Contract, contract_of


class Line(BaseModel):
    """One line."""

    item: str
    price: float


class Invoice(BaseModel):
    """What was read off a scan."""

    number: str
    lines: list[Line]
    status: Literal["open", "paid"] = "open"


class Renamed(BaseModel):
    item: Annotated[str, Field(title="Article", description="What was bought", examples=["lamp"])]
    price: float


class Other(BaseModel):
    status: Literal["paid", "open"] = "paid"
    lines: list[Renamed]
    number: str


@dataclasses.dataclass
class Booking:
    reference: str
    amount: float = 0.0


class State(TypedDict):
    plan: str
    notes: NotRequired[list[str]]


def test_titles_descriptions_defaults_order_and_names_of_definitions_do_not_count() -> None:
    assert contract_of(Invoice).version == contract_of(Other).version


def test_a_definition_written_out_is_the_same_contract() -> None:
    line = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    written_out = {"type": "object", "properties": {"first": line, "last": line}}
    referring = {
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/Line"}, "last": {"$ref": "#/$defs/Line"}},
        "$defs": {"Line": line},
    }
    assert Contract(written_out).version == Contract(referring).version


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]},
    ],
)
def test_what_is_asked_for_counts(schema: dict[str, Any]) -> None:
    before = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert Contract(before).version != Contract(schema).version


def test_a_field_that_is_called_title_is_a_field() -> None:
    with_title = {"type": "object", "properties": {"title": {"type": "string", "title": "Title"}}}
    without = {"type": "object", "properties": {}}
    assert Contract(with_title).version != Contract(without).version


def test_the_failure_output_counts_and_the_consumers_do_not() -> None:
    plain = contract_of(Booking)
    assert contract_of(Booking, failure_output={"reference": ""}).version != plain.version
    assert contract_of(Booking, failure_output=None).version != plain.version
    assert contract_of(Booking, consumers=("mailer",), source="settings").version == plain.version


def test_schemas_that_hold_themselves_and_one_another_have_a_version() -> None:
    names = [f"N{number}" for number in range(12)]
    everyone = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    web = {"$ref": "#/$defs/N0", "$defs": {name: {"type": "object", "properties": everyone} for name in names}}
    assert len(Contract(web).version) == 12

    def doubling(prefix: str) -> Contract:
        steps: dict[str, Any] = {f"{prefix}39": {"type": "string"}}
        for at in range(39):
            both = {"$ref": f"#/$defs/{prefix}{at + 1}"}
            steps[f"{prefix}{at}"] = {"type": "object", "properties": {"left": both, "right": both}}
        return Contract({"$ref": f"#/$defs/{prefix}0", "$defs": steps})

    assert doubling("A").version == doubling("B").version
    chain: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert Contract(chain).version == Contract(dict(chain)).version


def test_contracts_are_made_of_the_frameworks_own_types() -> None:
    assert contract_of(Invoice).required == ("lines", "number")
    assert contract_of(Booking).required == ("reference",)
    assert contract_of(State).required == ("plan",)
    assert set(contract_of(State).schema["properties"]) == {"plan", "notes"}
    assert contract_of(list[Line]).schema["type"] == "array"
    assert contract_of({"type": "object", "required": ["a"]}).required == ("a",)
    assert contract_of(str).is_text
    assert contract_of(None).is_text
    assert not contract_of(Invoice).is_text
    assert contract_of(contract_of(Invoice)).version == contract_of(Invoice).version


def test_one_field_that_has_no_schema_does_not_hide_the_others() -> None:
    class Strange:
        pass

    class Mixed(TypedDict):
        plan: str
        strange: Strange

    Mixed.__annotations__["strange"] = Strange
    found = contract_of(Mixed)
    assert found.required == ("plan", "strange")
    assert found.schema["properties"]["plan"]["type"] == "string"
    assert found.schema["properties"]["strange"] == {}


def test_what_is_no_type_is_refused_with_its_name() -> None:
    class Strange:
        pass

    with pytest.raises(TypeError, match="no output contract can be made of Strange"):
        contract_of(Strange)
