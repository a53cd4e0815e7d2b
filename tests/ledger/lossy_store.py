"""A store in memory whose calls fail as a test says, before or after they were carried out; and a standby over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mas_guard.ledger import (
    Account,
    Ask,
    Balance,
    CrashedHold,
    Grant,
    Ledger,
    MemoryLedger,
    Refusal,
    Settlement,
    Ticket,
)
from mas_guard.ledger.standby import StandbyLedger
from mas_guard.testing.ledger_steps import Clock
from mas_guard.types import Amounts, Limits

BEFORE, AFTER, WELL = "before", "after", "well"


class Unreachable(Exception):
    """The store does not answer."""


class LossyStore(Ledger):
    """A memory ledger behind a wire.

    Attributes:
        fate: Told the name of a call; says whether it fails `BEFORE` or `AFTER` it was carried out, or goes `WELL`.
        calls: The names of all calls that were tried.
        books: What is behind the wire.
    """

    driver_errors = (Unreachable,)

    def __init__(self, clock: Callable[[], float]) -> None:
        self.books = MemoryLedger(clock)
        self.fate: Callable[[str], str] = lambda call: WELL
        self.calls: list[str] = []

    def fail(self, how: str = BEFORE) -> None:
        self.fate = lambda call: how

    def mend(self) -> None:
        self.fate = lambda call: WELL

    def _pass_on(self, name: str, *given: Any, **named: Any) -> Any:
        self.calls.append(name)
        fate = self.fate(name)
        if fate == BEFORE:
            raise Unreachable(f"{name} never arrived")
        answer = getattr(self.books, name)(*given, **named)
        if fate == AFTER:
            raise Unreachable(f"the answer to {name} was lost")
        return answer

    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        return self._pass_on("open", scope, limits, keep_limits=keep_limits, root=root, origin=origin)

    def origin(self, account: Account) -> str:
        return self.books.origin(account)

    def set_limits(self, account: Account, limits: Limits) -> None:
        self._pass_on("set_limits", account, limits)

    def halt(self, account: Account, halted: bool = True) -> None:
        self._pass_on("halt", account, halted)

    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        self._pass_on("charge", accounts, amounts, charge_id)

    def reserve(self, ask: Ask) -> Grant | Refusal:
        return self._pass_on("reserve", ask)

    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        return self._pass_on("reserve_fitting", ask)

    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        self.calls.append("wait")
        fate = self.fate("wait")
        if fate == WELL:
            return self.books.wait(ask, wake)
        if fate == AFTER:
            ticket = self.books.wait(ask, lambda: None)
            if ticket.result is None:  # a grant stays, unheard of; nobody stays in the queue whose ticket is lost
                self.books.cancel(ticket)
        raise Unreachable(f"wait failed {fate} it was carried out")

    def cancel(self, ticket: Ticket) -> None:
        self._pass_on("cancel", ticket)

    def dispatch(self, hold_id: str, lease: float) -> bool:
        return self._pass_on("dispatch", hold_id, lease)

    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        return self._pass_on("settle", hold_id, actual)

    def release(self, hold_id: str) -> None:
        self._pass_on("release", hold_id)

    def read(self, account: Account) -> Balance:
        return self._pass_on("read", account)

    def spent(self, account: Account) -> tuple[Limits, Amounts]:
        return self._pass_on("spent", account)

    def sweep(self) -> float | None:
        return self._pass_on("sweep")

    def close(self, account: Account) -> None:
        self._pass_on("close", account)

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        return self._pass_on("balances", prefix)

    def crashed_holds(self) -> list[CrashedHold]:
        return self._pass_on("crashed_holds")


class Scene:
    """A standby over a lossy store, on a clock that the test moves.

    Attributes:
        told: The events, with their fields.
    """

    def __init__(self, on_error: str = "local", jitter: Callable[[], float] = lambda: 1.0) -> None:
        self.clock = Clock()
        self.store = LossyStore(self.clock)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.ledger = self.another(on_error, jitter)

    def another(self, on_error: str = "local", jitter: Callable[[], float] = lambda: 1.0) -> StandbyLedger:
        """A standby of another process over the same store."""
        return StandbyLedger(
            lambda: self.store,
            place="redis://books",
            on_error=on_error,
            tell=lambda event, fields: self.told.append((event, dict(fields))),
            now=self.clock,
            jitter=jitter,
        )

    def lose(self, how: str = BEFORE) -> None:
        """Let the store fail from now on, and the ledger notice it."""
        self.store.fail(how)
        self.ledger.sweep()
        assert self.ledger.lost

    def bring_back(self) -> None:
        """Let the store answer again, and the ledger notice it, however long it waits for that."""
        self.store.mend()
        self.clock.now += 6
        self.ledger.sweep()
        assert not self.ledger.lost

    def balance(self, scope: str) -> Balance:
        """How an account stands in the store itself."""
        return self.store.books.read(self.store.books._accounts[scope])
