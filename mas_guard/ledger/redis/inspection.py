"""What an operator sees of a ledger, from whichever process: how accounts stand, and what was lost.

The server is asked for its keys page by page (`SCAN`): it serves everybody else in between, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from mas_guard.ledger.base import Balance, CrashedHold
from mas_guard.ledger.redis.account import limits_of
from mas_guard.ledger.redis.holds import Holds
from mas_guard.ledger.redis.keys import account_key, books_of, pattern, root_of
from mas_guard.ledger.redis.scripts import Plain
from mas_guard.types import Amounts

_AT_ONCE = b"500"  # keys that the server looks at in one piece

_FIELDS = (
    b"l1", b"l2", b"l3", b"l4", b"r1", b"r2", b"r3", b"r4", b"s1", b"s2", b"s3", b"s4", b"x1", b"x2", b"x3", b"x4",
    b"halted",
)  # fmt: skip
"""In the order of `read.lua`."""

Fields = Sequence[bytes | None]


def balance_of(fields: Fields) -> Balance:
    """What the fields of an account say, its breaches left out."""
    numbers = [field or b"0" for field in fields]
    limits, settled = limits_of(numbers), Amounts(*map(int, numbers[8:12]))
    used = [(most or 0) - int(room) for most, room in zip(limits, numbers[4:8], strict=True)]
    held = Amounts(*(both - spent for both, spent in zip(used, settled, strict=True)))
    return Balance(limits, settled, held, Amounts(*map(int, numbers[12:16])), (), fields[16] is not None)


def balances(ledger: Holds, prefix: str) -> Iterator[tuple[str, Balance]]:
    """Yield each account whose scope begins with *prefix*, once; leases that are over are ended first."""
    swept: set[bytes] = set()
    told: set[bytes] = set()
    exact = account_key(ledger.books(root_of(prefix)), prefix)
    begins = pattern(ledger.prefix, _only_books(ledger), b"account:", prefix)
    for page in chain([[exact]] if prefix else [], _pages(ledger, begins)):
        for books, keys in _by_books(ledger, [key for key in page if key not in told]):
            if books not in swept:
                swept.add(books)
                ledger.end_leases(books)
            found = ledger.exchange.call(books, *(Plain(b"HMGET", key, b"born", *_FIELDS) for key in keys))
            for key, (born, *fields) in zip(keys, found, strict=True):
                if born is not None:
                    told.add(key)
                    yield key.removeprefix(account_key(books, "")).decode(), balance_of(fields)


def crashed_holds(ledger: Holds) -> Iterator[tuple[bytes, CrashedHold]]:
    """Yield each hold that a lease's end has charged and nobody has corrected, and the books that it is in."""
    only = _only_books(ledger)
    for page in [[only]] if only else _pages(ledger, pattern(ledger.prefix, b"", b"leases")):
        for books, _ in _by_books(ledger, page):
            ledger.end_leases(books)
    seen: set[bytes] = set()
    for page in _pages(ledger, pattern(ledger.prefix, only, b"crashed:")):
        for books, keys in _by_books(ledger, [key for key in page if key not in seen]):
            seen.update(keys)
            holds = [key.removeprefix(books + b":crashed:") for key in keys]
            for hold_id, *told in ledger.exchange.call(books, ledger.requests.crashed(books, holds))[0]:
                scopes = tuple(scope.decode() for scope in told[4:])
                yield books, CrashedHold(hold_id.decode(), scopes, Amounts(*told[:4]))


def _only_books(ledger: Holds) -> bytes:
    """The books of a server that has no others; empty in a cluster."""
    return b"" if ledger.servers.many else ledger.books("")


def _pages(ledger: Holds, match: bytes) -> Iterator[list[bytes]]:
    """The keys like *match* on all servers; the server may name one twice."""
    for node in ledger.servers.nodes():
        cursor = b"0"
        while True:
            cursor, keys = ledger.exchange.call(
                b"", Plain(b"SCAN", cursor, b"MATCH", match, b"COUNT", _AT_ONCE), at=node
            )[0]
            yield keys
            if cursor == b"0":
                break


def _by_books(ledger: Holds, keys: list[bytes]) -> list[tuple[bytes, list[bytes]]]:
    """*keys*, each once, by the books that they belong to."""
    found: dict[bytes, list[bytes]] = {}
    for key in dict.fromkeys(keys):
        found.setdefault(books_of(ledger.prefix, key), []).append(key)
    return list(found.items())
