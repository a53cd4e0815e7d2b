"""How much of an ask fits now, and how much could ever fit: the arithmetic behind a refusal and a wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from mas_guard.ledger._account import NO_LIMIT, Four, Hold, MemoryAccount
from mas_guard.ledger.base import Ask, Refusal
from mas_guard.types import UNITS, ZERO

Pair = tuple[MemoryAccount, int]
"""A level, and the place of a unit in `UNITS`."""

_ELASTIC = (0, 3)  # tokens and nano_usd: an output token costs no call


def accounts_of(ask: Ask) -> tuple[MemoryAccount, ...]:
    """The ask's accounts as this store's own; raises `ValueError` without any, or where one is closed."""
    accounts = cast("tuple[MemoryAccount, ...]", ask.accounts)
    if not accounts:
        raise ValueError(f"the ask {ask.hold_id!r} names no account; give at least the run's")
    for account in accounts:
        if account.closed:
            raise ValueError(f"the account {account.scope!r} is closed; open it again to reserve on it")
    return accounts


def needed(ask: Ask, output: int) -> Four:
    """What *ask* holds when it gets *output* output tokens."""
    base, more = ask.base, ask.per_output
    return (
        base[0] + more[0] * output,
        base[1],
        base[2],
        base[3] + more[3] * output,
    )


def halting(ask: Ask) -> MemoryAccount | None:
    """The first of the ask's levels that is halted and does not let it through."""
    if ask.passes_halt:
        return None
    return next((level for level in cast("tuple[MemoryAccount, ...]", ask.accounts) if level.halted), None)


class Outlook:
    """What an ask meets on its levels, queues left aside.

    Attributes:
        now: The largest output that fits at once, at most `ask.output`; -1 where not even none fits.
        ever: The largest output once everything that may come back has come back.
        short: The levels and units in which the full amount does not fit now.
        tight: The first of them in which `least_output` does not fit now.
        lacking: The first of them in which `least_output` cannot ever fit.
        moving: True where something that may come back does not itself wait for a queued ask.
    """

    __slots__ = ("ever", "lacking", "moving", "now", "short", "tight")

    def __init__(self, ask: Ask, live_hold: Callable[[str], Hold | None]) -> None:
        output = ask.output
        full = needed(ask, output)
        inside = [hold for hold_id in ask.inside if (hold := live_hold(hold_id)) is not None]
        unmarked = [hold for hold in inside if not hold.stuck]
        self.now = self.ever = output
        self.short: list[Pair] = []
        self.tight: Pair | None = None
        self.lacking: Pair | None = None
        self.moving = False
        keep = ask.keep
        for account in cast("tuple[MemoryAccount, ...]", ask.accounts):
            left = account.room()
            for unit in range(4):
                room = left[unit] - keep[unit]
                if not full[unit] or full[unit] <= room:
                    continue
                self.short.append((account, unit))
                base, more = ask.base[unit], ask.per_output[unit] if unit in _ELASTIC else 0
                returnable = account.returnable(inside)[unit]
                now = _reach(room, base, more, output)
                ever = _reach(room + returnable, base, more, output)
                self.now = min(self.now, now)
                self.ever = min(self.ever, ever)
                if now < ask.least_output and self.tight is None:
                    self.tight = account, unit
                if ever < ask.least_output and self.lacking is None:
                    self.lacking = account, unit
                if account.returnable(unmarked)[unit] > account.stuck[unit]:
                    self.moving = True
            keep = ZERO  # the owner's share is withheld on the first level alone

    def waiting_helps(self, ask: Ask) -> bool:
        """True where an ask that comes first in every queue may get more by waiting.

        Calls inside two live calls may each wait for the other's enclosing hold. So an ask with `inside` does
        not wait where all that may come back waits for such asks itself; the one who would close the ring
        takes what fits or is refused, and the others go on. That is decided level by level: in rare cases of
        several levels an ask is refused that could have waited, but none waits for ever.
        """
        if self.now >= self.ever or self.ever < ask.least_output:
            return False
        return self.moving or not ask.inside


def _reach(room: int, base: int, more: int, output: int) -> int:
    """The largest output, at most *output*, that fits into *room* at *base* and *more* a token; -1 for none."""
    if base + more * output <= room:
        return output
    if base <= room:
        return (room - base) // more
    return -1 if base else 0  # a unit that is not asked for does not refuse, even overdrawn


def refusal(ask: Ask, pair: Pair, output: int, can_wait: bool, ahead: int = 0) -> Refusal:
    """State the figures of *pair* for an ask that wanted *output* output tokens."""
    account, unit = pair
    keep = ask.keep[unit] if account is ask.accounts[0] else 0
    return Refusal(
        account,
        UNITS[unit],
        account.limit[unit] - keep,
        account.settled()[unit],
        account.held()[unit],
        needed(ask, output)[unit],
        can_wait,
        ahead,
    )


def turned_away(ask: Ask, account: MemoryAccount, *, halted: bool) -> Refusal:
    """Refuse *ask* because *account* is closed or *halted*, whatever is left there.

    The figures are those of the first unit that is asked for, one with a limit before one without: where there is none,
    what is used up counts as the limit, because nothing more is given out.
    """
    full = needed(ask, ask.output)
    asked = [unit for unit in range(4) if full[unit]] or [0]
    unit = next((unit for unit in asked if account.limit[unit] != NO_LIMIT), asked[0])
    found = refusal(ask, (account, unit), ask.output, can_wait=False)
    if account.limit[unit] == NO_LIMIT:
        found.limit = found.settled + found.held
    found.halted = halted
    return found
