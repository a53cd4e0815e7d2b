"""What of an output is not as its contract says is named by its path, and its contents never."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field

from mas_guard.contracts import Contract, contract_of, violations

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "total": {"type": "number"},
        "count": {"type": "integer"},
        "status": {"enum": ["open", "closed"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "extra": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["id", "total"],
    "$defs": {
        "Line": {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"], "additionalProperties": False}
    },
}  # fmt: skip
GOOD = {"id": "A-1", "total": 3.5}


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, []),
        ({"total": 3, "count": 2.0, "status": "open", "note": None, "lines": [{"price": 1}], "more": 1}, []),
        ({"id": 7}, ["id: a whole number where text is expected"]),
        ({"total": "3.5"}, ["total: text where a number is expected"]),
        ({"total": True}, ["total: true or false where a number is expected"]),
        ({"total": float("nan")}, ["total: a number that is not finite"]),
        ({"count": 2.5}, ["count: a number where a whole number is expected"]),
        ({"count": None}, ["count: nothing where a whole number is expected"]),
        ({"status": "secret"}, ["status: its value is not one of 'open', 'closed'"]),
        ({"note": 3}, ["note: a whole number where text or nothing is expected"]),
        ({"lines": [{"price": 1}, {}]}, ["lines[1].price: it is missing"]),
        ({"lines": [{"price": 1, "secret": 1, "other": 2}]}, ["lines[0]: 2 fields that the contract does not have"]),
        ({"lines": {"price": 1}}, ["lines: an object where a list is expected"]),
        ({"extra": {"secret": "x"}}, ["extra.*: text where a number is expected"]),
    ],
)
def test_a_problem_is_named_by_its_path_without_the_value(changes: dict[str, Any], problems: list[str]) -> None:
    assert violations(ORDER, {**GOOD, **changes}) == problems


def test_every_missing_field_is_named() -> None:
    assert violations(ORDER, {}) == ["id: it is missing", "total: it is missing"]


def test_a_text_is_read_as_json_where_no_text_is_wanted() -> None:
    assert violations(ORDER, '{"id": "A-1", "total": 3}') == []
    assert violations(ORDER, '```json\n{"id": "A-1", "total": 3}\n```') == []
    assert violations(ORDER, '{"id": "A-1"}') == ["total: it is missing"]
    assert violations(ORDER, "Here is your order!") == ["the output: text that is no JSON, where an object is expected"]
    assert violations({"type": "string"}, "Here is your order!") == []
    assert violations({"type": "string"}, GOOD) == ["the output: an object where text is expected"]


def test_models_dataclasses_and_enumerations_are_read_by_their_fields() -> None:
    class Colour(enum.Enum):
        RED = "red"

    class Inner(BaseModel):
        price: float = Field(validation_alias="unitPrice")

    class Model(BaseModel):
        colour: Colour
        inner: Inner

    @dataclasses.dataclass
    class Data:
        price: Any

    contract = contract_of(Model)
    assert violations(contract, Model(colour=Colour.RED, inner=Inner(unitPrice=2.0))) == []
    broken = Model.model_construct(colour="blue", inner=Inner.model_construct(price="x"))
    assert violations(contract, broken) == [
        "colour: its value is not 'red'",
        "inner.unitPrice: text where a number is expected",
    ]
    assert violations(ORDER["$defs"]["Line"], Data(Decimal("2.50"))) == []
    assert violations(ORDER["$defs"]["Line"], Data("x")) == ["price: text where a number is expected"]


def test_of_several_forms_the_one_that_was_meant_is_judged() -> None:
    forms = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}},
                "required": ["kind", "x"],
            },
            {"type": "null"},
        ]
    }
    assert violations(forms, {"kind": "a"}) == ["x: it is missing"]
    assert violations(forms, None) == []
    two = {"anyOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]}
    assert violations(two, {"c": "secret"}) == ["the output: it is none of the 2 forms that it may have"]


def test_depth_problems_and_values_have_ceilings() -> None:
    tree: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["id"]}
    deep: dict[str, Any] = {}
    place = deep
    for _ in range(100_000):
        place["next"] = {}
        place = place["next"]
    assert len(violations(tree, deep)) == 20
    numbers = {"type": "array", "items": {"type": "integer"}}
    assert violations(numbers, [1] * 1_000_000) == []
    assert len(violations(numbers, ["x"] * 1_000_000)) == 20
    assert len(violations({"type": "object", "required": [f"field {at}" for at in range(50)]}, {})) == 20


def test_an_output_that_raises_is_said_to_be_unreadable() -> None:
    class Broken(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise RuntimeError("secret")

        def __iter__(self) -> Iterator[str]:
            raise RuntimeError("secret")

        def __len__(self) -> int:
            return 1

        def __contains__(self, key: object) -> bool:
            return True

    assert violations(ORDER, Broken()) == ["the output: it cannot be read (RuntimeError)"]


@pytest.mark.parametrize(
    "schema", [True, {}, {"$ref": "#/nowhere"}, {"$ref": "https://example.org/schema"}, {"minimum": 3}]
)
def test_a_schema_that_says_nothing_of_types_is_kept_by_everything(schema: Any) -> None:
    for value in (None, 1, "x", [], {}, object()):
        assert violations(schema, value) == []


def test_a_contract_is_taken_as_well_as_a_schema() -> None:
    assert violations(Contract(ORDER), {"id": "x"}) == ["total: it is missing"]
