"""What makes two calls one effect: the values of the key's arguments, however they are written."""

from __future__ import annotations

import datetime
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mas_guard.once import NoKey, effect_id_of, key_hash


class Colour(Enum):
    RED = "red"


@dataclass
class Order:
    number: int


def key(value: Any) -> str:
    return key_hash({"value": value}, ("value",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (17, "17"),
        (17, 17.0),
        (12.5, "12.5"),
        (Decimal("12.50"), 12.5),
        (True, "true"),
        (Colour.RED, "red"),
        ([17, "a"], ("17", "a")),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": "1"}),
        ({1, 2}, {2, 1}),
        (Order(17), {"number": 17}),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (1e22, 10**22),
        (float("inf"), float("inf")),
    ],
)
def test_the_same_value_is_the_same_effect(one: Any, other: Any) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("17", "017"),
        ("17", "17 "),
        ("a@b", "A@b"),
        ("12.5", "12.50"),
        (None, ""),
        (None, "null"),
        ([1, 2], [2, 1]),
        ([1, 2], "[1, 2]"),
        ("", []),
        (["ab"], ["a", "b"]),
    ],
)
def test_another_value_is_another_effect(one: Any, other: Any) -> None:
    assert key(one) != key(other)


def test_the_order_of_the_names_does_not_matter_and_their_values_do() -> None:
    given = {"to": "anna", "subject": "hello", "body": "anything"}
    assert key_hash(given, ("to", "subject")) == key_hash(given, ("subject", "to"))
    assert key_hash(given, ("to", "subject")) != key_hash({"to": "hello", "subject": "anna"}, ("to", "subject"))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NoKey) as caught:
        key_hash({"to": "anna"}, ("to", "subject", "day"))
    assert caught.value.missing == ("subject", "day")


def test_an_object_without_a_value_is_no_key() -> None:
    with pytest.raises(NoKey) as caught:
        key(object())
    assert caught.value.unreadable == ("value",)


def test_what_refers_to_itself_is_no_key() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NoKey):
        key(endless)


def test_another_process_comes_to_the_same_hash() -> None:
    code = "from mas_guard.once import key_hash; print(key_hash({'v': {'a': 1, 'b': {3, 2}}}, ('v',)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == key_hash({"v": {"b": {2, 3}, "a": 1}}, ("v",))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_any_json_has_a_key(value: Any) -> None:
    assert key(value) == key(value)


def test_an_id_is_of_one_run_one_tool_and_one_key() -> None:
    ids = {effect_id_of(*parts) for parts in (("r", "t", "k"), ("s", "t", "k"), ("r", "u", "k"), ("r", "t", "l"))}
    assert len(ids) == 4
