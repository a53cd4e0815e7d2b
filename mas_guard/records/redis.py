"""Records on Redis or Valkey, shared by any number of processes and machines.

A write is one short script, a read one `GET`. All keys of a kind have one hash tag, so they lie on one server::

    mas-guard:{records:<kind>}:record:<key>   version, times and value; expires by itself
    mas-guard:{records:<kind>}:made           the keys by the time they were made, for scans
    mas-guard:{records:<kind>}:until          the same by the time they end: each write forgets a few that are over
    mas-guard:{records:<kind>}:done:<token>   for some seconds, what a write answered: sent again, it answers the same
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from redis.exceptions import RedisError

from mas_guard.ledger.redis.exchange import Exchange, NotAcknowledged
from mas_guard.ledger.redis.scripts import Plain, script
from mas_guard.ledger.redis.servers import own_options, servers, shown
from mas_guard.records.store import RETENTION, Record, RecordStore, as_bytes, from_bytes, written

HOME = "mas_guard.records"

FORGOTTEN_AT_ONCE = b"4"  # names past their time that each write takes out of the index: more than it adds
LOOKED_AT = b"200"  # names that a scan looks at with one script
BYTES_AT_ONCE = b"1000000"  # of records, after which that script answers what it has


class RedisRecordStore(RecordStore):
    """See `RecordStore`. A scan looks through all records of the kind, whatever their keys begin with.

    A durable write returns once *replicas* have acknowledged it; what a server that loses its power still has is a
    matter of its own settings (`appendonly yes`, `appendfsync always`).

    Args:
        url: As the ledger's: `redis://`, `rediss://`, `unix://`, `valkey://`, `redis+sentinel://host:port,…/service`,
            `redis+cluster://host:port,…`; options of ours `?replicas=1&retention=604800&prefix=mas-guard`.
        timeout: Seconds that the server may take to answer, one retry included.
        replicas: How many replicas must acknowledge a durable write.
        retention: Seconds that a record is kept after its last write, unless that says otherwise.
        prefix: Begins every key, so that several fleets may share a server.
        clock: Seconds since the epoch; by default the server's own clock.

    Raises:
        ValueError: The URL is none that can be used.
        redis.exceptions.RedisError: From a call: the server is not reached in time, or refuses. Whether a write that
            raised was carried out is unknown.
    """

    shared = True
    driver_errors: tuple[type[Exception], ...] = (RedisError, OSError)

    def __init__(
        self,
        url: str,
        timeout: float = 1.0,
        *,
        replicas: int | None = None,
        retention: float | None = None,
        prefix: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        options = own_options(url)
        replicas = int(options.get("replicas", 0)) if replicas is None else replicas
        self.place = shown(url)
        self._retention = float(options.get("retention", RETENTION)) if retention is None else retention
        self._prefix = options.get("prefix", "mas-guard") if prefix is None else prefix
        self._clock = clock
        self._exchange = Exchange(servers(url, timeout), timeout, replicas)
        self._remembered = b"%d" % (4_000 * timeout + 1_000)  # milliseconds in which a write may be sent again

    def get(self, kind: str, key: str) -> Record | None:
        """See `RecordStore.get`."""
        books = self._books(kind)
        name = as_bytes(key)
        reply = self._exchange.call(books, Plain(b"GET", books + b":record:" + name))[0]
        return None if reply is None else self._record(name, reply)

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
        kept = self._retention if keep is None else keep
        arguments = (
            *self._beginning(),
            as_bytes(key),
            _expected(version),
            b"%d" % max(0, int(kept * 1000)),
            text.encode(),
            FORGOTTEN_AT_ONCE,
        )
        reply = self._write(kind, "put", arguments, durable)
        if not reply:
            return None
        counted, made_at, written_at = reply.split()
        return Record(key, json.loads(text), int(counted), float(made_at), float(written_at))

    def delete(self, kind: str, key: str, *, version: int | None = None) -> bool:
        """See `RecordStore.delete`."""
        return bool(self._write(kind, "delete", (*self._beginning(), as_bytes(key), _expected(version))))

    def scan(self, kind: str, prefix: str = "") -> Iterator[Record]:
        """See `RecordStore.scan`."""
        books, start = self._books(kind), as_bytes(prefix)
        place: list[bytes] = [b"+inf"]
        while place[0]:
            arguments = (self._now(), place[0], LOOKED_AT, start, BYTES_AT_ONCE, *place[1:])
            last, seen, *found = self._exchange.call(books, script("scan", HOME).call(books, arguments))[0]
            for at in range(0, len(found), 2):
                record = self._record(found[at], found[at + 1])
                if record is not None:
                    yield record
            place = [last, *seen]

    def _write(self, kind: str, name: str, arguments: tuple[bytes, ...], durable: bool = False) -> bytes:
        books = self._books(kind)
        try:
            replies = self._exchange.call(books, script(name, HOME).call(books, arguments), acknowledged=durable)
        except NotAcknowledged as error:
            raise NotAcknowledged(
                f"Fewer than {self._exchange.replicas} replicas have acknowledged a record in time; it stands on the "
                "master. Look whether the replicas are connected, or set replicas=0 to go on without them."
            ) from error
        return cast("bytes", replies[0])

    def _beginning(self) -> tuple[bytes, bytes, bytes]:
        """The clock, and a token that tells this write from all others: sent twice, it is carried out once."""
        return self._now(), os.urandom(8).hex().encode(), self._remembered

    def _books(self, kind: str) -> bytes:
        return f"{self._prefix}:{{records:{kind}}}".encode()

    def _now(self) -> bytes:
        return b"" if self._clock is None else b"%.6f" % self._clock()

    def _record(self, key: bytes, reply: bytes) -> Record | None:
        head, _, text = reply.partition(b"\n")
        version, made_at, written_at, until = head.split()
        if self._clock is not None and float(until) <= self._clock():
            return None  # the server has a clock of its own
        return Record(from_bytes(key), json.loads(text), int(version), float(made_at), float(written_at))


def _expected(version: int | None) -> bytes:
    return b"" if version is None else b"%d" % version
