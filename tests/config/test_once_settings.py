"""Tools that happen at most once, as settings: their keys, where they are remembered, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import load_policy, policy_of
from mas_guard.errors import ConfigError

SQLITE = "sqlite:///mas-guard.db"

REFUSED: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    (
        {"once_tools": "refund"},
        "ONCE_TOOLS",
        ("'refund' happens once", "MAS_GUARD_ONCE_TOOLS=refund:order_id", '[tools."refund"] once = ["order_id"]'),
    ),
    ({"once_tools": "refund:"}, "ONCE_TOOLS", ("MAS_GUARD_ONCE_TOOLS=refund:order_id",)),
    ({"once_tools": "refund:+"}, "ONCE_TOOLS", ("MAS_GUARD_ONCE_TOOLS=refund:order_id",)),
    ({"once_tools": ":order_id"}, "ONCE_TOOLS", ("names no tool", "refund:order_id")),
    ({"once_tools": "refund:a,refund:b"}, "ONCE_TOOLS", ("two keys, refund:a and refund:b",)),
    ({"tools": {"refund": {"once": []}}}, "TOOLS__refund__ONCE", ('[tools."refund"] once = ["order_id"]',)),
    ({"tools": {"refund": {"once": True}}}, "TOOLS__refund__ONCE", ("a list of names", '{"once": ["order_id"]}')),
]


def test_keys_come_from_the_list_and_from_the_tools_table(tmp_path: Path) -> None:
    (tmp_path / "mas-guard.toml").write_text(
        f'store = "{SQLITE}"\n[tools.refund]\nonce = ["order_id"]\nrepeat = 50\n[tools.send_mail]\nonce = "to+subject"\n'
    )
    policy = load_policy(environ={"MAS_GUARD_ONCE_TOOLS": "order:sku+day, mcp:book:id"}, directory=tmp_path)
    assert policy.once_key("refund") == ("order_id",)
    assert policy.once_key("send_mail") == ("to", "subject")
    assert policy.once_key("order") == ("sku", "day")
    assert policy.once_key("mcp:book") == ("id",)
    assert policy.once_key("search") is None
    assert policy.repeat_allowance("refund") == 50
    assert policy.repeat_allowance("send_mail") is None


def test_a_tools_own_key_stands_above_the_list_and_none_takes_it_out() -> None:
    policy = policy_of(
        store=SQLITE,
        once_tools="refund:order_id,send_mail:to",
        tools={"refund": {"once": ["payment_id"]}, "send_mail": {"once": "none", "repeat": 3}},
    )
    assert dict(policy.once_tools) == {"refund": ("payment_id",)}
    assert policy.repeat_allowance("send_mail") == 3


@pytest.mark.parametrize(("overrides", "key", "said"), REFUSED)
def test_a_tool_without_a_key_is_refused_with_the_line_to_add(
    overrides: dict[str, Any], key: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(store=SQLITE, **overrides)
    assert [part for part in said if part not in str(caught.value)] == []
    assert (caught.value.key, caught.value.source) == (key, "code")


@pytest.mark.parametrize("store", ["memory://", "mystore://user:secret@host"])
def test_a_store_that_forgets_is_refused_unless_one_process_is_said_to_be_enough(store: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of(store=store, once_tools="refund:order_id")
    message = str(caught.value)
    assert message.startswith("ONCE_TOOLS from code: 'refund' may happen once")
    assert 'store = "sqlite:///mas-guard.db"' in message
    assert 'once_store = "memory"' in message
    assert "secret" not in message
    assert policy_of(store=store, once_store="memory", once_tools="refund:order_id").once_key("refund")


@pytest.mark.parametrize("store", [SQLITE, "redis://host", "redis+cluster://one:1,two:2", "valkey://host"])
def test_a_store_that_outlives_the_process_is_enough(store: str) -> None:
    assert policy_of(store=store, tools={"refund": {"once": ["order_id"]}}).once_key("refund") == ("order_id",)


def test_the_line_to_add_is_a_variable_where_variables_are_used() -> None:
    with pytest.raises(ConfigError, match="Add MAS_GUARD_STORE=sqlite:///mas-guard.db, .* MAS_GUARD_ONCE_STORE=memory"):
        load_policy(environ={"MAS_GUARD_TOOLS": '{"refund": {"once": ["order_id"]}}'})


def test_an_inner_run_adds_tools_and_changes_no_key() -> None:
    outer = policy_of(store=SQLITE, once_tools="refund:order_id", tools={"pay": {"once": ["id"]}})
    inner = policy_of(
        store=SQLITE,
        once_tools="refund:reason,send_mail:to",
        tools={"refund": {"once": "none"}, "pay": {"once": ["other"]}, "book": {"once": ["room"]}},
    )
    narrowed = outer.narrowed_by(inner)
    assert dict(narrowed.once_tools) == {
        "refund": ("order_id",),
        "send_mail": ("to",),
        "pay": ("id",),
        "book": ("room",),
    }
