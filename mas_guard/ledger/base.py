"""What a ledger is: reserve before a call is sent, settle or release after it, on every level or on none.

A ledger keeps integers per unit and level (`Account`). A level is a run, an agent's invocation, a group. Held
units belong to calls under way (holds), settled units are spent. At every instant, at every level and in every
unit, `settled + held <= limit`; the three exceptions are said: a settle above its hold (a `Breach`), `charge`
(spend that was never reserved), and a limit that is set below what is used.

The life of a hold::

    reserve ── dispatch ── settle          the usual way
       │          ├─────── release         proven unsent, or refunded: every unit comes back
       │          └─ lease ends            charged in full and marked crashed; a late settle or release corrects
       ├──────────────── settle | release
       └─ lease ends                       every unit comes back; the id may be reserved anew

Each id ends once: whatever ends it first counts, and repeating an end changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from mas_guard.ledger.answers import AccountLost, Balance, Breach, CrashedHold, Grant, Refusal, Settlement
from mas_guard.types import ZERO, Amounts, Limits

__all__ = [
    "REMEMBERED_BREACHES",
    "REMEMBERED_IDS",
    "UNDISPATCHED_LEASE",
    "Account",
    "AccountLost",
    "Ask",
    "Balance",
    "Breach",
    "CrashedHold",
    "Grant",
    "Ledger",
    "Refusal",
    "Settlement",
    "Ticket",
]

UNDISPATCHED_LEASE = 60.0
"""Seconds that a hold lives before it must be dispatched, unless the ask says otherwise."""

REMEMBERED_IDS = 10_000
"""How many ended holds, and how many charges, an account remembers; older ids are forgotten."""

REMEMBERED_BREACHES = 1_000
"""How many breaches an account lists; older ones leave the list (their spend stays booked)."""


class Account:
    """The handle of one level, made by `Ledger.open` and valid until `Ledger.close`.

    Attributes:
        scope: The level's name, such as `run:7f3a`; unique within its ledger.
    """

    __slots__ = ("scope",)

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.scope!r})"


class Ask:
    """What a call wants to hold, on every one of its accounts. A plain class, because one is made per call.

    Attributes:
        hold_id: Names the hold; asking again with the same id answers the same grant.
        accounts: The levels that pay, the innermost (the run) first; at least one, each once.
        base: What the call costs without its output.
        per_output: What one output token costs, in tokens and nano_usd; zeros where nothing is elastic. Its
            calls are not read: output costs none.
        output: The output tokens wanted.
        least_output: Fewer output tokens than this are of no use. Equal to `output` where nothing is elastic.
        keep: Withheld from `accounts[0]` alone (the owner's share): its limit counts as `limit - keep`.
        lease: Seconds until an undispatched hold comes back.
        inside: Ids of the enclosing calls' holds, which cannot end before this call does.
        passes_halt: True for the one call that a halted account lets through: the owner's concluding turn.
    """

    __slots__ = (
        "accounts", "base", "hold_id", "inside", "keep", "lease", "least_output", "output", "passes_halt", "per_output",
    )  # fmt: skip

    def __init__(
        self,
        hold_id: str,
        accounts: tuple[Account, ...],
        base: Amounts,
        per_output: Amounts = ZERO,
        output: int = 0,
        least_output: int | None = None,
        keep: Amounts = ZERO,
        lease: float = UNDISPATCHED_LEASE,
        inside: frozenset[str] = frozenset(),
        passes_halt: bool = False,
    ) -> None:
        """Keep the fields; `least_output` left out means that the output is not elastic."""
        self.hold_id = hold_id
        self.accounts = accounts
        self.base = base
        self.per_output = per_output
        self.output = output
        self.least_output = output if least_output is None else least_output
        self.keep = keep
        self.lease = lease
        self.inside = inside
        self.passes_halt = passes_halt


class Ticket:
    """A place in the queue. `result` is `None` while it waits and once it left, else a `Grant` or a `Refusal`."""

    __slots__ = ("ask", "result")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.result: Grant | Refusal | None = None


class Ledger(ABC):
    """Accounts, holds and the queue of those who wait. Every method may be called from any thread.

    No method blocks for units. Units and accounts are integers of one store; a store whose server is lost
    raises its driver's error, which the flow turns into `StoreUnavailable`.

    Attributes:
        driver_errors: What its methods raise where the store cannot be reached, or has lost what it knew.
    """

    driver_errors: tuple[type[Exception], ...] = ()

    @abstractmethod
    def open(
        self, scope: str, limits: Limits, *, keep_limits: bool = False, root: str = "", origin: str = ""
    ) -> Account:
        """Return the account named *scope*, made where there is none; what it has spent stays, limits are set.

        Args:
            scope: The account's name.
            limits: Its limits.
            keep_limits: Leave the limits of an account that there is already, as one who joins a run does.
            root: Accounts that pay for one call together must have the same root where a store lies on several servers;
                by default the second part of the scope. Without a meaning elsewhere.
            origin: What `origin` answered where the account was opened first: the store's error is raised where the
                account or its store was lost since, so that nothing is granted anew. Empty asks nothing.
        """

    @abstractmethod
    def origin(self, account: Account) -> str:
        """What another process hands to `open`, to be sure that it joins *account* and not an emptied store."""

    def open_shared(self, scope: str, limits: Limits, *, root: str = "") -> Account:
        """As `open`, for an account that other processes pay from from the start: a window's, a group's."""
        return self.open(scope, limits, root=root)

    def share(self, account: Account) -> None:  # noqa: B027 - most ledgers have nothing to do
        """Say that other processes pay from *account* too, from now on. Matters where a ledger goes on without its store."""

    @abstractmethod
    def set_limits(self, account: Account, limits: Limits) -> None:
        """Set new limits, as a top-up does, and serve those who wait. Raises `ValueError` on a closed account."""

    @abstractmethod
    def halt(self, account: Account, halted: bool = True) -> None:
        """Refuse every further hold on *account*, in every process; with False let them be taken again.

        Live holds go on to their end. Those who wait there get a refusal, and so does every ask but one with
        `passes_halt`, whatever is left. Charges and settles are booked as ever. Raises `ValueError` on a closed account.
        """

    @abstractmethod
    def charge(self, accounts: tuple[Account, ...], amounts: Amounts, charge_id: str) -> None:
        """Book *amounts* on all *accounts* without a hold, past the limit if need be.

        For spend that is a fact already: a resumed run's, a late call's, all of it in observe mode. Repeating
        a *charge_id* on the same first account books nothing. Closed accounts are skipped.
        """

    @abstractmethod
    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold what *ask* wants in full, on all its accounts, or nothing at all.

        Those who wait come first: where somebody waits for a unit of the ask at one of its levels, the answer
        is a `Refusal` with `can_wait`. Only an ask with `inside` passes them, since the calls around it could
        not end before it. Raises `ValueError` without accounts or on a closed one.
        """

    @abstractmethod
    def reserve_fitting(self, ask: Ask) -> Grant | Refusal:
        """Hold the largest output in `least_output..output` that fits at once; for callers who cannot wait.

        Passes those who wait. Raises `ValueError` as `reserve` does.
        """

    @abstractmethod
    def wait(self, ask: Ask, wake: Callable[[], object]) -> Ticket:
        """Queue *ask* in order of arrival and return its ticket.

        *wake* is called exactly once, outside the ledger's lock and in any thread, after `ticket.result` was
        set; that may be before `wait` returns. It is never called after `cancel` has returned a ticket that
        had no result. It must not block; what it raises is logged.

        The result is a grant in full, as soon as it fits. Where even all that can come back would not make
        it fit in full, it is the largest output from `least_output` up that this can reach, once it is
        reached, or a `Refusal` without `can_wait`. So a wait ends at the latest when all holds outside
        `inside` have ended. The queue is served by every settle, release, dispatch, cancel, `set_limits` and
        lease end; for a lease end somebody must call in, so call `sweep` after the seconds it names.
        """

    @abstractmethod
    def cancel(self, ticket: Ticket) -> None:
        """Leave the queue. A grant made meanwhile and not dispatched is released. Idempotent.

        Read `ticket.result` again afterwards: `None` means that nothing is held.
        """

    @abstractmethod
    def dispatch(self, hold_id: str, lease: float) -> bool:
        """Say that the call is being sent, and give it *lease* seconds until it counts as crashed.

        Dispatching again renews the lease. Returns False where the hold has ended: reserve again then.
        """

    @abstractmethod
    def settle(self, hold_id: str, actual: Amounts) -> Settlement:
        """End the hold with what the call really used; the rest comes back. Idempotent by id.

        After a lease end it puts right what was charged or given back then.
        """

    @abstractmethod
    def release(self, hold_id: str) -> None:
        """End the hold of a call that was not sent, or was refunded: all its units come back. Idempotent."""

    @abstractmethod
    def read(self, account: Account) -> Balance:
        """Return how *account* stands, leases that are over ended first. Raises `ValueError` when closed."""

    def spent(self, account: Account) -> tuple[Limits, Amounts]:
        """The limits of *account* and what is settled: for judging how much to ask for, so it may be a moment old."""
        balance = self.read(account)
        return balance.limits, balance.settled

    @abstractmethod
    def sweep(self) -> float | None:
        """End the leases that are over and serve those who wait.

        Returns the seconds after which to call again, or `None` where no lease is running; it may be early. One
        who waits calls it whenever that time has passed without a wake: no thread or timer of the ledger does.
        """

    @abstractmethod
    def close(self, account: Account) -> None:
        """Forget *account* and the ids that it remembers; those who wait on it get a `Refusal`. Idempotent.

        A live hold goes on at its other levels until it ends there: they are paid truthfully.
        """

    # For those who look on. A store that many processes share answers for all of them.

    def balances(self, prefix: str = "") -> Iterator[tuple[str, Balance]]:
        """How every open account stands whose scope begins with *prefix*, without opening it; in no certain order.

        Breaches are left out. Leases that are over are ended first, as `read` does.
        """
        raise NotImplementedError(f"{type(self).__name__} does not list its accounts; it has to define `balances`")

    def crashed_holds(self) -> list[CrashedHold]:
        """The holds that were charged in full because nobody was heard of: `settle` or `release` corrects each.

        Whichever process took them, and from whichever this is asked. They are remembered as ended holds are.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not list crashed holds; it has to define `crashed_holds`"
        )
