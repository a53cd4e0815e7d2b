"""The truth that a ledger is held against: the same rules over plain lists, slow and without a queue.

It decides nothing that a store may decide (whom to serve when); it knows what each hold costs, what each level
has spent, and what would fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

from mas_guard.ledger import Account, Ask, Breach
from mas_guard.types import UNITS, ZERO, Amounts, Limits

State = Literal["live", "settled", "released", "lapsed", "crashed"]


@dataclass(eq=False)
class Level:
    """One account: its limits, what was spent there, and whether it is halted."""

    account: Account
    limits: Limits
    settled: Amounts = ZERO
    crashed: Amounts = ZERO
    breaches: list[Breach] = field(default_factory=list)
    closed: bool = False
    halted: bool = False


@dataclass(eq=False)
class TrueHold:
    """One hold: what it costs on which levels, and how it stands. `settlement` is what its settle answered."""

    hold_id: str
    levels: tuple[Level, ...]
    amounts: Amounts
    ends: float
    sent: bool = False
    state: State = "live"
    settlement: object = None

    @property
    def remembered(self) -> bool:
        """Its first level keeps its id until that is closed."""
        return not self.levels[0].closed


class Truth:
    """All levels and holds. `time` only runs forward: a clock that jumps back stands still here."""

    def __init__(self) -> None:
        self.time = 0.0
        self.levels: dict[Account, Level] = {}
        self.holds: dict[str, TrueHold] = {}

    def live(self) -> list[TrueHold]:
        """Return the holds that have not ended."""
        return [hold for hold in self.holds.values() if hold.state == "live"]

    def held(self, level: Level) -> Amounts:
        """Return what live holds keep on *level*."""
        return _sum(hold.amounts for hold in self.live() if level in hold.levels)

    def take(self, ask: Ask, output: int) -> TrueHold:
        """Note a grant."""
        levels = tuple(self.levels[account] for account in ask.accounts)
        hold = TrueHold(ask.hold_id, levels, cost(ask, output), self.time + ask.lease)
        self.holds[ask.hold_id] = hold
        return hold

    def settle(self, hold: TrueHold, actual: Amounts) -> tuple[Breach, ...]:
        """Book what a hold really used, whatever was booked for it; return its breaches."""
        charged = hold.amounts if hold.state == "crashed" else ZERO
        held = ZERO if hold.state == "lapsed" else hold.amounts
        breaches = tuple(
            Breach(hold.hold_id, unit, had, used)
            for unit, had, used in zip(UNITS, held, actual, strict=True)
            if used > had
        )
        for level in hold.levels:
            level.settled = minus(level.settled.plus(actual), charged)
            level.crashed = minus(level.crashed, charged)
            level.breaches.extend(breaches)
        hold.state = "settled"
        return breaches

    def release(self, hold: TrueHold) -> None:
        """Give everything back, unless the hold was settled before."""
        if hold.state == "crashed":
            for level in hold.levels:
                level.settled = minus(level.settled, hold.amounts)
                level.crashed = minus(level.crashed, hold.amounts)
        if hold.state in ("live", "crashed"):
            hold.state = "released"

    def pass_time(self, seconds: float) -> None:
        """Let the clock run; end what is over."""
        self.time += max(seconds, 0.0)
        for hold in self.live():
            if hold.ends > self.time:
                continue
            hold.state = "crashed" if hold.sent else "lapsed"
            if hold.sent:
                for level in hold.levels:
                    level.settled = level.settled.plus(hold.amounts)
                    level.crashed = level.crashed.plus(hold.amounts)

    def room(self, level: Level) -> tuple[int | None, ...]:
        """Return what is left beside settled and held; `None` without a limit."""
        used = level.settled.plus(self.held(level))
        return tuple(None if most is None else most - had for most, had in zip(level.limits, used, strict=True))

    def short(self, ask: Ask, output: int, back: bool = False) -> set[tuple[Level, int]]:
        """Return where *ask* does not fit with *output*; *back* counts what may come back as room."""
        short = set()
        for account in ask.accounts:
            level = self.levels[account]
            keep = ask.keep if account is ask.accounts[0] else ZERO
            coming = self._coming(level, ask.inside) if back else ZERO
            for unit, room in enumerate(self.room(level)):
                need = cost(ask, output)[unit]
                if need and room is not None and need > room - keep[unit] + coming[unit]:
                    short.add((level, unit))
        return short

    def halts(self, ask: Ask) -> bool:
        """True where a level of *ask* is halted and does not let it through."""
        return not ask.passes_halt and any(self.levels[account].halted for account in ask.accounts)

    def largest(self, ask: Ask, back: bool = False) -> int:
        """Return the largest output that fits, at most `ask.output`; -1 where `least_output` does not fit."""
        for output in range(ask.output, ask.least_output - 1, -1):
            if not self.short(ask, output, back):
                return output
        return -1

    def may_come(self, ask: Ask) -> bool:
        """True where *ask* is short of something that may come back."""
        short = self.short(ask, ask.output)
        return any(self._coming(level, ask.inside)[unit] for level, unit in short)

    def _coming(self, level: Level, inside: Collection[str]) -> Amounts:
        return _sum(
            Amounts(hold.amounts.tokens, 0, 0, hold.amounts.nano_usd) if hold.sent else hold.amounts
            for hold in self.live()
            if level in hold.levels and hold.hold_id not in inside
        )


def cost(ask: Ask, output: int) -> Amounts:
    """Return what *ask* holds with *output*."""
    tokens, nano_usd = ask.per_output.tokens * output, ask.per_output.nano_usd * output
    return ask.base.plus(Amounts(tokens=tokens, nano_usd=nano_usd))


def minus(amounts: Amounts, less: Amounts) -> Amounts:
    """Return the difference, unit by unit."""
    return Amounts(*(mine - theirs for mine, theirs in zip(amounts, less, strict=True)))


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    total = ZERO
    for more in amounts:
        total = total.plus(more)
    return total
