"""Which records a URL names."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, unquote, urlsplit

from mas_guard.errors import ConfigError
from mas_guard.records.memory import MemoryRecordStore
from mas_guard.records.store import RETENTION, RecordStore

REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "redis+cluster", "unix", "valkey", "valkeys")

_of_this_process = MemoryRecordStore()


def open_records(
    url: str, *, retention: float = RETENTION, timeout: float = 1.0, setting: str = "STORE"
) -> RecordStore:
    """The records at *url*; nothing is connected or created yet.

    Args:
        url: `memory://`, which is one for the whole process; `sqlite:///path`, relative to the working directory, or
            `sqlite:////path`; `redis://`, `rediss://`, `redis+sentinel://`, `redis+cluster://`, `unix://` or
            `valkey://`.
        retention: Seconds that a record is kept after its last write; `?retention=` of a Redis URL says otherwise.
            In memory the longest that was asked for holds.
        timeout: Seconds that the store may take to answer.
        setting: Which setting named the URL, for the message.

    Raises:
        ConfigError: There is no such store, or what it needs is not installed.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme == "memory":
        _of_this_process.retention = max(_of_this_process.retention, retention)
        return _of_this_process
    if scheme == "sqlite" and rest.startswith("/") and rest.strip("/"):
        from mas_guard.records.sqlite import SqliteRecordStore

        return SqliteRecordStore(os.path.abspath(unquote(rest[1:])), timeout, retention=retention)
    if scheme in REDIS_SCHEMES:
        return _redis(url, retention, timeout, setting)
    raise _refused(
        setting,
        f"{setting}={shown(url)!r} is no store for records. Use sqlite:///path for the processes of one machine, "
        "redis://host:6379 for several, or memory:// for this process alone.",
    )


def _redis(url: str, retention: float, timeout: float, setting: str) -> RecordStore:
    try:
        import redis  # noqa: F401  # only to say what is missing
    except ImportError as missing:
        raise _refused(
            setting,
            f"{setting}={shown(url)!r} needs the package redis, which is not installed: "
            'pip install "mas-guard[redis]".',
        ) from missing
    from mas_guard.records.redis import RedisRecordStore

    own = dict(parse_qsl(urlsplit(url).query)).get("retention")
    try:
        return RedisRecordStore(url, timeout, retention=retention if own is None else float(own))
    except ValueError as error:
        raise _refused(setting, f"{setting}={shown(url)!r} names no server that can be used: {error}") from error


def _refused(setting: str, message: str) -> ConfigError:
    return ConfigError(message, source=setting, key=setting)


def shown(url: str) -> str:
    """*url* without user, password and options."""
    scheme, separator, rest = url.partition("?")[0].partition("://")
    return scheme + separator + rest.rpartition("@")[2]
