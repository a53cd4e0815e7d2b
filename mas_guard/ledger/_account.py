"""One level of the memory ledger, and a hold on it.

The figures of the hot path are single slots, unit by unit: a list or a tuple a unit would cost as much again
as the arithmetic. What is rarely touched is kept in lists, in the order of `UNITS`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mas_guard.ledger.base import (
    REMEMBERED_BREACHES,
    REMEMBERED_IDS,
    Account,
    Balance,
    Breach,
    Grant,
)
from mas_guard.types import Amounts, Limits

if TYPE_CHECKING:
    from mas_guard.ledger._queue import Queue

NO_LIMIT = 1 << 100
"""Stands for "no limit", so that the hot path subtracts integers and never asks for `None`."""

Four = tuple[int, int, int, int]


class Hold(Grant):
    """The grant that callers see, with what the ledger needs to end it.

    Attributes:
        accounts: The levels that it is held on.
        ends: The clock's time at which its lease ends.
        sent: True once dispatched. So a hold that its lease ended was charged in full where this is True, and
            given back where it is False.
        stuck: How many waiting asks name it in `inside`: it cannot end before they are answered.
    """

    __slots__ = ("accounts", "ends", "sent", "stuck")

    accounts: tuple[MemoryAccount, ...]
    ends: float
    sent: bool
    stuck: int

    def held(self) -> Four:
        """What it holds, unit by unit."""
        return self.tokens, self.model_calls, self.tool_calls, self.nano_usd

    def returnable(self) -> Four:
        """What may come back of it: a call that was sent stays counted, whatever it turns out to cost."""
        if self.sent:
            return self.tokens, 0, 0, self.nano_usd
        return self.tokens, self.model_calls, self.tool_calls, self.nano_usd


class MemoryAccount(Account):
    """One level's figures.

    Attributes:
        room_tokens, ...: What is left beside settled and held; negative where a limit was passed.
        settled_tokens, ...: What is spent. So held is limit - room - settled.
        sent_model_calls, sent_tool_calls: Calls held by live holds that are dispatched.
        crashed: Of the settled units, those charged for crashed holds.
        stuck: What may come back only after a waiting ask was answered: the sum over stuck live holds.
        ended: The ids of the last holds that ended and had this as first account, oldest first.
        charges: The last charge ids, oldest first.
        queue: Those who wait here; `None` while nobody does. A closed level has one for good, an empty one,
            so that one test keeps both off the fast path; so has a halted one.
        closed: True for good after `close`.
        halted: True where no further holds are taken.
        birth: Tells it from another account of that name.
    """

    __slots__ = (
        "birth", "breaches", "charges", "closed", "crashed", "ended", "halted", "limit", "limits", "queue",
        "room_model_calls", "room_nano_usd", "room_tokens", "room_tool_calls", "sent_model_calls", "sent_tool_calls",
        "settled_model_calls", "settled_nano_usd", "settled_tokens", "settled_tool_calls", "stuck",
    )  # fmt: skip

    def __init__(self, scope: str, limits: Limits, birth: int = 0) -> None:
        super().__init__(scope)
        self.birth = birth
        self.limit: Four = (0, 0, 0, 0)
        self.limits = limits
        self.room_tokens = self.room_model_calls = self.room_tool_calls = self.room_nano_usd = 0
        self.settled_tokens = self.settled_model_calls = 0
        self.settled_tool_calls = self.settled_nano_usd = 0
        self.sent_model_calls = self.sent_tool_calls = 0
        self.crashed = [0, 0, 0, 0]
        self.stuck = [0, 0, 0, 0]
        self.breaches: deque[Breach] = deque(maxlen=REMEMBERED_BREACHES)
        self.ended: deque[str] = deque()
        self.charges: dict[str, None] = {}
        self.queue: Queue | None = None
        self.closed = self.halted = False
        self.set_limits(limits)

    def set_limits(self, limits: Limits) -> None:
        """Take new limits."""
        before = self.limit
        self.limits = limits
        tokens, model_calls, tool_calls, nano_usd = (NO_LIMIT if most is None else most for most in limits)
        self.limit = tokens, model_calls, tool_calls, nano_usd
        self.room_tokens += tokens - before[0]
        self.room_model_calls += model_calls - before[1]
        self.room_tool_calls += tool_calls - before[2]
        self.room_nano_usd += nano_usd - before[3]

    def room(self) -> Four:
        """What is left."""
        return self.room_tokens, self.room_model_calls, self.room_tool_calls, self.room_nano_usd

    def settled(self) -> Four:
        """What is spent."""
        return self.settled_tokens, self.settled_model_calls, self.settled_tool_calls, self.settled_nano_usd

    def held(self) -> Four:
        """What live holds keep."""
        limit = self.limit
        return (
            limit[0] - self.room_tokens - self.settled_tokens,
            limit[1] - self.room_model_calls - self.settled_model_calls,
            limit[2] - self.room_tool_calls - self.settled_tool_calls,
            limit[3] - self.room_nano_usd - self.settled_nano_usd,
        )

    def book(self, used: Iterable[int], settled: Iterable[int]) -> None:
        """Take *used* off the room and add *settled* to what is spent, unit by unit."""
        tokens, model_calls, tool_calls, nano_usd = used
        self.room_tokens -= tokens
        self.room_model_calls -= model_calls
        self.room_tool_calls -= tool_calls
        self.room_nano_usd -= nano_usd
        tokens, model_calls, tool_calls, nano_usd = settled
        self.settled_tokens += tokens
        self.settled_model_calls += model_calls
        self.settled_tool_calls += tool_calls
        self.settled_nano_usd += nano_usd

    def returnable(self, inside: list[Hold]) -> Four:
        """What live holds may give back, those in *inside* left out."""
        tokens, model_calls, tool_calls, nano_usd = self.held()
        model_calls -= self.sent_model_calls
        tool_calls -= self.sent_tool_calls
        for hold in inside:
            for account in hold.accounts:  # a level named twice holds twice
                if account is self:
                    more = hold.returnable()
                    tokens -= more[0]
                    model_calls -= more[1]
                    tool_calls -= more[2]
                    nano_usd -= more[3]
        return tokens, model_calls, tool_calls, nano_usd

    def add_stuck(self, amounts: Four, sign: int) -> None:
        """Count *amounts* in or out of what is stuck."""
        for unit in range(4):
            self.stuck[unit] += sign * amounts[unit]

    def remember_charge(self, charge_id: str) -> bool:
        """Note *charge_id*; False where it was noted before."""
        if charge_id in self.charges:
            return False
        self.charges[charge_id] = None
        if len(self.charges) > REMEMBERED_IDS:
            del self.charges[next(iter(self.charges))]
        return True

    def balance(self) -> Balance:
        """The figures as others see them."""
        settled, held = Amounts(*self.settled()), Amounts(*self.held())
        return Balance(self.limits, settled, held, Amounts(*self.crashed), tuple(self.breaches), self.halted)
