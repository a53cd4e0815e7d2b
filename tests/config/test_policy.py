"""What a policy answers, and how an inner run's policy narrows it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from mas_guard.config import POLL_ALLOWANCE, load_policy, policy_of
from mas_guard.errors import ConfigError


def test_a_policy_cannot_be_changed() -> None:
    policy = policy_of()
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_hops = 3  # type: ignore[misc]  # that is the test
    with pytest.raises(TypeError):
        policy.values["MAX_HOPS"] = 3  # type: ignore[index]  # that is the test


def test_a_policy_survives_pickling_and_copying() -> None:
    policy = policy_of(budget={"usd": 2}, agents={"a": {"targets": ["b"]}})
    again = pickle.loads(pickle.dumps(policy))
    assert dict(again.values) == dict(policy.values)
    assert again.explain("BUDGET__USD") == policy.explain("BUDGET__USD")
    assert copy.deepcopy({"policy": policy})["policy"] is policy


def test_lifted_limits_are_listed() -> None:
    policy = policy_of(
        max_hops=None,
        deadline="none",
        agents={"a": {"budget": {"usd": None}}},
        tools={"t": {"repeat": "none"}},
    )
    assert policy.unlimited == ("DEADLINE", "MAX_HOPS", "AGENTS__a__BUDGET__USD", "TOOLS__t__REPEAT")
    assert policy.repeat_allowance("t") == 2**63 - 1


def test_an_agent_inherits_what_is_not_set_for_it() -> None:
    policy = policy_of(
        agent_budget={"usd": 1, "tokens": 500},
        step_timeout="60s",
        agents={"a": {"budget": {"usd": 3}}, "b": {"step_timeout": None}},
    )
    assert policy.agent_limits("a")[:1] == (500,)
    assert policy.agent_limits("a").nano_usd == 3_000_000_000
    assert policy.agent_limits("b") == policy.agent_limits("somebody else") == policy.agent_budget.limits
    assert policy.agent_step_timeout("a") == 60.0
    assert policy.agent_step_timeout("b") is None
    assert policy.agent_step_timeout("somebody else") == 60.0


def test_tools_have_the_allowance_that_was_set_for_them() -> None:
    policy = policy_of(poll_tools="wait_for,get_status", tools={"get_status": {"repeat": 50}})
    assert policy.repeat_allowance("get_status") == 50
    assert policy.repeat_allowance("wait_for") == POLL_ALLOWANCE
    assert policy.repeat_allowance("search") is None


@pytest.mark.parametrize(
    ("mode", "own", "effective"),
    [
        ("enforce", "observe", "observe"),
        ("enforce", "off", "off"),
        ("observe", "enforce", "observe"),
        ("off", "observe", "off"),
    ],
)
def test_a_rules_mode_can_only_weaken_the_mode(mode: str, own: str, effective: str) -> None:
    policy = policy_of(mode=mode, rules={"hops": {"mode": own}})
    assert policy.rule_mode("hops") == effective
    assert policy.rule_mode("budget") == mode


@pytest.mark.parametrize("key", ["BUDGET__USD", "budget.usd", "MAS_GUARD_BUDGET__USD", "budget__usd"])
def test_a_key_is_explained_however_it_is_written(key: str) -> None:
    assert policy_of(budget={"usd": 2}).explain(key) == ("2", "code", (("default", "none"),))


def test_durations_are_explained_as_they_are_written() -> None:
    policy = policy_of(deadline=5_400, store_timeout="250ms")
    assert policy.explain("DEADLINE").value == "1h30m"
    assert policy.explain("DEADLINE").beaten == (("default", "30m"),)
    assert policy.explain("STORE_TIMEOUT").value == "250ms"


def test_an_unset_name_is_explained_by_what_it_inherits() -> None:
    assert policy_of(step_timeout="60s").explain("agents.anna.step_timeout") == (
        "1m",
        "code",
        (("default", "none"),),
    )


def test_asking_for_an_unknown_key_says_which_is_near() -> None:
    with pytest.raises(ConfigError, match=r"did you mean max_hops\?"):
        policy_of().explain("MAX_HOP")


NARROWED: list[tuple[dict[str, Any], dict[str, Any], str, Any]] = [
    ({"budget": {"usd": 5}}, {"budget": {"usd": 2}}, "BUDGET__USD", 2),
    ({"budget": {"usd": 2}}, {"budget": {"usd": 5}}, "BUDGET__USD", 2),
    ({"budget": {"usd": 2}}, {"budget": {"usd": None}}, "BUDGET__USD", 2),
    ({}, {"budget": {"usd": 5}}, "BUDGET__USD", 5),
    ({"max_hops": 30}, {}, "MAX_HOPS", 30),
    ({"deadline": None}, {"deadline": "5m"}, "DEADLINE", 300.0),
    ({"mode": "observe"}, {"mode": "enforce"}, "MODE", "enforce"),
    ({"mode": "enforce"}, {"mode": "off"}, "MODE", "enforce"),
    ({"mode": "observe"}, {}, "MODE", "observe"),
    ({}, {"outside_run": "refuse"}, "OUTSIDE_RUN", "refuse"),
    ({}, {"confidence_threshold": 0.9}, "CONFIDENCE_THRESHOLD", 0.9),
    ({}, {"confidence_threshold": 0.2}, "CONFIDENCE_THRESHOLD", 0.7),
    ({}, {"owner": "inner"}, "OWNER", None),
    ({"poll_tools": "a,b"}, {"poll_tools": "b,c"}, "POLL_TOOLS", ("b",)),
    ({}, {"poll_tools": "c"}, "POLL_TOOLS", ()),
    ({}, {"tools": {"t": {"repeat": 1}}}, "TOOLS__t__REPEAT", 1),
    ({"poll_tools": "t"}, {"tools": {"t": {"repeat": 50}}}, "TOOLS__t__REPEAT", 50),
    ({"tools": {"t": {"repeat": 9}}}, {"tools": {"t": {"repeat": 50}}}, "TOOLS__t__REPEAT", 9),
    ({"agents": {"a": {"budget": {"usd": 5}}}}, {"agent_budget": {"usd": 1}}, "AGENTS__a__BUDGET__USD", 1),
    (
        {"agents": {"a": {"targets": ["b", "c"]}}},
        {"agents": {"a": {"targets": ["c", "d"]}}},
        "AGENTS__a__TARGETS",
        ("c",),
    ),
    ({}, {"agents": {"a": {"targets": ["c"]}}}, "AGENTS__a__TARGETS", ("c",)),
    ({}, {"rules": {"hops": {"mode": "off"}}}, "RULES__hops__MODE", "enforce"),
    (
        {"rules": {"hops": {"mode": "off"}}},
        {"rules": {"hops": {"mode": "observe"}}},
        "RULES__hops__MODE",
        "observe",
    ),
    ({"rules": {"hops": {"mode": "observe"}}}, {"mode": "enforce"}, "RULES__hops__MODE", "observe"),
]


@pytest.mark.parametrize(("outer", "inner", "key", "in_force"), NARROWED)
def test_an_inner_policy_only_narrows(outer: dict[str, Any], inner: dict[str, Any], key: str, in_force: Any) -> None:
    narrowed = policy_of(**outer).narrowed_by(policy_of(**inner))
    assert narrowed.values.get(key, "enforce") == in_force


def test_what_an_inner_run_allows_one_name_does_not_widen_what_holds_for_all() -> None:
    outer = policy_of(agent_budget={"usd": 1})
    inner = policy_of(agents={"a": {"budget": {"usd": 5}}}, tools={"t": {"repeat": 50}})
    narrowed = outer.narrowed_by(inner)
    assert narrowed.agent_limits("a").nano_usd == 1_000_000_000
    assert narrowed.repeat_allowance("t") is None


def test_a_narrowed_value_knows_both_runs() -> None:
    narrowed = policy_of(budget={"usd": 5}).narrowed_by(policy_of(budget={"usd": 2}))
    assert narrowed.explain("BUDGET__USD") == (
        "2",
        "code of an inner run",
        (("code", "5"), ("default", "none")),
    )
    assert narrowed.budget.limits.nano_usd == 2_000_000_000


def test_nothing_to_narrow_leaves_the_policy_itself() -> None:
    policy = policy_of(max_hops=30)
    assert policy.narrowed_by(policy_of()) is policy


def test_an_inner_run_does_not_switch_on_what_the_person_on_call_switched_off() -> None:
    outer = load_policy(environ={"MAS_GUARD_MODE": "observe"})
    inner = load_policy({"mode": "enforce"}, environ={})
    assert outer.narrowed_by(inner).mode == "observe"
