"""The one place where a process keeps budgets and records, chosen by its URL: `STORE`."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

from mas_guard._launched import settings_directory
from mas_guard.errors import ConfigError
from mas_guard.ledger import Account, Ledger, MemoryLedger
from mas_guard.records.memory import MemoryRecordStore
from mas_guard.records.opening import shown
from mas_guard.records.store import RecordStore

if TYPE_CHECKING:
    from mas_guard.config import Policy

Tell = Callable[[str, Mapping[str, Any]], None]
Answer = TypeVar("Answer")
Alter = Callable[[dict[str, Any]], dict[str, Any] | None]

KEPT_FOR_LATER = 1_000
"""Changes of records that wait for the return of a lost store; the oldest are given up."""

logger = logging.getLogger("mas_guard")

SHARED_SCHEMES = ("sqlite", "redis", "rediss", "redis+sentinel", "redis+cluster", "unix", "valkey", "valkeys")


class Store:
    """A ledger and the records beside it.

    Args:
        ledger: Where budgets are kept.
        open_records: Makes the records, when they are first asked for.
        shared: Whether other processes see the same budgets and records.
        place: Where that is, for people, without a password.

    Attributes:
        ledger, shared, place: See above.
        awaited: True where the ledger's calls can be awaited on an event loop.
    """

    def __init__(self, ledger: Ledger, open_records: Callable[[], RecordStore], *, shared: bool, place: str) -> None:
        self.ledger = ledger
        self.shared = shared
        self.place = place
        self.awaited = hasattr(ledger, "reserve_async")
        self._open_records = open_records
        self._records: RecordStore | None = None
        self._lock = threading.Lock()
        self._later: deque[tuple[str, str, Alter]] = deque(maxlen=KEPT_FOR_LATER)

    @property
    def records(self) -> RecordStore:
        """The records, opened at first use."""
        if self._records is None:
            with self._lock:
                if self._records is None:
                    self._records = self._open_records()
        return self._records

    @property
    def reachable(self) -> bool:
        """False while the store is known to be lost: what may be left out is not tried then."""
        return not getattr(self.ledger, "lost", False)

    def quietly(self, do: Callable[[RecordStore], Answer]) -> Answer | None:
        """What *do* answers with the records, or `None` where the store is lost: for what a run can do without."""
        if not self.reachable:
            return None
        try:
            return do(self.records)
        except self.records.driver_errors as error:
            logger.warning("What is kept in %s could not be read or written: %s", self.place, error)
            return None

    def write_later(self, kind: str, key: str, alter: Alter) -> None:
        """Change a record once the store is back: with the next change of any, in order."""
        self._later.append((kind, key, alter))

    def write_what_is_left(self) -> None:
        """Make the changes that were due while the store was lost. Raises the records' own error where it still is."""
        while self._later:
            try:
                kind, key, alter = self._later.popleft()
            except IndexError:
                return
            try:
                self.records.change(kind, key, alter)
            except Exception:
                self._later.appendleft((kind, key, alter))
                raise

    def share(self, account: Account) -> None:
        """Say that other processes pay from *account* too: without the store nothing more is granted on it.

        Raises:
            StoreUnavailable: The store is lost.
        """
        self.ledger.share(account)


def memory_store(ledger: Ledger | None = None, retention: float | None = None) -> Store:
    """The store of this process alone."""
    records = MemoryRecordStore() if retention is None else MemoryRecordStore(retention)
    return Store(
        ledger if ledger is not None else MemoryLedger(), lambda: records, shared=False, place="memory of this process"
    )


def open_store(policy: Policy, factories: Mapping[str, Callable[[str], Ledger]], tell: Tell) -> Store:
    """The store that *policy* names; nothing is connected or created yet.

    Args:
        policy: For STORE, STORE_TIMEOUT, RETENTION and ON_STORE_ERROR.
        factories: What plugins bring, by scheme; they stand above our own.
        tell: Hears of a lost store and of its return.

    Raises:
        ConfigError: No store is known by that scheme, or what it needs is not installed.
    """
    url = policy.store
    scheme = url.partition("://")[0].lower()
    if scheme in factories:
        return memory_store(factories[scheme](url), policy.retention)
    if scheme == "memory":
        return memory_store(retention=policy.retention)
    if scheme not in SHARED_SCHEMES:
        known = ", ".join(sorted({"memory", *SHARED_SCHEMES, *factories}))
        raise ConfigError(
            f"STORE={shown(url)!r} names the store {scheme!r}, which no plugin brings; known: {known}. "
            "Install the package that registers it under mas_guard_stores, or use memory://.",
            source="STORE",
            key="STORE",
        )
    make = _sqlite(url, policy) if scheme == "sqlite" else _redis(url, policy)
    from mas_guard.ledger.standby import StandbyLedger  # lazily: most processes keep their budgets in memory

    ledger = StandbyLedger(make, place=shown(url), on_error=policy.on_store_error, tell=tell)

    def open_records() -> RecordStore:
        from mas_guard.records import open_records as open_at

        return open_at(_absolute(url), retention=policy.retention, timeout=policy.store_timeout)

    return Store(ledger, open_records, shared=True, place=shown(url))


def _sqlite(url: str, policy: Policy) -> Callable[[], Ledger]:
    path = sqlite_path(url)

    def make() -> Ledger:
        from mas_guard.ledger.sqlite import SqliteLedger

        return SqliteLedger(path, timeout=policy.store_timeout, retention=policy.ledger_retention)

    return make


def _redis(url: str, policy: Policy) -> Callable[[], Ledger]:
    try:
        import redis  # noqa: F401  # only to say early what is missing
    except ImportError:
        raise ConfigError(
            f'STORE={shown(url)!r} needs the package redis, which is not installed: pip install "mas-guard[redis]".',
            source="STORE",
            key="STORE",
        ) from None

    def make() -> Ledger:
        from mas_guard.ledger.redis import RedisLedger

        return RedisLedger(url, policy.store_timeout, retention=policy.ledger_retention)

    return make


def sqlite_path(url: str) -> str:
    """The file of a `sqlite:///` URL. A relative one lies where `mas-guard run` was started, else in the working
    directory."""
    rest = url.partition("://")[2]
    if not rest.startswith("/") or not rest.strip("/"):
        raise ConfigError(
            f"STORE={url!r} names no file. Use sqlite:///ledger.db for a file beside the app, "
            "sqlite:////var/lib/app/ledger.db for one with an absolute path.",
            source="STORE",
            key="STORE",
        )
    return str(Path(os.path.abspath(settings_directory(os.environ)), unquote(rest[1:])))


def _absolute(url: str) -> str:
    return f"sqlite:///{quote(sqlite_path(url))}" if url.startswith("sqlite:") else url
