"""Records of one process, gone with it."""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mas_guard.records.store import RETENTION, Record, RecordStore, written

REMEMBERED_RECORDS = 10_000
"""How many records of one kind a store in memory keeps; the oldest go first."""

_stores: weakref.WeakSet[MemoryRecordStore] = weakref.WeakSet()


class _Kept(NamedTuple):
    text: str
    version: int
    made_at: float
    written_at: float
    until: float


class MemoryRecordStore(RecordStore):
    """Records of this process, gone with it. A forked child goes on with a copy.

    Args:
        retention: Seconds that a record is kept after its last write.
        clock: Seconds since the epoch.
    """

    place = "memory of this process"

    def __init__(self, retention: float = RETENTION, clock: Callable[[], float] = time.time) -> None:
        self.retention = retention
        self._clock = clock
        self._lock = threading.RLock()  # a garbage collection inside of it may settle a run
        self._kinds: dict[str, dict[str, _Kept]] = {}
        _stores.add(self)

    def get(self, kind: str, key: str) -> Record | None:
        """See `RecordStore.get`."""
        with self._lock:
            kept = self._live(kind, key, self._clock())
        return None if kept is None else _read(key, kept)

    def put(
        self,
        kind: str,
        key: str,
        value: Mapping[str, Any],
        *,
        version: int | None = None,
        keep: float | None = None,
        durable: bool = False,
    ) -> Record | None:
        """See `RecordStore.put`."""
        text = written(kind, value)
        with self._lock:
            now = self._clock()
            found = self._live(kind, key, now)
            stands = 0 if found is None else found.version
            if version is not None and version != stands:
                return None
            made = now if found is None else found.made_at
            kept = _Kept(text, stands + 1, made, now, now + (self.retention if keep is None else keep))
            records = self._kinds.setdefault(kind, {})
            records[key] = kept
            while len(records) > REMEMBERED_RECORDS:
                del records[next(iter(records))]
        return _read(key, kept)

    def delete(self, kind: str, key: str, *, version: int | None = None) -> bool:
        """See `RecordStore.delete`."""
        with self._lock:
            found = self._live(kind, key, self._clock())
            if found is None or (version is not None and version != found.version):
                return False
            del self._kinds[kind][key]
            return True

    def scan(self, kind: str, prefix: str = "") -> Iterator[Record]:
        """See `RecordStore.scan`."""
        with self._lock:
            found = [(key, kept.made_at) for key, kept in self._kinds.get(kind, {}).items() if key.startswith(prefix)]
        found.reverse()  # of those made at one instant the last one comes first
        for key, _ in sorted(found, key=lambda pair: pair[1], reverse=True):
            record = self.get(kind, key)
            if record is not None:
                yield record

    def become_another_process(self) -> None:
        """In a forked child, where another thread of its parent may have held the lock."""
        self._lock = threading.RLock()

    def _live(self, kind: str, key: str, now: float) -> _Kept | None:
        kept = self._kinds.get(kind, {}).get(key)
        if kept is not None and kept.until <= now:
            del self._kinds[kind][key]
            return None
        return kept


def _read(key: str, kept: _Kept) -> Record:
    return Record(key, json.loads(kept.text), kept.version, kept.made_at, kept.written_at)


def _after_fork() -> None:
    for store in _stores:
        store.become_another_process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
