"""The simulation's own books: what was sent, what the provider billed, and what the guard should have charged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mas_guard._budget import DISPATCHED_LEASE
from mas_guard._live_call import LiveCall
from mas_guard._run import Run
from mas_guard._step_scope import StepScope, current_step
from mas_guard._time_left import seconds_left
from mas_guard.prices import cost, model_facts
from mas_guard.types import Amounts, Call, ModelCall, ToolCall, Usage

if TYPE_CHECKING:
    from tests.simulation.world import World


class Books:
    """Kept apart from the guard's, so that the two can be compared."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.charged: dict[str, Amounts] = defaultdict(Amounts)
        self.sent: dict[str, int] = defaultdict(int)
        self.concluding: dict[str, int] = defaultdict(int)
        self.hops: dict[str, int] = defaultdict(int)
        self.events: list[str] = []

    # -- sending ---------------------------------------------------------------------------------------

    def send(self, live: LiveCall) -> None:
        """*live* leaves now: assert that it may."""
        run, call = live.run, live.call
        concluding = isinstance(call, ModelCall) and call.concluding
        self.events.append(f"{self._world.clock.now:.2f} {run.id[:4]} sends {call.kind} for {call.agent}")
        assert run.stop is None or concluding, f"sent after the latch: {call}"
        left = seconds_left(run, current_step.get(), concluding)
        assert left is None or left > 0, f"sent after the deadline: {call}"
        if concluding:
            self.concluding[run.id] += 1
            assert self.concluding[run.id] == 1, "two concluding calls"
            # Or an agent that the owner delegates to, in an activation that began once control was back with it.
            acting = {scope.agent for scope in _around(current_step.get()) if scope.concluding}
            assert run.owner in acting, f"{call.agent} made the owner's concluding call"
        assert live.booking is not None
        assert self._world.ledger.dispatch(live.booking.hold_id, DISPATCHED_LEASE), "sent without a live hold"
        if not concluding:
            self._check_owners_share(run)
        if isinstance(call, ModelCall):
            self.count_requests(live, call.requests)

    def count_requests(self, live: LiveCall, requests: int) -> None:
        """Assert that so many more requests are within the run's limit of model calls, less the owner's one."""
        run = live.run
        self.sent[run.id] += requests
        if run.limits.model_calls is not None:
            limit = run.limits.model_calls
            if not (isinstance(live.call, ModelCall) and live.call.concluding):
                limit -= run.owner_share().model_calls
            assert self.sent[run.id] <= limit, f"{self.sent[run.id]} of {limit} model calls sent"

    def _check_owners_share(self, run: Run) -> None:
        balance = self._world.ledger.read(run.account)
        if not self._world.provider_keeps_caps:
            return
        for unit, limit, settled, held, kept in zip(
            Amounts._fields, balance.limits, balance.settled, balance.held, run.owner_share(), strict=True
        ):
            assert limit is None or settled + held <= limit - kept, f"the owner's {kept} {unit} are gone"

    # -- billing ---------------------------------------------------------------------------------------

    def largest_input(self, call: ModelCall, before_notes: int) -> int:
        """The tokens that the request can come to: its own and what the guard added, one byte a token."""
        return before_notes + sum(len(note.encode()) for note in call.notes) * call.requests

    def largest_output(self, call: ModelCall, run: Run) -> int:
        """The most tokens that a provider which keeps to the request's cap answers with."""
        facts = model_facts(call.model, run.policy)
        maximum = facts.max_output if facts.max_output is not None else run.policy.unknown_max_output
        caps = [cap for cap in (call.output_cap, call.max_output, maximum) if cap is not None]
        return min(caps) * call.choices * call.requests

    def bill(self, live: LiveCall, usage: Usage | None, billed: Amounts) -> None:
        """The provider bills *billed* and says *usage*; `None` where it does not say."""
        run, call = live.run, live.call
        assert live.booking is not None
        held = live.booking.amounts
        if isinstance(call, ToolCall):
            charge = Amounts(tool_calls=1)
        elif usage is not None and usage.known:
            tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            nano = cost(model_facts(call.model, run.policy), usage)
            charge = Amounts(tokens, call.requests, 0, held.nano_usd if nano is None else nano)
        else:
            charge = Amounts(held.tokens, call.requests, 0, held.nano_usd)
        if self._world.provider_keeps_caps:
            for unit, most, actual in zip(Amounts._fields, held, billed, strict=True):
                assert actual <= most, f"billed {actual} {unit}, held {most}: {call}"
        self.charge(run, charge)

    def charge(self, run: Run, amounts: Amounts) -> None:
        """Expect the guard to have booked *amounts*."""
        self.charged[run.id] = self.charged[run.id].plus(amounts)

    def price(self, run: Run, call: Call, usage: Usage) -> int:
        """What the provider bills for *usage*."""
        assert isinstance(call, ModelCall)
        return cost(model_facts(call.model, run.policy), usage) or 0

    # -- the end ---------------------------------------------------------------------------------------

    def check_at_the_end(self) -> None:
        """Assert that nothing is held, every run has an outcome, and both books say the same."""
        world = self._world
        world.check_ledger()
        for account in world.accounts():
            held = world.ledger.read(account).held
            assert not any(held), f"{account.scope} still holds {held}"
        for run in world.runs:
            assert run.outcome is not None, "a run without an outcome"
            assert run.spent() == self.charged[run.id], f"booked {run.spent()}, billed {self.charged[run.id]}"
            hops, limit = self.hops[run.id], run.hop_limit
            assert hops == run.hops and (limit is None or hops <= limit), f"{hops} of {limit} hops"
            self._check_outcome(run)
        for group in world.groups:
            members = [run for run in world.runs if group in run.groups]
            total = Amounts()
            for run in members:
                total = total.plus(self.charged[run.id])
            assert group.spent == total, f"{group.name}: booked {group.spent}, billed {total}"
            assert len(group.outcomes) == len(members)
        faults = world.engine.plugins.errors
        assert faults.count == 0, f"{faults.count} internal errors"

    def _check_outcome(self, run: Run) -> None:
        outcome: Any = run.outcome
        stop = run.stop
        if stop is None or stop.error.outcome is None:  # or latched by a call that outlived the run
            assert outcome.rule == "" or outcome.status == "partial", outcome
            return
        assert outcome.rule == stop.error.rule and outcome.reason, outcome
        if outcome.status == "partial" and outcome.envelope.result == "the owner's conclusion":
            assert self.concluding[run.id] == 1
        assert outcome.status in ("partial", "aborted"), outcome


def _around(scope: StepScope | None) -> Iterator[StepScope]:
    while scope is not None:
        yield scope
        scope = scope.outer
