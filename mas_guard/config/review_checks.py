"""Settings of reviews that are sound alone and impossible together: nobody could be asked, or nobody could answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mas_guard.config.faults import ENVIRONMENT, conflict, shown
from mas_guard.records.opening import REDIS_SCHEMES

Origin = Callable[[str], str]

_NEEDS_CHANNEL = (("ON_LIMIT", "escalate"), ("UNKNOWN_CONFIDENCE", "review"))


def check_review(values: Mapping[str, Any], origin: Origin) -> None:
    """Raise a `ConfigError` with the line to add where a review is asked for and could not take place."""
    _check_channel(values, origin)
    _check_webhook(values, origin)
    _check_store(values["REVIEW__STORE"], origin("REVIEW__STORE"))


def _check_channel(values: Mapping[str, Any], origin: Origin) -> None:
    if values["REVIEW__CHANNEL"] is not None:
        return
    for key, choice in _NEEDS_CHANNEL:
        given = values[key]
        if given == choice or (isinstance(given, tuple) and choice in given):
            raise conflict(
                key,
                origin(key),
                f"{choice!r} asks a person, and no review channel is configured",
                f"Add {_line('REVIEW__CHANNEL', 'queue', origin(key))}, or leave {choice} out.",
            )


def _check_webhook(values: Mapping[str, Any], origin: Origin) -> None:
    url, source = values["REVIEW__WEBHOOK_URL"], origin("REVIEW__WEBHOOK_URL")
    if url is not None:
        scheme, _, rest = url.partition("://")
        if scheme.lower() not in ("http", "https") or not rest.strip("/"):
            raise conflict(
                "REVIEW__WEBHOOK_URL",
                source,
                f"{shown(url)} is no http or https address",
                "Set it like https://example.org/reviews.",
            )
        if "@" in rest.partition("/")[0]:
            raise conflict(
                "REVIEW__WEBHOOK_URL",
                source,
                "the address holds a user or a password, which logs and proxies would show",
                "Leave them out: REVIEW__WEBHOOK_SECRET signs every message.",
            )
    if values["REVIEW__CHANNEL"] != "webhook":
        return
    for key, example in (
        ("REVIEW__WEBHOOK_URL", "https://example.org/reviews"),
        ("REVIEW__WEBHOOK_SECRET", "…"),
    ):
        if values[key] is None:
            raise conflict(
                "REVIEW__CHANNEL",
                origin("REVIEW__CHANNEL"),
                f"the channel webhook needs {key}, which is not set",
                f"Add {_line(key, example, origin('REVIEW__CHANNEL'))}, or choose another channel.",
            )


def _check_store(url: str, source: str) -> None:
    scheme, _, rest = url.partition(":")
    scheme = scheme.lower()
    if scheme in ("memory", "store", *REDIS_SCHEMES):
        return
    if scheme != "sqlite" or not rest.startswith("///") or not rest.strip("/"):
        raise conflict(
            "REVIEW__STORE",
            source,
            f"{shown(url)} is no store for reviews",
            "Use sqlite:///reviews.db for a file beside the app, sqlite:////var/lib/app/reviews.db for one with an "
            "absolute path, redis://host:6379 for several machines, store:// for the place of STORE, or memory://.",
        )


def _line(key: str, value: str, source: str) -> str:
    """The line that sets *key*, in the way of *source*."""
    if source.startswith(ENVIRONMENT):
        return f"MAS_GUARD_{key}={value}"
    group, _, name = key.lower().partition("__")
    return f'{name} = "{value}" under [{group}] in mas-guard.toml (or MAS_GUARD_{key}={value})'
