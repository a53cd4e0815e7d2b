"""Settings that are part of the contract and that this version does not have yet: saying so beats ignoring them."""

from __future__ import annotations

import re

_LATER: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), what, instead)
    for pattern, what, instead in (
        (
            r"ONCE_TOOLS|ONCE_STORE|TOOLS__.*__ONCE",
            "tools that happen at most once",
            "leave it out and hand the provider an idempotency key from inside the tool",
        ),
        (
            r"WINDOWS(__.*)?",
            "limits over a day or a tenant",
            'leave it out and put the runs under one budget with mas_guard.group("name", usd=40)',
        ),
    )
)
_STORES = {"sqlite": "SQLite", "redis": "Redis", "rediss": "Redis", "valkey": "Redis"}


def key_that_comes_later(key: str) -> str:
    """What a person who set *key* must know; empty where this version has it or has never heard of it."""
    for pattern, what, instead in _LATER:
        if pattern.fullmatch(key):
            return f"this version does not have {what} yet; {instead}"
    return ""


def store_that_comes_later(url: str) -> str:
    """What a person who set the store *url* must know; empty where the store's registry decides."""
    scheme = url.partition(":")[0].lower().partition("+")[0]
    if scheme in _STORES:
        return (
            f"this version does not have the {_STORES[scheme]} store yet; use memory://, which keeps the budgets of "
            "one process, or a plugin that brings a store under a scheme of its own"
        )
    return ""
