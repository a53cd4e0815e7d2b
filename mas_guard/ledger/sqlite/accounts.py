"""Accounts as callers hold them, and holds and accounts as they are read from the file."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

from mas_guard.ledger._account import NO_LIMIT, Four, Hold, MemoryAccount
from mas_guard.ledger.base import AccountLost, Breach, Grant, Settlement
from mas_guard.types import UNITS, Limits

# What `state` of a hold means. Up to SENT it is live; LAPSED and CRASHED were ended by their lease.
HELD, SENT, LAPSED, CRASHED, SETTLED, RELEASED = range(6)


class SqliteAccount(MemoryAccount):
    """A handle. Its figures are those of the last transaction that read them, and only that one may use them.

    Attributes:
        id: The account's number in the file.
        waiting: How many asks in the queue name it.
    """

    __slots__ = ("id", "waiting")

    def __init__(self, scope: str, account_id: int) -> None:
        super().__init__(scope, Limits())
        self.id = account_id
        self.waiting = 0

    def load(self, row: tuple[Any, ...]) -> None:
        """Take over a row of `statements.ACCOUNT`."""
        self.waiting = row[2]
        self.limits = Limits(*row[3:7])
        limit = [NO_LIMIT if most is None else most for most in self.limits]
        self.limit = (limit[0], limit[1], limit[2], limit[3])
        self.settled_tokens, self.settled_model_calls, self.settled_tool_calls, self.settled_nano_usd = row[7:11]
        self.room_tokens = limit[0] - row[7] - row[11]
        self.room_model_calls = limit[1] - row[8] - row[12]
        self.room_tool_calls = limit[2] - row[9] - row[13]
        self.room_nano_usd = limit[3] - row[10] - row[14]
        self.sent_model_calls, self.sent_tool_calls = row[15:17]
        self.halted = bool(row[17])
        self.stuck = [0, 0, 0, 0]


class BooksLost(sqlite3.OperationalError, AccountLost):
    """An account that was open is not in the file."""


def lost(scope: str) -> BooksLost:
    """The error for an account that was open and is not in the file: nothing is granted anew there."""
    return BooksLost(
        f"the account {scope!r} is not in the ledger any more: its file was replaced, or nobody used the account for "
        "longer than the retention, or all who had it open have closed it since, as the process did that this one joins or "
        "was forked off"
    )


class StoredHold(NamedTuple):
    """A hold as the file has it.

    Attributes:
        first_open: True where its first account is still open and so remembers it.
        first_ended: How many holds have ended there so far.
    """

    hold_id: str
    first: int
    levels: tuple[int, ...]
    output: int
    amounts: Four
    ends: float
    state: int
    late: bool
    breaches: str
    first_open: bool
    first_ended: int

    @classmethod
    def read(cls, row: tuple[Any, ...]) -> StoredHold:
        """Take over a row of `statements.HOLD`."""
        return cls(
            row[0],
            row[1],
            tuple(map(int, row[2].split())),
            row[3],
            (row[4], row[5], row[6], row[7]),
            row[8],
            row[9],
            bool(row[10]),
            row[11],
            row[12] == 0,
            row[13] or 0,
        )

    @property
    def live(self) -> bool:
        """True until it has ended."""
        return self.state <= SENT

    @property
    def settlement(self) -> Settlement:
        """What its settle answered."""
        return Settlement(late=self.late, breaches=breaches_from(self.hold_id, self.breaches))

    def grant(self) -> Grant:
        """The grant that a repeated ask gets."""
        if self.live:
            return make_grant(self.hold_id, self.output, self.amounts)
        return make_grant(self.hold_id, 0, (0, 0, 0, 0), spent=True)

    def as_hold(self, accounts: tuple[SqliteAccount, ...], stuck: bool) -> Hold:
        """The same as the arithmetic of the queue wants it."""
        hold = Hold()
        hold.hold_id = self.hold_id
        hold.output = self.output
        hold.tokens, hold.model_calls, hold.tool_calls, hold.nano_usd = self.amounts
        hold.accounts = accounts
        hold.ends = self.ends
        hold.sent = self.state == SENT
        hold.spent = not self.live
        hold.stuck = int(stuck)
        return hold


def make_grant(hold_id: str, output: int, amounts: Four, *, spent: bool = False) -> Grant:
    """Build a grant."""
    grant = Grant()
    grant.hold_id = hold_id
    grant.output = output
    grant.tokens, grant.model_calls, grant.tool_calls, grant.nano_usd = amounts
    grant.spent = spent
    return grant


def breaches_text(breaches: tuple[Breach, ...]) -> str:
    """Write breaches as they are kept with their hold."""
    if not breaches:
        return ""
    return json.dumps([[UNITS.index(breach.unit), breach.held, breach.actual] for breach in breaches])


def breaches_from(hold_id: str, text: str) -> tuple[Breach, ...]:
    """Read what `breaches_text` has written."""
    if not text:
        return ()
    return tuple(Breach(hold_id, UNITS[unit], held, actual) for unit, held, actual in json.loads(text))
