"""What a ledger answers: a grant or a refusal, what a settle did, how an account stands, what crashed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mas_guard.types import Amounts, Limits, Unit

if TYPE_CHECKING:
    from mas_guard.ledger.base import Account


@dataclass(frozen=True, slots=True)
class Breach:
    """A call that used more than it held, in one unit. The truth is booked; this says that it was too much."""

    hold_id: str
    unit: Unit
    held: int
    actual: int


@dataclass(slots=True)
class Balance:
    """How one account stands.

    Attributes:
        limits: The ceilings; `None` for a unit without one.
        settled: What is spent, `crashed` included.
        held: What live holds keep.
        crashed: The part of `settled` charged in full for sent calls whose lease ended without a word.
        breaches: The most recent breaches, oldest first, at most `REMEMBERED_BREACHES`.
        halted: True where `halt` refuses further holds.
    """

    limits: Limits
    settled: Amounts
    held: Amounts
    crashed: Amounts
    breaches: tuple[Breach, ...]
    halted: bool = False


class Grant:
    """A hold: `amounts` are kept on every account of the ask until the hold ends. Read only for callers.

    Attributes:
        hold_id: The hold's id.
        output: The output tokens granted; below what was asked only where the ask was elastic.
        tokens, model_calls, tool_calls, nano_usd: What is held, in the units of `Amounts`.
        spent: True once the hold has ended. Where a reserve answers a spent grant, that holds nothing (its
            figures are 0): this id's call was made before, so do not send it again; a new call takes a new id.
    """

    __slots__ = ("hold_id", "model_calls", "nano_usd", "output", "spent", "tokens", "tool_calls")

    hold_id: str
    output: int
    tokens: int
    model_calls: int
    tool_calls: int
    nano_usd: int
    spent: bool

    @property
    def amounts(self) -> Amounts:
        """What is held, as `Amounts`."""
        return Amounts(self.tokens, self.model_calls, self.tool_calls, self.nano_usd)

    def __repr__(self) -> str:
        state = ", spent" if self.spent else ""
        return f"Grant({self.hold_id!r}, output={self.output}, {self.amounts}{state})"


class Refusal:
    """Why nothing is held: the first level and unit that refuse, and their figures apart.

    Attributes:
        account: The level that refuses.
        unit: The unit that is short.
        limit: The level's limit in that unit, `keep` already taken off.
        settled: What is spent there.
        held: What live holds keep there.
        asked: What this ask wanted: in full, or with `least_output` where it took what fits.
        can_wait: True where waiting may end in a grant, because live holds can give back what is missing.
            False where nothing that may come back would change the answer: take what fits, or stop.
        ahead: Others waiting for this unit at this level, who come first; a refusal may have no other reason.
        halted: True where the level is halted: whatever is left there is not given out.
    """

    __slots__ = ("account", "ahead", "asked", "can_wait", "halted", "held", "limit", "settled", "unit")

    def __init__(
        self,
        account: Account,
        unit: Unit,
        limit: int,
        settled: int,
        held: int,
        asked: int,
        can_wait: bool,
        ahead: int = 0,
        halted: bool = False,
    ) -> None:
        self.account = account
        self.unit = unit
        self.limit = limit
        self.settled = settled
        self.held = held
        self.asked = asked
        self.can_wait = can_wait
        self.ahead = ahead
        self.halted = halted

    def __repr__(self) -> str:
        return (
            f"Refusal({self.account.scope!r}, {self.unit}: limit={self.limit}, settled={self.settled}, "
            f"held={self.held}, asked={self.asked}, can_wait={self.can_wait}, ahead={self.ahead})"
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a settle did. Settling again answers what the first settle answered.

    Attributes:
        known: False where the ledger does not know the hold (closed, forgotten) or it was released before:
            nothing was booked.
        late: True where the hold's lease had ended: what was charged or given back then is put right.
        breaches: One for each unit in which the call used more than it held; empty as a rule.
    """

    known: bool = True
    late: bool = False
    breaches: tuple[Breach, ...] = ()

    @property
    def breach(self) -> bool:
        """True where the call used more than it held."""
        return bool(self.breaches)


@dataclass(frozen=True, slots=True)
class CrashedHold:
    """A call that was sent and never heard of again: its lease's end has charged it in full.

    Attributes:
        hold_id: Its id, for `settle` and `release`.
        scopes: The accounts that were charged, the run's first; without those that were forgotten since.
        amounts: What each of them was charged.
    """

    hold_id: str
    scopes: tuple[str, ...]
    amounts: Amounts


class AccountLost(LookupError):
    """The account that an `origin` names, or that was open, is not in this store: nothing is granted anew under its name."""
