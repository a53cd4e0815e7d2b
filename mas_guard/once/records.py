"""What is recorded of an effect, and how it changes: begun, then done with its result, or unknown.

Of any number of processes one writes `begun` first, and it alone carries the effect out. That write is durable. Later ones
may be lost with their store: they are kept in memory and written with the next chance, and what stands until then is
`begun`, which lets nobody repeat anything. No argument of the call is in a record; its result is, as it is what a repeated
call is answered with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from mas_guard.once.process import Process, this_process
from mas_guard.records.store import RecordStore

KIND = "once"

LONGEST_RESULT = 20_000
"""Characters of a tool's result that are kept; a longer one is cut, and says so."""

State = Literal["begun", "done", "unknown"]

_owed: WeakKeyDictionary[RecordStore, dict[str, Mapping[str, Any] | None]] = WeakKeyDictionary()
_owed_lock = threading.Lock()


class EffectRecord(NamedTuple):
    """One effect as it was read.

    Attributes:
        state: How far it has come.
        by: The process that began it.
        at: When it was begun, in seconds since the epoch.
        result: The tool's result as text, where it is done.
        how: How it ended, where it is unknown whether it happened.
        review: The review that was opened of it; empty where one is being opened; `None` where there is none.
        version: Of the record, for the next change.
    """

    state: State
    by: Process
    at: float
    result: str
    how: str
    review: str | None
    version: int


class EffectRecords:
    """The records of effects in one store. Its methods raise the store's `driver_errors` where the store is lost.

    Args:
        store: Where they are kept.
        keep: Seconds that a record is kept after its last change: a run that is resumed later no longer finds it.

    Attributes:
        place, driver_errors: The store's.
    """

    def __init__(self, store: RecordStore, keep: float) -> None:
        self._store = store
        self._keep = keep
        self.place = store.place
        self.driver_errors = store.driver_errors

    def begin(self, key: str, tool: str, effect: str, *, version: int = 0) -> int:
        """Record that this process begins the effect; returns the record's version, 0 where another one stands there.

        Args:
            key: The effect's key within the store.
            tool: The tool's name.
            effect: The effect's id.
            version: The version to replace, where a person has decided that it may be carried out once more.
        """
        self.write_owed()
        value = {"state": "begun", "tool": tool, "effect": effect, "by": this_process()._asdict(), "at": time.time()}
        put = self._store.put(KIND, key, value, version=version, keep=self._keep, durable=True)
        return 0 if put is None else put.version

    def read(self, key: str) -> EffectRecord | None:
        """How the effect stands; `None` where nothing is recorded of it."""
        self.write_owed()
        found = self._store.get(KIND, key)
        if found is None:
            return None
        value = found.value
        return EffectRecord(
            value["state"],
            Process.read(value.get("by", {})),
            float(value.get("at", 0.0)),
            str(value.get("result", "")),
            str(value.get("how", "")),
            value.get("review"),
            found.version,
        )

    def give_up(self, key: str, record: EffectRecord, how: str) -> bool:
        """Record that nobody knows any more whether the effect happened; False where the record has changed meanwhile."""
        value = {"state": "unknown", "by": record.by._asdict(), "at": record.at, "how": how}
        return self._store.put(KIND, key, value, version=record.version, keep=self._keep) is not None

    def set_review(self, key: str, record: EffectRecord, review: str | None) -> EffectRecord | None:
        """Record which review asks about the effect; `None` where the record has changed meanwhile."""
        value: dict[str, Any] = {"state": "unknown", "by": record.by._asdict(), "at": record.at, "how": record.how}
        if review is not None:
            value["review"] = review
        put = self._store.put(KIND, key, value, version=record.version, keep=self._keep)
        return None if put is None else record._replace(review=review, version=put.version)

    def settle(self, key: str, record: EffectRecord, result: str) -> bool:
        """Record what a person says that the effect has given; False where the record has changed meanwhile."""
        value = {"state": "done", "by": record.by._asdict(), "at": record.at, "result": cut(result)}
        return self._store.put(KIND, key, value, version=record.version, keep=self._keep) is not None

    def done(self, key: str, result: str) -> None:
        """Record the result of the effect that this process has carried out."""
        self._end(key, {"state": "done", "result": cut(result)})

    def unknown(self, key: str, how: str) -> None:
        """Record that the effect that this process was carrying out ended so that nobody knows whether it happened."""
        self._end(key, {"state": "unknown", "how": how})

    def undone(self, key: str) -> None:
        """Forget the effect that this process was carrying out: nothing has happened."""
        self._end(key, None)

    def _end(self, key: str, value: dict[str, Any] | None) -> None:
        if value is not None:
            value.update(by=this_process()._asdict(), at=time.time())
        with _owed_lock:
            _owed.setdefault(self._store, {})[key] = value
        self.write_owed()

    def write_owed(self) -> None:
        """Write how effects of this process ended, as far as the store did not take it then."""
        if not _owed.get(self._store):
            return
        with _owed_lock:
            owed = _owed.get(self._store, {})
            for key in list(owed):
                value = owed[key]
                if value is None:
                    self._store.delete(KIND, key)
                else:
                    # Whoever carried it out knows best, whatever others made of the record meanwhile.
                    self._store.put(KIND, key, value, keep=self._keep)
                del owed[key]


def cut(result: str) -> str:
    """*result* as it is kept."""
    if len(result) <= LONGEST_RESULT:
        return result
    return f"{result[:LONGEST_RESULT]}\n[mas-guard] cut after {LONGEST_RESULT} of {len(result)} characters"
