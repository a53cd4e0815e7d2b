"""How a value may be written, and what is said about one that is none."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest

from mas_guard.config import SETTINGS, load_policy, policy_of
from mas_guard.errors import ConfigError

READ: list[tuple[str, Any, Any]] = [
    ("DEADLINE", "90s", 90.0),
    ("DEADLINE", "10m", 600.0),
    ("DEADLINE", "1h30m", 5_400.0),
    ("DEADLINE", "1h 30m", 5_400.0),
    ("DEADLINE", "45", 45.0),
    ("DEADLINE", "1.5s", 1.5),
    ("DEADLINE", 7, 7.0),
    ("DEADLINE", timedelta(minutes=2), 120.0),
    ("DEADLINE", "none", None),
    ("DEADLINE", None, None),
    ("RETENTION", "2d", 172_800.0),
    ("STORE_TIMEOUT", "500ms", 0.5),
    ("BUDGET_WAIT", "0", 0.0),
    ("BUDGET__TOKENS", "10_000", 10_000),
    ("BUDGET__TOKENS", "10 000 000", 10_000_000),
    ("BUDGET__TOKENS", 5.0, 5),
    ("BUDGET__TOKENS", "None", None),
    ("BUDGET__USD", "2.50", Decimal("2.50")),
    ("BUDGET__USD", 0.1, Decimal("0.1")),
    ("BUDGET__USD", 2, Decimal(2)),
    ("BUDGET__USD", "0", Decimal(0)),
    ("OWNER_RESERVE", "0.25", 0.25),
    ("ON_LIMIT", "partial, abort", ("partial", "abort")),
    ("ON_LIMIT", ["owner"], ("owner",)),
    ("POLL_TOOLS", "get_status, wait_for,", ("get_status", "wait_for")),
    ("POLL_TOOLS", "", ()),
    ("DISABLE", "*", ("*",)),
    ("MODE", "OBSERVE", "observe"),
    ("REQUIRE_ARMED", "yes", True),
    ("REQUIRE_ARMED", "0", False),
    ("UNKNOWN_PRICE", "15", Decimal(15)),
    ("UNKNOWN_PRICE", "block", "block"),
    ("EVENTS", PurePosixPath("logs/e.jsonl"), "logs/e.jsonl"),
    ("STORE", "mystore://host/1", "mystore://host/1"),
    ("STORE", "sqlite:///mas-guard.db", "sqlite:///mas-guard.db"),
    ("STORE", "redis://host:6379/0", "redis://host:6379/0"),
    ("STORE", "redis+cluster://one:1,two:2", "redis+cluster://one:1,two:2"),
    ("ONCE_STORE", "memory", "memory"),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("DEADLINE", "soon", "a duration such as 90s, 10m, 1h30m"),
    ("DEADLINE", "0", "above zero; none lifts the limit"),
    ("DEADLINE", "-5", "above zero"),
    ("DEADLINE", "", "it is empty; none lifts the limit"),
    ("DEADLINE", True, "a duration"),
    ("DEADLINE", "inf", "a duration"),
    ("RETENTION", "none", "it cannot be none"),
    ("STORE_TIMEOUT", "1m1m", "a duration"),
    ("BUDGET__TOKENS", "many", "a whole number"),
    ("BUDGET__TOKENS", "1.5", "a whole number"),
    ("BUDGET__TOKENS", True, "a whole number"),
    ("BUDGET__TOKENS", "-1", "at least 0; none lifts the limit"),
    ("BUDGET__USD", "2€", "an amount in USD"),
    ("BUDGET__USD", "-0.01", "at least 0"),
    ("BUDGET__USD", "inf", "not infinite"),
    ("BUDGET__USD", "nan", "not infinite"),
    ("MAX_HOPS", "-3", "at least 0"),
    ("OWNER_RESERVE", "1.5", "at least 0 and below 1"),
    ("OWNER_RESERVE", "1", "at least 0 and below 1"),
    ("OWNER_RESERVE", "some", "a fraction between 0 and 1"),
    ("CONFIDENCE_THRESHOLD", "70", "at least 0 and at most 1"),
    ("REPETITION__STOP", "1", "at least 2"),
    ("ON_LIMIT", ",", "at least one of owner, partial, escalate and abort"),
    ("ON_LIMIT", "owner,panic", "'panic' is none of owner, partial, escalate and abort"),
    ("MODE", "offf", "enforce, observe or off"),
    ("MODE", "none", "it cannot be none"),
    ("REQUIRE_ARMED", "maybe", "true or false"),
    ("UNKNOWN_PRICE", "0", "above zero per million tokens, or block"),
    ("UNKNOWN_PRICE", "free", "per million tokens, or block"),
    ("UNKNOWN_MAX_OUTPUT", "0", "at least 1"),
    ("STORE", "memory", "begins with a scheme, such as memory://"),
    ("POLL_TOOLS", 5, "a list of names"),
    ("REVIEW__TIMEOUT", "none", "it cannot be none"),
    ("REVIEW__ON_TIMEOUT", "approve", "it must be reject"),
    ("OWNER", 5, "it must be text"),
]


@pytest.mark.parametrize(("key", "given", "meant"), READ)
def test_a_value_is_read_as_it_is_meant(key: str, given: Any, meant: Any) -> None:
    assert policy_of(**{key.lower(): given}).values[key] == meant


@pytest.mark.parametrize(("key", "given", "said"), REFUSED)
def test_a_wrong_value_is_refused_by_name_with_what_was_given_and_an_example(key: str, given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(**{key.lower(): given})
    message = str(caught.value)
    example = next(setting for setting in SETTINGS if setting.key == key)
    assert key in message
    assert repr(given) in message or str(given) in message
    assert said in message
    assert f"Set it like {example.dotted} = {example.example}" in message
    assert (caught.value.key, caught.value.source) == (key, "code")


def test_the_example_for_a_variable_is_a_variable() -> None:
    with pytest.raises(ConfigError, match="MAS_GUARD_DEADLINE=10m"):
        load_policy(environ={"MAS_GUARD_DEADLINE": "soon"})


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_example_of_the_reference_is_accepted(setting: Any) -> None:
    policy = load_policy(environ={"MAS_GUARD_ONCE_STORE": "memory", setting.variable: setting.example})
    from_it = f"environment variable {setting.variable}"
    assert any(provenance.source == from_it for provenance in policy.provenance.values())


@pytest.mark.parametrize(
    "url",
    [
        "mystore://user:secret@host",
        "redis://:secret@host:6379/0",
        "redis://user:se@secret@host",
        "redis://host?password=secret&db=1",
        "unix:///run/redis.sock?db=1&password=secret",
        "redis+sentinel://host:1,other:2/service?sentinel_password=secret",
    ],
)
def test_a_password_in_an_address_is_never_shown(url: str) -> None:
    policy = policy_of(store=url)
    assert policy.store == url
    assert "secret" not in policy.explain("STORE").value
    with pytest.raises(ConfigError) as caught:
        policy_of(store=url.replace("//", "", 1), review={"store": url, "channel": "queue"})
    assert "secret" not in str(caught.value)
