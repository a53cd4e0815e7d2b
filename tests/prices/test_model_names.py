"""Names find their published model, and nothing that merely looks like one."""

from __future__ import annotations

import pytest

from mas_guard.config import policy_of
from mas_guard.prices import model_facts

KNOWN = {
    "gpt-4o": "gpt-4o",
    "GPT-4o": "gpt-4o",
    "openai/gpt-4o": "gpt-4o",
    "openai:gpt-4o-mini": "gpt-4o-mini",
    "azure/gpt-4o": "gpt-4o",
    "gpt-35-turbo": "gpt-3.5-turbo",
    "gpt-4o-2024-08-06": "gpt-4o",
    "gpt-4o-2024-05-13": "gpt-4o-2024-05-13",
    "chatgpt-4o-latest": "chatgpt-4o",
    "o3-2025-04-16": "o3",
    "gpt-5-mini-2025-08-07": "gpt-5-mini",
    "ft:gpt-4o-mini-2024-07-18:org::id": "gpt-4o-mini",
    "claude-3-5-sonnet-latest": "claude-3-5-sonnet",
    "claude-3-5-sonnet-20241022": "claude-3-5-sonnet",
    "claude-3-5-sonnet@20241022": "claude-3-5-sonnet",
    "claude-sonnet-4-20250514": "claude-sonnet-4",
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "claude-3-5-sonnet",
    "us.anthropic.claude-sonnet-4-20250514-v1:0": "claude-sonnet-4",
    "bedrock/eu.anthropic.claude-3-haiku-20240307-v1:0": "claude-3-haiku",
    "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0": "claude-3-haiku",
    "openrouter/anthropic/claude-sonnet-4.5": "claude-sonnet-4-5",
    "models/gemini-2.5-pro": "gemini-2.5-pro",
    "google_genai:gemini-2.5-flash": "gemini-2.5-flash",
    "gemini-2.0-flash-001": "gemini-2.0-flash",
    "publishers/google/models/gemini-2.5-pro": "gemini-2.5-pro",
    "mistral-large-latest": "mistral-large",
    "groq/llama-3.3-70b-versatile": "llama-3.3-70b-versatile",
    "deepseek/deepseek-chat": "deepseek-chat",
}


@pytest.fixture(autouse=True)
def without_other_price_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "genai_prices", None)


@pytest.mark.parametrize("name", KNOWN)
def test_a_name_finds_its_published_model(name: str) -> None:
    facts = model_facts(name, policy_of())
    assert facts.base == KNOWN[name]
    assert facts.name == name
    assert facts.priced
    assert facts.source == "own table as of 2026-11-21"


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o-prod",
        "our-deployment",
        "gpt-4o-audio-preview",
        "claude-3-5-sonnet-tuned",
        "",
        "/",
        "ft:",
        "a/",
    ],
)
def test_a_name_that_only_looks_like_one_is_unknown_and_never_free(name: str) -> None:
    facts = model_facts(name, policy_of())
    assert (facts.base, facts.price, facts.max_output, facts.priced) == ("", None, None, False)
    with pytest.raises(LookupError, match="input_price"):
        facts.input_cost(1_000)


def test_a_fine_tuned_model_costs_its_own_price_and_answers_as_much_as_its_base() -> None:
    tuned, base = (model_facts(name, policy_of()) for name in ("ft:gpt-4o-mini:org::id", "gpt-4o-mini"))
    assert tuned.input_cost(1_000_000) == 2 * base.input_cost(1_000_000)
    assert tuned.max_output == base.max_output == 16_384


def test_a_fine_tuned_model_without_a_listed_price_is_unknown_with_its_bases_limit() -> None:
    facts = model_facts("ft:gpt-5-2025-08-07:org::id", policy_of())
    assert (facts.priced, facts.base, facts.max_output) == (False, "gpt-5", 128_000)
