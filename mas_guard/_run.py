"""One run: identity, clock, hops and path, owner, budget accounts, and the latch.

A run is one task from intake to outcome. It lives in a context variable, so that everything the app calls
finds it; inner boundaries join it instead of opening their own.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mas_guard import _saved_run
from mas_guard._clock import ActiveClock
from mas_guard._envelope_book import EnvelopeBook
from mas_guard._owner_share import share_of
from mas_guard._run_record import RunRecord
from mas_guard._stop import Stop
from mas_guard.errors import GuardStopped, OwnershipConflict, StoreUnavailable, passing_through
from mas_guard.ledger import Account, Ledger
from mas_guard.types import ZERO, Amounts, Limits, Outcome
from mas_guard.windows import accounts_of, root_of_run, windows_of

if TYPE_CHECKING:
    from mas_guard._engine import Engine
    from mas_guard._group import Group
    from mas_guard.config import Policy

PATH_LENGTH = 64

current_run: ContextVar[Run | None] = ContextVar("mas_guard_run", default=None)
live_runs: weakref.WeakSet[Run] = weakref.WeakSet()

_process = os.urandom(6).hex()
_holds = itertools.count()


def _after_fork() -> None:
    global _process
    _process = os.urandom(6).hex()


os.register_at_fork(after_in_child=_after_fork)


class Run:
    """A run in this process. Fields that matter to a reader are `id`, `name`, `owner`, `hops`, `outcome`."""

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        *,
        name: str = "",
        owner: str = "",
        groups: tuple[Group, ...] = (),
        run_id: str = "",
        thread: str = "",
        tenant: str = "",
        joins: Mapping[str, Any] | None = None,
        root: str = "",
    ) -> None:
        """*joins* is what another process has injected of this very run, where this one takes part in it."""
        self.engine = engine
        self.policy = policy
        self.store = engine.store(policy)
        self.id = run_id or os.urandom(16).hex()
        self.name = name
        self.thread = thread
        self.tenant = tenant
        self.groups = groups
        self.lock = threading.RLock()
        self.started_at = time.time()
        self.clock = ActiveClock(policy.deadline, now=engine.now)
        self.hops = 0
        self.path: list[str] = []
        self.agents: set[str] = set()
        self.notes: list[str] = []
        self.signals: set[type[BaseException]] = set()
        self.rule_state: dict[str, Any] = {}
        self.adapter_state: dict[str, Any] = {}
        self.stop: Stop | None = None
        self.outcome: Outcome | None = None
        self.forked_from = ""
        self.would_stop: set[str] = set()
        self.envelopes = EnvelopeBook()
        self.doubts: list[str] = []  # what validators said of the result, where nobody is there to decide
        self.evidence: list[str] = []  # texts that the result's figures must stand in; none where none is declared
        self.packets: dict[str, str] = {}  # what receivers of handoffs are to be shown with their next model call
        self.task = ""  # what the run was asked for first, as far as a model call showed it
        self._acted: dict[str, int] = {}  # when each agent last began, or asked its model
        self.tick = 0  # counts activations and outputs, to tell which came first
        self.limits = policy.budget.limits
        self.extra_hops = 0
        self.cut_by_cap = False
        self.failed_agents: dict[str, str] = {}  # agents that a limit of their own ended, and its rule
        self.suspended = False
        self.took_input = False  # a human's input resumed it
        self.resumed = False
        self.owner_has_model: Callable[[], bool] = lambda: False
        self.other_agents: Callable[[], bool] = lambda: False
        self._owner = owner or policy.owner or ""
        self.owner_named = bool(self._owner)
        self._known_spent = ZERO
        self._root = root  # of the run that it is within, where it is
        self.brought = joins is not None  # begun by another process: its limits are the ledger's
        self.record = RunRecord(self, self.store)
        self.account = self._open_account(joins)
        self.accounts: tuple[Account, ...] = (self.account, *(group.account for group in groups))
        self.windows = windows_of(self)
        self.outer: Run | None = None
        self.inner_accounts: list[Account] = []
        live_runs.add(self)

    @property
    def ledger(self) -> Ledger:
        """Where this run's budget is kept."""
        return self.store.ledger

    def _open_account(self, joins: Mapping[str, Any] | None) -> Account:
        enforced = self.policy.mode == "enforce"
        scope = f"run:{self.id}" if enforced else f"observed:{self.id}"
        limits = self.policy.budget.limits if enforced else Limits()
        if joins is None or not joins.get("origin") or not self.store.shared:
            # What was brought without an origin may be made up: it must not raise the limits of a run that is there.
            return self.ledger.open(scope, limits, keep_limits=self.brought, root=self.root)
        self.record.shared = self.record.joined = True
        return self.ledger.open(scope, limits, keep_limits=True, root=self.root, origin=str(joins["origin"]))

    @property
    def root(self) -> str:
        """What decides the server of a cluster that keeps this run's books: all that it pays from have the same."""
        return self._root or root_of_run(self.policy, self.tenant, self.groups)

    def open_inner(self, scope: str, limits: Limits) -> Account:
        """Open a budget within this run's, such as an activation's. It is closed when the run is forgotten: a late
        call must still find it."""
        account = self.ledger.open(scope, limits, root=self.root)
        self.inner_accounts.append(account)
        return account

    def go_within(self, outer: Run) -> None:
        """Be part of *outer*: what is spent here is spent there, and no more time is left than there."""
        self.accounts, self.outer = (*self.accounts, outer.account), outer
        left = outer.time_left()
        if left is not None and (self.clock.limit is None or left < self.clock.limit):
            self.clock.limit = left
        if outer.stop is not None and outer.policy.mode == "enforce":
            self.latch(outer.stop.error).abort("the run around it was stopped")

    @property
    def hop_limit(self) -> int | None:
        """The most hops this run may make, top-ups included; `None` for no limit."""
        limit = self.policy.max_hops
        return None if limit is None else limit + self.extra_hops

    @property
    def owner(self) -> str:
        """The one agent accountable for an outcome; empty where nobody can answer."""
        return self._owner

    def set_owner(self, owner: str) -> None:
        """Name the owner; a second, different one is an `OwnershipConflict`."""
        if self._owner and owner != self._owner:
            raise OwnershipConflict(
                f"Run {self.id} has the owner {self._owner!r}; {owner!r} cannot own it too. "
                "Name one owner with MAS_GUARD_OWNER or wrap(…, owner=…)."
            )
        self._owner = owner

    def rename_owner(self, name: str) -> None:
        """The owner is known by another name now: a role whose placeholders were filled in."""
        self._owner = name

    @property
    def owner_can_answer(self) -> bool:
        """True where control can return to an owner that has a model, or to a deciding plugin."""
        return bool(self._owner) and (self.owner_has_model() or self.engine.plugins.has_decide_hook)

    @property
    def keeps_share(self) -> bool:
        """True where part of the budget is kept for the owner's concluding turn."""
        if "owner" not in self.policy.on_limit or not self._owner or not self.owner_has_model():
            return False
        return self.owner_named or self.other_agents()

    def owner_share(self) -> Amounts:
        """What every call but the concluding turn must leave: `OWNER_RESERVE`, and one model call; `ZERO` itself where
        nothing is kept."""
        if not self.keeps_share:
            return ZERO
        return share_of(self.limits, self.policy.owner_reserve)

    def may_be_late(self) -> bool:
        """False while more of the deadline is left than any owner's share: the cheap question first."""
        limit = self.clock.limit
        return limit is not None and limit - self.clock.elapsed <= limit * self.policy.owner_reserve

    def time_left(self, *, concluding: bool = False, keeps_share: bool | None = None) -> float | None:
        """Seconds of active time left; the owner's share of the deadline is set aside for others. *keeps_share* is
        for whoever knows it already."""
        limit = self.clock.limit
        if not limit or concluding:
            return self.clock.left()
        keeps = self.keeps_share if keeps_share is None else keeps_share
        return self.clock.left(limit * self.policy.owner_reserve if keeps else 0.0)

    def next_hold(self) -> str:
        """A fresh hold id; ids survive a fork."""
        return f"{_process}.{next(_holds)}"

    def begin_activation(self, agent: str) -> tuple[int, int]:
        """Count an activation of *agent*: when it begins, and when another agent last did anything."""
        with self.lock:
            self.tick += 1
            others = max((at for name, at in self._acted.items() if name != agent), default=0)
            self._acted[agent] = self.tick
            return self.tick, others

    def acts(self, agent: str) -> None:
        """Count a model call of *agent*."""
        with self.lock:
            self.tick += 1
            self._acted[agent] = self.tick

    def note(self, text: str) -> None:
        """Remember *text* for the outcome's notes, once."""
        with self.lock:
            if text not in self.notes:
                self.notes.append(text)

    def visit(self, agent: str) -> None:
        """Put *agent* on the path, once per activation; a long path keeps its end."""
        with self.lock:
            if not self.path or self.path[-1] != agent:
                self.path.append(agent)
                del self.path[:-PATH_LENGTH]

    def take_hop(self, seen: int) -> bool:
        """Count one hop; False where it was not the next one after *seen*."""
        if self.record.shared:
            return self.record.take_hop(seen)
        with self.lock:
            if self.hops != seen:
                return False
            self.hops += 1
            return True

    def latch(self, error: GuardStopped, *, heard: bool = False, actions: Sequence[str] | None = None) -> Stop:
        """Latch *error* as what ended the run; the first one stays.

        *heard* is for a stop that another process has latched, *actions* for one that leaves less than ON_LIMIT to do.
        """
        with self.lock:
            first = self.stop is None
            if self.stop is None:
                actions, reason = tuple(self.policy.on_limit if actions is None else actions), ""
                if not (self._owner and self.engine.plugins.has_decide_hook):
                    fits = self.keeps_share and self._conclusion_fits()
                    if self.keeps_share and not fits:
                        reason = "nothing is left for the owner's concluding call"
                    if not fits:
                        actions = tuple(action for action in actions if action != "owner")
                error.run = self
                self.stop = Stop(error, actions)
                self.stop.reason = reason
            stop = self.stop
        if first and not heard:
            self.record.stopped()
        return stop

    def _conclusion_fits(self) -> bool:
        """True where something of every limit is left: else control would go to the owner for nothing, and a
        topped-up run would go on from there instead of from where it was stopped."""
        try:
            balances = [self.ledger.read(account) for account in (*self.accounts, *accounts_of(self))]
        except StoreUnavailable:
            return False
        for balance in balances:
            for unit in ("tokens", "model_calls", "nano_usd"):
                limit = getattr(balance.limits, unit)
                if limit is not None and getattr(balance.settled, unit) + getattr(balance.held, unit) >= limit:
                    return False
        return True

    def raised(self, error: GuardStopped | None = None) -> GuardStopped:
        """Return *error* (by default the latched one) in a class that every active framework lets pass."""
        found = error if error is not None else self.stop.error if self.stop is not None else None
        assert found is not None
        signals = tuple(sorted(self.signals, key=lambda signal: signal.__qualname__))
        raised = passing_through(found, signals)
        raised.run = self
        return raised

    def spent(self) -> Amounts:
        """What is settled so far; while the store of a shared run is lost, what was last known of it."""
        try:
            self._known_spent = self.ledger.read(self.account).settled
        except StoreUnavailable:
            self.note("the store was lost when this was read: what was spent may be more")
        return self._known_spent

    def unspent(self) -> Limits:
        """What is left of each limit; `None` where there is none."""
        spent = self.spent()
        return Limits(
            *(None if limit is None else max(0, limit - used) for limit, used in zip(self.limits, spent, strict=True))
        )

    def top_up(
        self,
        *,
        tokens: int = 0,
        model_calls: int = 0,
        tool_calls: int = 0,
        usd: float = 0,
        hops: int = 0,
        seconds: float = 0,
    ) -> None:
        """Raise this run's limits and lift its stop, so that resuming goes on.

        Arguments are what is added: tokens, calls, US dollars, hops, seconds of active time. What has no limit
        stays unlimited; without any argument only the stop is lifted.
        """
        amounts = Amounts(tokens, model_calls, tool_calls, round(usd * 1_000_000_000))
        self.engine.top_up(self, amounts, hops=hops, seconds=seconds)

    def let_go_of_app(self) -> None:
        """Keep no object of the app alive once the run has ended: runs are remembered, apps are not."""
        model, others = self.owner_has_model(), self.other_agents()
        self.owner_has_model = lambda: model
        self.other_agents = lambda: others
        self.adapter_state.clear()
        self.packets.clear()
        self.evidence.clear()
        self.task = ""
        self.envelopes.forget_texts()

    def has_history(self) -> bool:
        """True once the run has done anything that a resume must know of."""
        return bool(self.hops or self.agents or self.stop is not None or any(self.spent()))

    def snapshot(self) -> dict[str, Any]:
        """What a checkpoint must carry for the run to go on elsewhere, versioned."""
        return _saved_run.snapshot(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot; of hops and spend the larger of store and snapshot counts."""
        _saved_run.restore(self, state)

    def fork(self, state: Mapping[str, Any]) -> None:
        """Start from an older checkpoint of the run that *state* was saved by: a new run with that one's hops."""
        _saved_run.fork(self, state)

    def adopt(self, state: Mapping[str, Any], *, human_input: bool) -> None:
        """Become the run that *state* was saved by. Budgets go on; with a human's input, what measures a
        runaway (hops, repetition, deadline) starts anew."""
        _saved_run.adopt(self, state, human_input=human_input)

    def take_account_of(self, run_id: str) -> None:
        """Be the run *run_id* and pay from its account; the one that was opened for this run is not needed."""
        unused = self.account
        self.id = run_id
        self.account = self.ledger.open(f"{unused.scope.split(':', 1)[0]}:{run_id}", self.limits, root=self.root)
        self.accounts = (self.account, *self.accounts[1:])
        self.ledger.close(unused)

    def limits_in_force(self) -> list[Any]:
        """Every limit as it stands now, top-ups included, for comparing with a checkpoint's."""
        return [*self.limits, self.hop_limit, self.clock.limit]


@contextmanager
def within(run: Run) -> Iterator[Run]:
    """Make *run* the current one for a block."""
    token = current_run.set(run)
    try:
        yield run
    finally:
        current_run.reset(token)
