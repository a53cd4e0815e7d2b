"""Asks and their answers as one process leaves them in the file for another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from mas_guard.ledger.base import Ask, Grant, Refusal, Ticket
from mas_guard.ledger.sqlite.accounts import SqliteAccount, make_grant
from mas_guard.types import Amounts


class SqliteTicket(Ticket):
    """A ticket with its place. `arrival` may change where the file lost it."""

    __slots__ = ("arrival", "wake")

    def __init__(self, ask: Ask, wake: Callable[[], object]) -> None:
        super().__init__(ask)
        self.arrival = 0
        self.wake = wake


class Waiter(NamedTuple):
    """One who waits, in whichever process."""

    arrival: int
    process: int
    ask: Ask


def ask_text(ask: Ask) -> str:
    """Write an ask."""
    fields: list[Any] = [
        ask.hold_id,
        [cast("SqliteAccount", account).id for account in ask.accounts],
        ask.base,
        ask.per_output,
        ask.output,
        ask.least_output,
        ask.keep,
        ask.lease,
        sorted(ask.inside),
        ask.passes_halt,
    ]
    return json.dumps(fields)


def read_ask(text: str, account: Callable[[int], SqliteAccount]) -> Ask:
    """Read what `ask_text` has written; *account* finds the object for an account's number."""
    hold_id, levels, base, per_output, output, least_output, keep, lease, inside, passes_halt = json.loads(text)
    return Ask(
        hold_id,
        tuple(map(account, levels)),
        Amounts(*base),
        Amounts(*per_output),
        output,
        least_output,
        Amounts(*keep),
        lease,
        frozenset(inside),
        passes_halt,
    )


def result_text(result: Grant | Refusal) -> str:
    """Write an answer."""
    if isinstance(result, Grant):
        return json.dumps(["grant", result.hold_id, result.output, result.amounts, result.spent])
    account = cast("SqliteAccount", result.account)
    figures = [result.limit, result.settled, result.held, result.asked, result.can_wait, result.ahead, result.halted]
    return json.dumps(["refusal", account.id, result.unit, *figures])


def read_result(text: str, account: Callable[[int], SqliteAccount]) -> Grant | Refusal:
    """Read what `result_text` has written."""
    kind, *fields = json.loads(text)
    if kind == "grant":
        hold_id, output, amounts, spent = fields
        return make_grant(hold_id, output, tuple(amounts), spent=spent)
    return Refusal(account(fields[0]), *fields[1:])
