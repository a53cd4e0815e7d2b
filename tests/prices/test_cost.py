"""Costs are exact, rounded up once, and their bound is never below them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mas_guard.config import policy_of
from mas_guard.prices import ModelFacts, Price, Tier, cost, model_facts, worst_cost
from mas_guard.prices.table import TABLE
from mas_guard.types import Usage

POLICY = policy_of()
MINI = model_facts("gpt-4o-mini", POLICY)
SONNET = model_facts("claude-sonnet-4-5", POLICY)


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        (Usage(1_000_000, 0), 150_000_000),
        (Usage(0, 1_000_000), 600_000_000),
        (Usage(1_000_000, 0, cached_tokens=1_000_000), 75_000_000),
        (Usage(1_000, 100, cached_tokens=400), 180_000),
        (Usage(0, 0), 0),
        (Usage(10, 10, cached_tokens=999), 6_750),
        (Usage(10, 10, cost_nano_usd=0), 0),
        (Usage(None, None, cost_nano_usd=7), 7),
    ],
)
def test_usage_costs_what_the_list_says(usage: Usage, nano_usd: int) -> None:
    assert cost(MINI, usage) == nano_usd


@pytest.mark.parametrize("usage", [Usage(), Usage(None, 5), Usage(5, None)])
def test_unknown_usage_has_no_cost_rather_than_none_at_all(usage: Usage) -> None:
    assert cost(MINI, usage) is None


def test_part_of_a_nano_dollar_is_rounded_up_once() -> None:
    facts = ModelFacts("m", price=Price(1, 1, 1, 1))
    assert cost(facts, Usage(1, 1)) == 1
    assert cost(facts, Usage(500_000, 500_001)) == 2
    assert facts.input_cost(1) == facts.per_output_nano == 1


def test_a_long_input_makes_the_whole_call_dearer() -> None:
    assert cost(SONNET, Usage(200_000, 1_000)) == 200_000 * 3_000 + 1_000 * 15_000
    assert cost(SONNET, Usage(200_001, 1_000)) == 200_001 * 6_000 + 1_000 * 22_500


def test_the_bound_counts_input_as_written_to_the_cache_and_output_at_the_dearest_tier() -> None:
    assert SONNET.input_cost(1_000) == 1_000 * 6_000
    assert SONNET.input_cost(200_001) == 200_001 * 12_000
    assert SONNET.per_output_nano == 22_500
    assert worst_cost(SONNET, 1_000, 10) == 1_000 * 6_000 + 10 * 22_500


def test_tokens_written_to_the_cache_cost_their_own_price() -> None:
    assert cost(SONNET, Usage(1_000, 0), written_tokens=1_000) == 1_000 * 6_000
    assert cost(SONNET, Usage(1_000, 0, cached_tokens=1_000), written_tokens=1_000) == 1_000 * 300


def test_a_tier_that_is_cheaper_does_not_lower_the_bound() -> None:
    facts = ModelFacts("m", price=Price(10**9, 10**9, 10**9, 10**9), tiers=(Tier(5, Price(1, 1, 1, 1)),))
    assert facts.input_cost(10) == 10_000
    assert facts.per_output_nano == 1_000


@given(
    st.sampled_from(sorted(TABLE)),
    st.integers(0, 2_000_000),
    st.integers(0, 200_000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
)
def test_no_call_costs_more_than_its_bound(
    name: str, given_input: int, given_output: int, cached: float, written: float, less_in: int, less_out: int
) -> None:
    facts = model_facts(name + (":org::id" if name.startswith("ft:") else ""), POLICY)
    used_in, used_out = max(0, given_input - less_in), max(0, given_output - less_out)
    usage = Usage(used_in, used_out, cached_tokens=int(used_in * cached))
    booked = cost(facts, usage, written_tokens=int(used_in * written))
    bound = worst_cost(facts, given_input, given_output)
    assert booked is not None
    assert bound is not None
    assert booked <= bound


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_line_of_the_table_is_sound(name: str) -> None:
    facts = model_facts(name, POLICY)
    assert facts.price is not None
    assert facts.base == name.removeprefix("ft:")
    assert 0 < facts.price.cached <= facts.price.input <= facts.price.written
    assert facts.price.input <= facts.price.output
    assert facts.max_output is None or 0 < facts.max_output <= (facts.context_window or facts.max_output)
