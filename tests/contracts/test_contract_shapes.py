"""Shapes hold types and field names of outputs and nothing of what they say."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from mas_guard.contracts import merge_shapes, shape_of, violations

OBJECT = {"type": "object"}


def test_a_shape_has_types_and_names_and_no_values() -> None:
    shape = shape_of(
        {"customer": "Ana", "amount": 12.5, "paid": True, "note": None, "lines": [{"item": "lamp"}, {"item": 3}]}
    )
    assert shape == {
        "type": "object",
        "properties": {
            "amount": {"type": "number"},
            "customer": {"type": "string"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"item": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
                    "required": ["item"],
                },
            },
            "note": {"type": "null"},
            "paid": {"type": "boolean"},
        },
        "required": ["amount", "customer", "lines", "note", "paid"],
    }


@pytest.mark.parametrize("key", ["ana@example.org", "sk-123456789", "+49 170 555", "", "4711", "a" * 41, 7, "\ud800"])
def test_a_key_that_could_be_data_is_not_recorded(key: Any) -> None:
    shape = shape_of({"total": 1, key: 2})
    assert shape == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_a_text_that_is_json_has_the_shape_of_what_it_says() -> None:
    assert shape_of('{"a": 1}') == shape_of({"a": 1})
    assert shape_of('```json\n[{"a": 1}]\n```') == shape_of([{"a": 1}])
    assert shape_of("{greeting}, Ana") == {"type": "string"}
    assert shape_of('"a"') == {"type": "string"}


def test_a_shape_is_bounded() -> None:
    wide = shape_of({f"field_{letter}{other}": 1 for letter in "abcdefghij" for other in "abcdefghij"})
    assert wide == {"type": "object", "additionalProperties": {"type": "integer"}}
    tree: Any = "leaf"
    for _ in range(12):
        tree = {"left": tree, "right": tree}
    assert len(json.dumps(shape_of(tree))) < 60_000
    assert shape_of([1] * 10_000_000) == {"type": "array", "items": {"type": "integer"}}


def test_merged_shapes_cover_all_and_require_what_all_have() -> None:
    merged = merge_shapes(shape_of({"a": 1, "b": "x"}), shape_of({"a": 2.5}), shape_of({"a": None, "c": [1]}))
    assert merged == {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"type": "null"}, {"type": "number"}]},
            "b": {"type": "string"},
            "c": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["a"],
    }


VALUES: list[Any] = [
    {"a": 1, "b": {"c": []}},
    {"a": None, "b": {"c": [1.5, "x"]}},
    {"a": "x"},
    {"mail@example.org": 1},
    "text",
    [{"a": 1}, {"b": 2}],
    None,
]


def test_the_order_of_merging_does_not_matter() -> None:
    shapes = [shape_of(value) for value in VALUES[:5]]
    found = {json.dumps(merge_shapes(*order), sort_keys=True) for order in permutations(shapes)}
    one_by_one = {
        json.dumps(merge_shapes(merge_shapes(*order[:2]), *order[2:]), sort_keys=True) for order in permutations(shapes)
    }
    assert len(found) == 1
    assert found == one_by_one


def test_every_value_keeps_the_shape_that_was_learned_from_it() -> None:
    learned = merge_shapes(*(shape_of(value) for value in VALUES))
    for value in VALUES:
        assert violations(learned, value) == []


def test_nothing_known_merged_with_anything_is_nothing_known() -> None:
    assert merge_shapes({}, OBJECT) == {}
    assert merge_shapes() == {}
