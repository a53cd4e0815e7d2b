"""Untouched, every setting is what BEHAVIOUR promises."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from mas_guard.config import SETTINGS, load_policy
from mas_guard.types import Limits

PROMISED = {
    "MODE": "enforce",
    "BUDGET__TOKENS": 10_000_000,
    "BUDGET__MODEL_CALLS": 100,
    "BUDGET__TOOL_CALLS": 200,
    "BUDGET__USD": None,
    "AGENT_BUDGET__TOKENS": None,
    "AGENT_BUDGET__MODEL_CALLS": None,
    "AGENT_BUDGET__TOOL_CALLS": None,
    "AGENT_BUDGET__USD": None,
    "DEADLINE": 1_800.0,
    "STEP_TIMEOUT": None,
    "MAX_HOPS": 12,
    "OWNER": None,
    "OWNER_RESERVE": 0.1,
    "ON_LIMIT": ("owner", "abort"),
    "BUDGET_WAIT": None,
    "RESUME": "continue",
    "OUTSIDE_RUN": "pass",
    "REPETITION__REDIRECT": 3,
    "REPETITION__BLOCK": 4,
    "REPETITION__STOP": 6,
    "POLL_TOOLS": (),
    "ENVELOPES": "infer",
    "HANDOFFS": "infer",
    "CONFIDENCE_THRESHOLD": 0.7,
    "UNKNOWN_CONFIDENCE": "pass",
    "UNKNOWN_PRICE": "block",
    "UNKNOWN_MAX_OUTPUT": 32_768,
    "STORE": "memory://",
    "STORE_TIMEOUT": 1.0,
    "RETENTION": 604_800.0,
    "ON_STORE_ERROR": "local",
    "ON_INTERNAL_ERROR": "open",
    "EVENTS": None,
    "CAPTURE_CONTENT": False,
    "REQUIRE_ARMED": False,
    "STRICT_CONFIG": True,
    "DISABLE": (),
    "TENANT": None,
    "HANDOFF_ON_FAILURE": "say so with the reason, and do not invent a result",
    "REPLAN_MAX": 5,
    "RETRIES__PER_CALL": 2,
    "RETRIES__PER_TASK": 0,
    "REQUIRE_TERMINATION": False,
    "REVIEW__CHANNEL": None,
    "REVIEW__TIMEOUT": 900.0,
    "REVIEW__ON_TIMEOUT": "reject",
    "REVIEW__STORE": "store://",
    "REVIEW__FALLBACK": None,
    "REVIEW__WEBHOOK_URL": None,
    "REVIEW__WEBHOOK_SECRET": None,
    "ONCE_TOOLS": (),
    "ONCE_STORE": None,
}


@pytest.mark.parametrize("key", PROMISED)
def test_a_default_is_the_promised_one(key: str, tmp_path: Path) -> None:
    policy = load_policy(environ={}, directory=tmp_path)
    assert policy.values[key] == PROMISED[key]
    assert policy.explain(key).source == "default"


def test_no_setting_is_missing_from_the_promise() -> None:
    assert {setting.key for setting in SETTINGS if not setting.named} == set(PROMISED)


def test_the_policy_reads_as_attributes(tmp_path: Path) -> None:
    policy = load_policy(environ={}, directory=tmp_path)
    assert policy.budget.limits == Limits(10_000_000, 100, 200, None)
    assert policy.agent_budget.limits == Limits()
    assert (policy.repetition.redirect, policy.repetition.block, policy.repetition.stop) == (3, 4, 6)
    assert policy.poll_tools == policy.disable == frozenset()
    assert policy.windows == policy.once_tools == {}
    assert not policy.unlimited
    assert not policy.warnings


def test_money_becomes_nano_dollars_rounded_down(tmp_path: Path) -> None:
    budget = load_policy({"budget": {"usd": "0.0000000019"}}, environ={}, directory=tmp_path).budget
    assert budget.usd == Decimal("0.0000000019")
    assert budget.limits.nano_usd == 1
