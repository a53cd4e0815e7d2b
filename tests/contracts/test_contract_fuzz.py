"""Hostile outputs, schemas and shapes: no crash, bounded time, nothing of the contents in what is said."""

from __future__ import annotations

import json
import random
from typing import Any

from mas_guard.contracts import Contract, merge_shapes, shape_of, violations
from tests.fuzz import HUGE, SECRET, hostile_key, hostile_value, huge_texts, seeds

SCHEMAS: tuple[Any, ...] = (
    {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "integer"}}, "required": ["a", "task"]},
    {"type": "object", "properties": {}, "additionalProperties": False},
    {"type": "object", "additionalProperties": {"$ref": "#"}},
    {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "number"}, {"enum": [1, "x", None]}]}},
    {"anyOf": [{"$ref": "#/anyOf/0"}, {"const": 3}]},
    {"anyOf": [{"anyOf": [{"$ref": "#"}, {"type": "object", "properties": {"a": {"$ref": "#"}}}]}, {"type": "string"}]},
    {"type": ["string", "null"]},
    {"allOf": [{"required": ["a"]}, {"properties": {"a": {"oneOf": [{"type": "array"}, {"type": "object"}]}}}]},
    {"type": 7, "properties": [], "required": 3, "enum": "x", "items": 5, "anyOf": {}},
    {"$ref": 1, "enum": [[], {}], "prefixItems": [{"type": "string"}], "items": False},
)


def test_no_output_crashes_and_nothing_that_is_said_repeats_contents() -> None:
    def check(chance: random.Random) -> None:
        value = hostile_value(chance)
        schema = chance.choice(SCHEMAS) if chance.random() < 0.9 else {hostile_key(chance): hostile_value(chance)}
        problems = violations(schema, value)
        assert len(problems) <= 20
        if schema in SCHEMAS:
            said = "\n".join(problems)
            assert SECRET not in said and "hunter2" not in said
            said.encode("utf-8")
        shape = shape_of(value)
        written = json.dumps(shape)
        assert "hunter2" not in written
        assert len(written) < 100_000
        merge_shapes(shape, {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})

    seeds(check)


def test_no_schema_crashes_its_own_version() -> None:
    for seed in range(2_000):
        chance = random.Random(seed)
        schema = {hostile_key(chance): hostile_value(chance) for _ in range(3)}
        text = {str(name): value for name, value in schema.items() if isinstance(name, str)}
        try:
            json.dumps(text)
        except (TypeError, ValueError, RecursionError):
            continue  # no JSON schema
        assert len(Contract(text).version) == 12


def test_millions_of_characters_take_no_longer_than_their_length_allows() -> None:
    for text in huge_texts():
        for schema in SCHEMAS[:4]:
            violations(schema, text)
        shape_of(text)
    numbers = "[" + "9" * HUGE + "]"
    assert violations({"type": "array", "items": {"type": "integer"}}, numbers) != ["the output: it cannot be read"]
    violations({"type": "object", "additionalProperties": False}, {f"key {at}": at for at in range(300_000)})
