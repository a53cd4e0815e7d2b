"""A text never has more tokens than its bound."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mas_guard.prices import input_bound


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("", 0),
        ("hello", 5),
        ("héllo", 6),
        ("日本語", 9),
        ("🙂", 4),
        ("\ufdfa", 33),  # one ligature of 3 bytes that normalises to 18 letters
        ("\u212b", 3),  # the ångström sign: normalising shortens it, so the raw bytes count
        ("\ud800", 3),  # half a surrogate pair, as careless JSON brings it
    ],
)
def test_the_bound_is_the_larger_of_raw_and_normalised_bytes(text: str, bound: int) -> None:
    assert input_bound(text) == bound


@given(st.text(st.characters()))
def test_the_bound_is_never_below_either_form(text: str) -> None:
    normalised = unicodedata.normalize("NFKC", text)
    for form in (text, normalised):
        assert input_bound(text) >= len(form.encode("utf-8", "surrogatepass"))
