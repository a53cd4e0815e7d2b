"""What the server answers where an ask does not fit, in the terms of the memory ledger, whose arithmetic judges it."""

from __future__ import annotations

from typing import Any, cast

from mas_guard.ledger._account import Hold, MemoryAccount
from mas_guard.ledger._outlook import Outlook, Pair, halting, refusal, turned_away
from mas_guard.ledger.base import Account, Ask, Refusal
from mas_guard.ledger.redis.account import RedisAccount, limits_of
from mas_guard.types import Amounts


class Figures:
    """All levels of an ask at one instant.

    Attributes:
        due: True where leases are over that nobody has ended yet.
        outlook: What the ask meets on them.
    """

    def __init__(self, ask: Ask, reply: list[Any]) -> None:
        accounts = cast("tuple[RedisAccount, ...]", ask.accounts)
        self.due = bool(reply[1])
        levels = reply[2 : 2 + len(accounts)]
        self._accounts = accounts
        self._levels = tuple(_level(account, values) for account, values in zip(accounts, levels, strict=True))
        self._ask = Ask(
            ask.hold_id, self._levels, ask.base, ask.per_output, ask.output, ask.least_output, ask.keep, ask.lease,
            ask.inside, ask.passes_halt,
        )  # fmt: skip
        self._around = {
            hold.hold_id: hold
            for values in reply[2 + len(accounts) :]
            if len(values) > 1
            for hold in [self._hold(values)]
        }
        self.outlook = Outlook(self._ask, self._around.get)

    @property
    def halted(self) -> Refusal | None:
        """The refusal of a level that is halted; `None` where none is, or the ask passes."""
        level = halting(self._ask)
        if level is None:
            return None
        found = turned_away(self._ask, level, halted=True)
        found.account = self._account(level)
        return found

    @property
    def halted_accounts(self) -> list[RedisAccount]:
        """The levels that are halted, whether the ask passes or not."""
        return [account for account, level in zip(self._accounts, self._levels, strict=True) if level.halted]

    @property
    def waiting_helps(self) -> bool:
        """See `Outlook.waiting_helps`."""
        return self.outlook.waiting_helps(self._ask)

    def short(self) -> list[tuple[RedisAccount, int]]:
        """The levels and units in which the full amount does not fit."""
        return [(self._account(level), unit) for level, unit in self.outlook.short]

    def refusal(self, pair: Pair, output: int, can_wait: bool) -> Refusal:
        """Refuse for a level and unit of the outlook."""
        found = refusal(self._ask, pair, output, can_wait)
        found.account = self._account(cast("MemoryAccount", found.account))
        return found

    def refusal_behind(self, account: Account, unit: int, ahead: int) -> Refusal:
        """Refuse because others wait on *account*."""
        level = self._levels[self._accounts.index(cast("RedisAccount", account))]
        found = refusal(self._ask, (level, unit), self._ask.output, True, ahead)
        found.account = account
        return found

    def _account(self, level: MemoryAccount) -> RedisAccount:
        return self._accounts[self._levels.index(level)]

    def _hold(self, values: list[Any]) -> Hold:
        hold = Hold()
        hold.hold_id = values[0].decode()
        hold.sent, hold.stuck, hold.spent = bool(values[1]), values[2], False
        hold.tokens, hold.model_calls, hold.tool_calls, hold.nano_usd = values[3:7]
        held_on = list(zip(values[7::2], values[8::2], strict=True))
        hold.accounts = tuple(
            level
            for account, level in zip(self._accounts, self._levels, strict=True)
            if (account.scope.encode(), account.birth) in held_on
        )
        return hold


def _level(account: RedisAccount, values: list[bytes | None]) -> MemoryAccount:
    numbers = [value or b"0" for value in values]
    limits, settled = limits_of(numbers), Amounts(*map(int, numbers[8:12]))
    account.know(limits, settled)
    level = MemoryAccount(account.scope, limits)
    level.book(Amounts(*((most or 0) - int(room) for most, room in zip(limits, numbers[4:8], strict=True))), settled)
    level.sent_model_calls, level.sent_tool_calls = int(numbers[12]), int(numbers[13])
    level.stuck = [int(number) for number in numbers[14:18]]
    level.halted = numbers[18] != b"0"
    return level
