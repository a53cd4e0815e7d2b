"""One ledger file as several processes use it, played in one process: every call goes to another one of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from mas_guard.ledger import Account, Ask, Balance, CrashedHold, Grant, Ledger, Refusal, Settlement, Ticket
from mas_guard.types import Amounts, Limits


class SharedAccount(Account):
    """One account, with the handle that each process has."""

    __slots__ = ("handles",)

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.handles: list[Account] = []


class ManyProcesses(Ledger):
    """Each call to another ledger of the same store, and everyone who waits looks for answers after it."""

    def __init__(self, make_ledger: Callable[[], Ledger], number: int = 3) -> None:
        self.ledgers = [make_ledger() for _ in range(number)]
        self.driver_errors = self.ledgers[0].driver_errors
        self._accounts: dict[str, SharedAccount] = {}
        self._tickets: list[tuple[Ticket, Ledger]] = []
        self._dice = random.Random(0)

    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        account = self._accounts.setdefault(scope, SharedAccount(scope))
        more = {"keep_limits": keep_limits, "root": root, "origin": origin}
        account.handles = [ledger.open(scope, limits, **more) for ledger in self.ledgers]
        self._all_look()
        return account

    def origin(self, account: Account) -> str:
        number, ledger = self._any()
        return ledger.origin(account.handles[number])

    def halt(self, account: Account, halted: bool = True) -> None:
        number, ledger = self._any()
        ledger.halt(account.handles[number], halted)
        self._all_look()

    def set_limits(self, account: Account, limits: Limits) -> None:
        number, ledger = self._any()
        ledger.set_limits(account.handles[number], limits)
        self._all_look()

    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        number, ledger = self._any()
        ledger.charge(tuple(account.handles[number] for account in accounts), amounts, charge_id)
        self._all_look()

    def reserve(self, ask: Ask) -> Grant | Refusal:
        number, ledger = self._any()
        return self._theirs(ledger.reserve(_of(ask, number)), ask)

    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        number, ledger = self._any()
        return self._theirs(ledger.reserve_fitting(_of(ask, number)), ask)

    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        number, ledger = self._any()
        ticket = ledger.wait(_of(ask, number), wake)
        self._tickets.append((ticket, ledger))
        self._all_look()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        for number, (mine, ledger) in enumerate(self._tickets):
            if mine is ticket:
                ledger.cancel(ticket)
                if ticket.result is None:
                    del self._tickets[number]
                break
        self._all_look()

    def dispatch(self, hold_id: str, lease: float) -> bool:
        sent = self._any()[1].dispatch(hold_id, lease)
        self._all_look()
        return sent

    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        settlement = self._any()[1].settle(hold_id, actual)
        self._all_look()
        return settlement

    def release(self, hold_id: str) -> None:
        self._any()[1].release(hold_id)
        self._all_look()

    def read(self, account: Account) -> Balance:
        number, ledger = self._any()
        balance = ledger.read(account.handles[number])
        self._all_look()
        return balance

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        return self._any()[1].balances(prefix)

    def crashed_holds(self) -> list[CrashedHold]:
        return self._any()[1].crashed_holds()

    def sweep(self) -> float | None:
        self._all_look()
        return self._any()[1].sweep()

    def close(self, account: Account) -> None:
        for ledger, handle in zip(self.ledgers, account.handles, strict=True):
            ledger.close(handle)
        if self._accounts.get(account.scope) is account:
            del self._accounts[account.scope]
        self._all_look()

    def _any(self) -> tuple[int, Ledger]:
        number = self._dice.randrange(len(self.ledgers))
        return number, self.ledgers[number]

    def _all_look(self) -> None:
        if any(ticket.result is None for ticket, _ in self._tickets):
            for ledger in self.ledgers:
                ledger.sweep()

    def _theirs(self, result: Grant | Refusal, ask: Ask) -> Grant | Refusal:
        if isinstance(result, Refusal):
            result.account = next(account for account in ask.accounts if account.scope == result.account.scope)
        self._all_look()
        return result


def _of(ask: Ask, number: int) -> Ask:
    return Ask(
        ask.hold_id,
        tuple(account.handles[number] for account in ask.accounts),
        ask.base,
        ask.per_output,
        ask.output,
        ask.least_output,
        ask.keep,
        ask.lease,
        ask.inside,
        ask.passes_halt,
    )
