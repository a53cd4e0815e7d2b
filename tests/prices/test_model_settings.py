"""What the settings say about a model stands above every list."""

from __future__ import annotations

from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.prices import Price, model_facts
from mas_guard.types import Usage

PRICED = {"input_price": "1.00", "output_price": "3.00"}


@pytest.fixture(autouse=True)
def without_other_price_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "genai_prices", None)


def test_a_deployment_takes_everything_from_its_base() -> None:
    facts = model_facts("our-deployment", policy_of(models={"our-deployment": {"base": "gpt-4o"}}))
    assert (facts.name, facts.base, facts.max_output) == ("our-deployment", "gpt-4o", 16_384)
    assert facts.input_cost(1_000) == 2_500_000


def test_bases_may_follow_one_another() -> None:
    models = {"a": {"base": "b", "max_output": 100}, "b": {"base": "gpt-4o"}}
    facts = model_facts("a", policy_of(models=models))
    assert (facts.base, facts.max_output) == ("gpt-4o", 100)


def test_a_base_that_leads_back_to_its_own_entry_ends() -> None:
    assert model_facts("gpt-4o", policy_of(models={"gpt-4o": {"base": "openai/gpt-4o"}})).base == "gpt-4o"


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06"])
def test_a_price_in_the_settings_holds_for_every_spelling(name: str) -> None:
    facts = model_facts(name, policy_of(models={"gpt-4o": PRICED}))
    assert facts.price == Price(1_000_000_000, 3_000_000_000, 1_000_000_000, 1_000_000_000)
    assert facts.source == "settings [models.'gpt-4o']"
    assert facts.max_output == 16_384


def test_a_price_in_the_settings_lifts_the_lists_tiers() -> None:
    facts = model_facts("gemini-2.5-pro", policy_of(models={"gemini-2.5-pro": PRICED}))
    assert facts.per_output_nano == 3_000


def test_cached_input_has_the_price_that_was_set_for_it() -> None:
    facts = model_facts("m", policy_of(models={"m": {**PRICED, "cached_price": "0.25"}}))
    assert facts.price is not None
    assert facts.price.cached == 250_000_000


def test_a_price_of_zero_that_the_user_states_is_zero() -> None:
    facts = model_facts("local", policy_of(models={"local": {"input_price": 0, "output_price": 0}}))
    assert facts.priced
    assert facts.input_cost(1_000) == 0


def test_an_unknown_price_is_the_figure_that_stands_for_it() -> None:
    facts = model_facts("mystery", policy_of(unknown_price="15"))
    assert (facts.source, facts.per_output_nano, facts.input_cost(10)) == ("UNKNOWN_PRICE", 15_000, 150_000)
    assert model_facts("gpt-4o", policy_of(unknown_price="15")).per_output_nano == 10_000


def test_facts_are_worked_out_once_per_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of()
    assert model_facts("gpt-4o", policy) is model_facts("gpt-4o", policy)
    assert model_facts("gpt-4o", policy_of(models={"gpt-4o": PRICED})).source.startswith("settings")


def test_made_up_names_do_not_fill_the_memory() -> None:
    policy = policy_of()
    for number in range(2_100):
        model_facts(f"model-{number}", policy)
    remembered: dict[str, Any] = policy.remembered["model facts"]
    assert len(remembered) <= 1_000


def test_usage_of_an_unknown_model_costs_nobody_knows_what() -> None:
    from mas_guard.prices import cost, worst_cost

    facts = model_facts("mystery", policy_of())
    assert cost(facts, Usage(10, 10)) is None
    assert worst_cost(facts, 10, 10) is None
