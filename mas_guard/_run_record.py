"""What a store tells other processes of one run: that it is there, what stopped it, its hops, how it ended.

A run that lives in one process writes its record twice: when it begins and when it has ended. One that was shared
(`inject`, `extract`, a fork) counts its hops there, and its stop is there before the next call of any process is asked
for. Whoever finds the run's account halted reads here why.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

from mas_guard import errors
from mas_guard._resuming import TopUps, stop_record
from mas_guard._store import Alter
from mas_guard.errors import GuardStopped, StoreUnavailable
from mas_guard.types import Amounts, Limits, Outcome

if TYPE_CHECKING:
    from mas_guard._run import Run
    from mas_guard._store import Store

RUNS = "runs"
VERSION = 1
PATH_SHOWN = 16
MISSING_STOP_TRIES = 3  # looks for the stop of a halted account: it is written before the account is halted

_host = socket.gethostname()


class RunRecord:
    """The record of one run, in a store that other processes see; in memory it does nothing.

    Attributes:
        shared: True once other processes take part in the run.
        joined: True where another process began the run, and this one takes part in it.
    """

    __slots__ = ("_begun", "_run", "_store", "joined", "shared")

    def __init__(self, run: Run, store: Store) -> None:
        self._run = run
        self._store = store
        self._begun = False
        self.shared = False
        self.joined = False

    # -- what this process writes -------------------------------------------------------------------

    def begin(self) -> None:
        """The run has begun here, or goes on here after it was suspended."""
        if self._store.shared and not self.joined:
            self._begun = True
            stop = stop_record(self._run)
            self._write(
                lambda value: self._as_begun({**value, "hops": 0, "stop": stop})
            )  # a person's input begins anew

    def moved(self, unused: str) -> None:
        """The run goes on under the id that it had before; *unused* was its id until now."""
        if self._begun:
            try:
                self._store.records.delete(RUNS, unused)
            except self._store.records.driver_errors:
                pass  # it ends by its retention
            self.begin()

    def share(self) -> None:
        """Other processes take part from now on.

        Raises:
            StoreUnavailable: The store is lost, so nothing can be shared.
        """
        if self.shared or not self._store.shared:
            return
        run = self._run
        self._store.share(run.account)
        self._begun = True
        self.shared = True
        try:
            self._write(self._as_begun)
        except StoreUnavailable:
            self.shared = False
            raise

    def take_hop(self, seen: int) -> bool:
        """Count a hop of a shared run; False where it was not the next one after *seen*, or the run was stopped."""
        counted = False

        def one_more(value: dict[str, Any]) -> dict[str, Any] | None:
            nonlocal counted
            self._hear(value)
            hops = max(int(value.get("hops", 0)), seen)  # whoever asks has seen as many
            counted = hops == seen and not value.get("stop")
            self._run.hops = hops
            return {**value, "hops": hops + 1} if counted else None

        self._write(one_more)
        if counted:
            self._run.hops = seen + 1
        return counted

    def stopped(self) -> None:
        """The run was stopped in this process: the others must not send another call."""
        if not self._store.shared or not (self._begun or self.joined):
            return
        record = stop_record(self._run)
        try:
            self._write(lambda value: None if value.get("stop") else {**self._seen(value), "stop": record})
            self._store.ledger.halt(self._run.account)
        except StoreUnavailable:
            self._run.note("the stop could not be told to other processes: the store is lost")

    def lifted(self) -> None:
        """A top-up, a person or another setting has lifted the stop."""
        if not self._store.shared:
            return
        self._write(lambda value: {**self._seen(value), "stop": None})
        if self._run.policy.mode == "enforce":
            self._store.ledger.halt(self._run.account, False)

    def hear_before_the_end(self) -> None:
        """A run that another process has stopped does not end here as if nothing had been."""
        if self.shared and not self.joined:
            try:
                self.look()
            except StoreUnavailable:
                self._run.note(
                    "the store was lost at the end: whether another process has stopped this run is not known"
                )

    def ended(self, outcome: Outcome, status: str) -> None:
        """The run has its outcome, or is suspended; of a run that began elsewhere only its owner says so."""
        if not self._store.shared or self.joined or not self._begun:
            return
        told = {"status": status, "rule": outcome.rule, "reason": outcome.reason[:1000], "ended": time.time()}
        told |= {"spent": list(outcome.spent), "notes": list(outcome.notes)[:20], "stop": stop_record(self._run)}
        self._write(lambda value: {**self._seen(value), **told})

    # -- what other processes have written ----------------------------------------------------------

    def hear_of_stop(self) -> bool:
        """The run's account is halted: latch here what stopped it. False where that was lifted meanwhile."""
        run = self._run
        for _ in range(MISSING_STOP_TRIES):
            value = self.read()
            if value is None or value.get("stop"):
                break
            if not self._store.ledger.read(run.account).halted:
                return False
        self._hear(value or {})
        if run.stop is None:
            run.latch(GuardStopped(f"Run {run.id} was stopped by another process.", rule="operator"), heard=True)
        return True

    def look(self) -> bool:
        """Read what was raised or stopped from outside; True where the run's limits are others now."""
        value = self.read() if self._store.shared else None
        if value is None:
            return False
        before = self._run.limits_in_force()
        self._hear(value)
        return self._run.limits_in_force() != before

    def read(self) -> dict[str, Any] | None:
        """The record as it stands; `None` where there is none, or the store is lost."""
        if not self._store.shared:
            return None
        try:
            found = self._store.records.get(RUNS, self._run.id)
        except self._store.records.driver_errors as error:
            if self.shared:
                raise self._lost(error) from error
            return None
        return None if found is None else found.value

    def _hear(self, value: dict[str, Any]) -> None:
        run = self._run
        top_ups = TopUps.restored(value.get("top_ups"))
        if top_ups.times > run.engine.top_ups(run.id).times:
            run.engine.know_top_ups(run.id, top_ups)
            run.engine.apply_top_ups(run)
        stop = value.get("stop")
        if stop and run.stop is None and run.policy.mode == "enforce":
            run.latch(stop_from(stop), heard=True, actions=stop.get("actions"))
            run.engine.record_stop(run)

    # -- how it is written --------------------------------------------------------------------------

    def _as_begun(self, value: dict[str, Any]) -> dict[str, Any]:
        run = self._run
        begun = {
            "v": VERSION,
            "name": run.name,
            "thread": run.thread,
            "tenant": run.tenant,
            "mode": run.policy.mode,
            "status": "running",
            "scope": run.account.scope,
            "root": run.root,
            "began": run.started_at,
            "deadline": None if run.clock.limit is None else time.time() + (run.clock.left() or 0.0),
            "process": {"host": _host, "pid": os.getpid()},
            "groups": [group.name for group in run.groups],
            "events": run.policy.events or "",
        }
        return self._seen({"stop": None, **value, **begun})

    def _seen(self, value: dict[str, Any]) -> dict[str, Any]:
        """*value* with what this process knows of the run."""
        run = self._run
        return {
            **value,
            "hops": max(int(value.get("hops", 0)), run.hops),
            "path": list(run.path)[-PATH_SHOWN:],
            "owner": run.owner,
            "limits": run.limits_in_force(),
            "top_ups": run.engine.top_ups(run.id).saved(),
        }

    def _write(self, alter: Alter) -> None:
        store, run = self._store, self._run
        if not self.shared and not store.reachable:
            store.write_later(RUNS, run.id, alter)  # nobody else needs it now
            return
        try:
            store.write_what_is_left()
            store.records.change(RUNS, run.id, alter)
        except store.records.driver_errors as error:
            if self.shared:
                raise self._lost(error) from error
            store.write_later(RUNS, run.id, alter)
            run.note(f"the record of this run could not be kept in {store.place} when it was due")

    def _lost(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"Run {self._run.id} is shared with other processes, and the store {self._store.place} does not answer "
            f"({type(error).__name__}: {error}). Nothing was sent; start the store and resume.",
            store=self._store.place,
        )


def stop_from(record: dict[str, Any]) -> GuardStopped:
    """The stop that *record* tells of, as it was where it was latched."""
    kind = getattr(errors, record.get("kind", ""), GuardStopped)
    stop: GuardStopped = kind(record["message"], **record.get("fields", {}))
    if "rule" in record:
        stop.rule = record["rule"]
    return stop


def limits_from(saved: list[Any]) -> Limits:
    """The ledger's limits among what `Run.limits_in_force` has given."""
    return Limits(*saved[: len(Amounts._fields)])
