"""Small named records that processes share: runs, reviews, effects that must happen once.

A record is a JSON object under a kind and a key. Every write says which version it replaces, so that of any number of
processes one wins and the others look again. A store reads no clock but its own and starts no thread.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

RETENTION = 7 * 86_400.0
"""Seconds that a record is kept after its last write, unless the write says otherwise."""

_KIND = re.compile(r"[a-z][a-z0-9_.-]*")


class Record(NamedTuple):
    """One record as it was read.

    Attributes:
        key: Its name within its kind.
        value: What it says. A copy: changing it changes nothing in the store.
        version: Counts its writes, from 1. A record that was deleted and made anew begins at 1 again.
        made_at: When it was made, in seconds since the epoch, by the store's clock.
        written_at: When it was last written.
    """

    key: str
    value: dict[str, Any]
    version: int
    made_at: float
    written_at: float


class RecordStore(ABC):
    """Keeps records. Every method may be called from any thread, and after a fork.

    A store whose server or file is lost raises one of its `driver_errors`.

    Attributes:
        place: Where it keeps them, for people, without passwords.
        shared: True where other processes see the same records, and they outlive this one.
        driver_errors: What its methods raise where the store is lost.
    """

    place: str = ""
    shared: bool = False
    driver_errors: tuple[type[Exception], ...] = ()

    @abstractmethod
    def get(self, kind: str, key: str) -> Record | None:
        """The record of that name; `None` where there is none, or its time is over."""

    @abstractmethod
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
        """Write a record and return it as it stands then.

        Args:
            kind: Which kind of record, a word in lower case.
            key: Its name within its kind.
            value: What it says; JSON.
            version: The version that it must have; 0 where there must be none. `None` writes in any case. Where it does
                not hold, nothing is written and `None` is returned.
            keep: Seconds from now until it is forgotten; by default the store's retention.
            durable: Return only once it would survive a loss of power (and, where so configured, of the server).

        Raises:
            TypeError: *value* is no JSON. Nothing is written.
            ValueError: *kind* is no such word.
        """

    @abstractmethod
    def delete(self, kind: str, key: str, *, version: int | None = None) -> bool:
        """Forget a record, or only one of that version. True where there was one."""

    @abstractmethod
    def scan(self, kind: str, prefix: str = "") -> Iterator[Record]:
        """The records of a kind whose key begins with *prefix*, the newest made first. Read piece by piece: what is
        written meanwhile may or may not be among them."""

    def change(
        self,
        kind: str,
        key: str,
        alter: Callable[[dict[str, Any]], dict[str, Any] | None],
        *,
        keep: float | None = None,
    ) -> Record | None:
        """Replace a record by what *alter* makes of its value (empty where there is none), until nobody came in between.

        *alter* may be called several times; where it returns `None`, nothing is written and the record is returned as
        it stands.
        """
        while True:
            found = self.get(kind, key)
            altered = alter({} if found is None else found.value)
            if altered is None:
                return found
            written = self.put(kind, key, altered, version=0 if found is None else found.version, keep=keep)
            if written is not None:
                return written


def written(kind: str, value: Mapping[str, Any]) -> str:
    """*value* as JSON, in ASCII: an answer of a model may hold what no database takes, such as half a surrogate pair.

    Raises:
        TypeError: It is no JSON.
        ValueError: *kind* is no word in lower case.
    """
    if _KIND.fullmatch(kind) is None:
        raise ValueError(f"{kind!r} is no kind of record; use a word in lower case, such as runs")
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def as_bytes(key: str) -> bytes:
    """A key as databases take it, whatever it holds; a key that begins with another one still does so."""
    return key.encode("utf-8", "surrogatepass")


def from_bytes(key: bytes) -> str:
    """The key that `as_bytes` wrote."""
    return key.decode("utf-8", "surrogatepass")
