"""What the crossings share: plugins, the ledger, the record, and the books on finished runs."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mas_guard._plugins import Plugins
from mas_guard._resuming import TopUps
from mas_guard._store import Store, memory_store, open_store
from mas_guard.errors import GuardStopped
from mas_guard.ledger import Ledger
from mas_guard.records import EVENT_VERSION, EventSink
from mas_guard.records.store import RecordStore
from mas_guard.rules import BUILT_IN_RULES
from mas_guard.types import Amounts, Call, CallOutcome, Envelope, Handoff, Limits, Verdict

if TYPE_CHECKING:
    from mas_guard._budget import Booking
    from mas_guard._run import Run
    from mas_guard.config import Policy
    from mas_guard.reviews import Desk

logger = logging.getLogger("mas_guard")

NO_TOP_UPS = TopUps()
REMEMBERED_RUNS = 1000  # finished runs whose accounts take a late call; older ones are closed


class Engine:
    """One per process as a rule; tests make their own with a ledger and a clock of theirs."""

    def __init__(
        self,
        policy: Policy,
        *,
        plugins: Plugins | None = None,
        ledger: Ledger | None = None,
        store: Store | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.now = now
        self.wall = wall
        self.plugins = plugins if plugins is not None else Plugins()
        for rule in BUILT_IN_RULES:
            if not any(isinstance(plugin, rule) for plugin in self.plugins.names().values()):
                self.plugins.register(rule())
        self._given_store = store if store is not None else memory_store(ledger) if ledger is not None else None
        self._stores: dict[str, Store] = {}
        self.store(policy)
        self._sinks: dict[str, EventSink] = {}
        self._lock = threading.Lock()
        self._finished: OrderedDict[str, Run] = OrderedDict()
        self._top_ups: dict[str, TopUps] = {}

    def store(self, policy: Policy) -> Store:
        """Where budgets and records under *policy* are kept; one for each STORE, opened when it is first needed.

        Raises:
            ConfigError: No plugin brings such a store, or what it needs is not installed.
        """
        if self._given_store is not None:
            return self._given_store
        found = self._stores.get(policy.store)
        if found is None:
            found = open_store(policy, self.plugins.stores(), self._tell_of_store)
            found = self._stores.setdefault(policy.store, found)
            if found.shared:
                from mas_guard._forks import follow_forks  # lazily: in memory there is nothing to share

                follow_forks()
        return found

    def _tell_of_store(self, event: str, fields: Mapping[str, Any]) -> None:
        self.event(None, event, **fields)

    @property
    def ledger(self) -> Ledger:
        """The ledger of the process's own settings."""
        return self.store(self.policy).ledger

    def records(self, policy: Policy) -> RecordStore:
        """The records beside the budgets under *policy*."""
        return self.store(policy).records

    def desk(self, policy: Policy) -> Desk:
        """Where reviews under *policy* are opened and answered."""
        found = policy.remembered.get("desk")
        if found is None:
            from mas_guard.reviews import Desk  # lazily: most runs never ask a person

            found = policy.remembered.setdefault("desk", Desk(policy, self.plugins))
        return found  # type: ignore[no-any-return]

    # -- the record ---------------------------------------------------------------------------------

    def recording(self, run: Run | None) -> bool:
        """True where somebody reads events."""
        return bool(self.plugins.on_event) or bool((run.policy if run else self.policy).events)

    def event(self, run: Run | None, name: str, /, **fields: Any) -> None:
        """Write one event. Cheap where nobody reads them."""
        policy = run.policy if run is not None else self.policy
        if not policy.events and not self.plugins.on_event:
            return
        event: dict[str, Any] = {
            "v": EVENT_VERSION,
            "event": name,
            "time": round(time.time(), 6),
            "run": run.id if run is not None else "",
        }
        if run is not None:
            event["mode"] = policy.mode
            for key in ("name", "thread", "tenant"):
                if value := getattr(run, key):
                    event[key] = value
        event.update(fields)
        self.plugins.tell(self.plugins.on_event, event)
        if policy.events:
            sink = self._sinks.get(policy.events)
            if sink is None:
                with self._lock:
                    sink = self._sinks.setdefault(policy.events, EventSink(policy.events))
            lost = sink.lost
            sink.write(event)
            if sink.lost != lost and run is not None:
                run.note(f"event lines could not be written to {policy.events}")

    @property
    def lost_events(self) -> int:
        """How many event lines could not be written."""
        return sum(sink.lost for sink in self._sinks.values())

    def record_verdict(self, run: Run, verdict: Verdict, action: str) -> None:
        """Record what a rule said and what was done about it."""
        if verdict.kind == "allow":
            return
        self.event(
            run,
            "verdict",
            rule=verdict.rule,
            verdict=verdict.kind,
            action=action,
            reason=verdict.reason,
            figures=dict(verdict.figures),
        )
        if action == "none" and verdict.action == "stop":
            self.would_stop(run, verdict.rule, verdict.reason)

    def record_stop(self, run: Run) -> None:
        """Record the latched stop."""
        stop = run.stop
        if stop is None:
            return
        fields = _figures(stop.error)
        self.event(
            run,
            "stop",
            rule=stop.error.rule,
            action=stop.action,
            reason=str(stop.error),
            owner=run.owner,
            figures=fields,
        )

    def record_call(self, run: Run, call: Call, outcome: CallOutcome, booking: Booking | None) -> None:
        """Record a settled call, and remember for the outcome where our cap cut the reply."""
        cap = getattr(call, "output_cap", None)
        if outcome.cut and cap is not None:
            run.note(f"a reply of {getattr(call, 'model', '')} was cut by the guard's cap of {cap} tokens")
            run.cut_by_cap = True
        if not self.recording(run):
            return
        fields: dict[str, Any] = {"agent": call.agent, "kind": call.kind}
        if call.kind == "model":
            fields.update(
                model=call.model,
                input_tokens=outcome.usage.input_tokens,
                output_tokens=outcome.usage.output_tokens,
                estimated=not outcome.usage.known,
                cached=outcome.cached,
                cap=cap,
            )
        else:
            fields["tool"] = call.tool
        if outcome.error is not None:
            fields["error"] = type(outcome.error).__name__
        if booking is not None:
            fields["held"] = list(booking.amounts)
        self.event(run, "call", **fields)

    def record_handoff(self, run: Run, handoff: Handoff, verdict: Verdict | None) -> None:
        """Record a handoff: who, to whom, what it carried (as size and hash), and what was said to it."""
        if not self.recording(run):
            return
        fields: dict[str, Any] = {"agent": handoff.source, "target": ",".join(handoff.targets), "kind": handoff.kind}
        fields["verdict"] = "allow" if verdict is None else verdict.kind
        if verdict is not None:
            fields.update(rule=verdict.rule, action=verdict.action, reason=verdict.reason)
        if handoff.content:
            carried = handoff.content.encode("utf-8", "replace")
            fields["carried"] = {"bytes": len(carried), "sha256": sha256(carried).hexdigest()[:16]}
            if run.policy.capture_content:
                fields["content"] = handoff.content
        self.event(run, "handoff", **fields, hops=run.hops)

    def record_envelope(self, run: Run, agent: str, envelope: Envelope, found: str, text: str) -> None:
        """Record what an output was worth and its shape (types and field names), never the output. *found* is what was
        found wrong with it."""
        fields: dict[str, Any] = {"agent": agent, "worth": envelope.status, "confidence": envelope.confidence}
        if found:
            fields["finding"] = found
        # A reason may be the model's own words, and so content.
        if envelope.reason and (found or run.policy.capture_content):
            fields["reason"] = envelope.reason
        if text and envelope.status == "success":
            from mas_guard.contracts import shape_of  # lazily: only where somebody reads events
            from mas_guard.contracts.json_text import NOT_JSON, parsed

            value = parsed(text)
            fields["shape"] = shape_of(text if value is NOT_JSON else value)
        self.event(run, "envelope", **fields)

    def stop_in_force(self, run: Run, rule: str, error: GuardStopped) -> bool:
        """True where *rule* is enforced; else what it would have done is recorded once."""
        if run.policy.rule_mode(rule) == "enforce":
            return True
        self.would_stop(run, rule, str(error))
        return False

    def would_stop(self, run: Run, rule: str, reason: str) -> None:
        """Record once per run and rule what enforce would have ended."""
        if rule not in run.would_stop:
            run.would_stop.add(rule)
            self.event(run, "would_stop", rule=rule, reason=reason)

    # -- the books ----------------------------------------------------------------------------------

    def remember(self, run: Run) -> None:
        """Keep *run*'s account for late calls and resumes; forget the oldest."""
        run.let_go_of_app()
        with self._lock:
            before = self._finished.get(run.id)
            if before is not None and before is not run:
                run.inner_accounts += before.inner_accounts
            self._finished[run.id] = run
            self._finished.move_to_end(run.id)
            forgotten = []
            while len(self._finished) > REMEMBERED_RUNS:
                forgotten.append(self._finished.popitem(last=False)[1])
        for old in forgotten:
            for account in (old.account, *old.inner_accounts):
                old.ledger.close(account)

    def known_run(self, run_id: str) -> Run | None:
        """A run that ended or was suspended in this process not long ago."""
        with self._lock:
            return self._finished.get(run_id)

    def top_up(self, run: Run, amounts: Amounts, *, hops: int = 0, seconds: float = 0.0) -> None:
        """Raise *run*'s limits; a resume of it picks this up, and so does the run if it is still going."""
        with self._lock:
            self._top_ups[run.id] = self.top_ups(run.id).plus(amounts, hops, seconds)
        if run.record.joined:
            run.ledger.set_limits(run.account, raised(run.ledger.read(run.account).limits, amounts))
        self.apply_top_ups(run)
        with run.lock:
            run.stop = None
        run.record.lifted()
        self.event(run, "top_up", figures={**amounts._asdict(), "hops": hops, "seconds": seconds})

    def top_ups(self, run_id: str) -> TopUps:
        """What the run's limits were raised by so far."""
        return self._top_ups.get(run_id, NO_TOP_UPS)

    def know_top_ups(self, run_id: str, saved: TopUps) -> None:
        """Take over what another process has topped up; of the two the later state counts."""
        with self._lock:
            if saved.times > self.top_ups(run_id).times:
                self._top_ups[run_id] = saved

    def apply_top_ups(self, run: Run) -> None:
        """Set *run*'s limits to its policy's plus every top-up; those of a run that began elsewhere are the ledger's."""
        found = self.top_ups(run.id)
        if run.brought:
            run.limits = run.ledger.spent(run.account)[0]
            return
        limits = raised(run.policy.budget.limits, found.amounts)
        run.limits = limits
        run.extra_hops = found.hops
        if run.policy.deadline is not None:
            run.clock.limit = run.policy.deadline + found.seconds
        if run.policy.mode == "enforce":
            run.ledger.set_limits(run.account, limits)

    def close(self) -> None:
        """Close event files."""
        for sink in self._sinks.values():
            sink.close()


def raised(limits: Limits, more: Amounts) -> Limits:
    """*limits*, each raised by *more*; what has no limit stays without one."""
    return Limits(*(None if limit is None else limit + extra for limit, extra in zip(limits, more, strict=True)))


def _figures(error: GuardStopped) -> Mapping[str, Any]:
    hidden = {"run", "outcome"}
    return {name: value for name, value in vars(error).items() if name not in hidden and not name.startswith("_")}
