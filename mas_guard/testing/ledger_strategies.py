"""What the ledger's state machine draws: small figures, so that levels run short and holds collide."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st

from mas_guard.types import ZERO, Amounts, Limits

amounts = st.builds(Amounts, st.integers(0, 20), st.integers(0, 2), st.integers(0, 1), st.integers(0, 20))
limits = st.builds(
    Limits,
    st.none() | st.integers(0, 150),
    st.none() | st.integers(0, 20),
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 250),
)
picks = st.integers(0, 2**16)
fractions = st.sampled_from((0.0, 0.1, 0.5, 1.0))
whiches = st.sampled_from(("live", "live", "lost", "any"))
seldom = st.integers(0, 4).map(lambda number: number == 4)
PATHS = (("one", "group"), ("two", "group"), ("agent", "one", "group"), ("one",), ("agent", "one"))
paths = st.sampled_from(PATHS)


@dataclass(frozen=True)
class Wish:
    """An ask before it is known who can be asked; `nested` picks a live call to be inside of, one time in three."""

    path: tuple[str, ...]
    base: Amounts
    per_output: Amounts
    output: int
    slack: int
    keep: Amounts
    lease: int
    nested: int
    passes_halt: bool


wishes = st.builds(
    Wish,
    path=paths,
    base=amounts,
    per_output=st.builds(Amounts, st.integers(0, 2), st.just(0), st.just(0), st.integers(0, 2)),
    output=st.integers(0, 15),
    slack=st.integers(0, 15),
    keep=st.just(ZERO) | amounts,
    lease=st.integers(1, 60),
    nested=picks,
    passes_halt=seldom,
)
