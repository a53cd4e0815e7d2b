"""What a person is shown is all there is, and its fingerprint changes with any of it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mas_guard.reviews import NotShowable, fingerprint_of
from mas_guard.reviews.shown import as_data, canonical


class Colour(enum.Enum):
    RED = "red"


class Order(BaseModel):
    number: str
    day: datetime.date


@dataclasses.dataclass
class Line:
    order: Order
    count: int


ORDER = Order(number="4711", day=datetime.date(2026, 3, 1))
SHOWN: list[tuple[Any, Any]] = [
    (Line(ORDER, 2), {"order": {"number": "4711", "day": "2026-03-01"}, "count": 2}),
    ((1, 2.5, None, True), [1, 2.5, None, True]),
    ({"b", "a"}, ["a", "b"]),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (decimal.Decimal("1.10"), "1.10"),
    (Colour.RED, "red"),
    (b"\xff", "b'\\xff'"),
    (2**20_000, hex(2**20_000)),
    ({1: "number", "1": "text"}, {"1": "number", "1 (str)": "text"}),
]


@pytest.mark.parametrize(("value", "data"), SHOWN, ids=lambda value: str(type(value).__name__))
def test_what_an_app_holds_is_shown_as_data(value: Any, data: Any) -> None:
    assert as_data(value) == data
    assert json.loads(canonical(as_data(value))) == data


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("secret")


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [circle(), deep(), {"x": Unreadable()}], ids=["circle", "deep", "unreadable"])
def test_what_cannot_be_shown_cannot_be_approved(value: Any) -> None:
    with pytest.raises(NotShowable, match="the part that matters") as caught:
        fingerprint_of("tool", "billing", {"arguments": value})
    assert "secret" not in str(caught.value)


def test_order_of_keys_does_not_matter_and_everything_else_does() -> None:
    shown = {"tool": "refund", "arguments": {"a": 1, "b": [1, 2]}}
    same = fingerprint_of("tool", "billing", {"arguments": {"b": (1, 2), "a": 1}, "tool": "refund"})
    assert fingerprint_of("tool", "billing", shown) == same
    others = [
        fingerprint_of("result", "billing", shown),
        fingerprint_of("tool", "triage", shown),
        fingerprint_of("tool", "billing", {**shown, "arguments": {"a": 1, "b": [2, 1]}}),
        fingerprint_of("tool", "billing", {**shown, "arguments": {"a": "1", "b": [1, 2]}}),
        fingerprint_of("tool", "billing", {**shown, "context": None}),
    ]
    assert len({same, *others}) == 6


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(json_like)
def test_any_data_is_shown_and_stays_the_same_when_it_is_stored_and_read_back(value: Any) -> None:
    data = as_data({"result": value})
    assert fingerprint_of("result", "", json.loads(canonical(data))) == fingerprint_of("result", "", {"result": value})
