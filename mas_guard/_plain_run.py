"""Runs in plain Python: `with mas_guard.run(...) as run`, and the steps of its agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mas_guard._boundary import finish
from mas_guard._drivers import drive
from mas_guard._flow import agent_is_known, handoff_flow, step_flow
from mas_guard._run import Run, current_run
from mas_guard._start import refused_at_start
from mas_guard._step_scope import StepScope, current_step
from mas_guard.config import load_policy
from mas_guard.errors import GuardError, GuardStopped
from mas_guard.types import CallOutcome, Handoff, Outcome, Step

if TYPE_CHECKING:
    from mas_guard._guard import Guard


class PlainRun:
    """What `with mas_guard.run(...) as run` gives.

    Attributes:
        result: Set it to what is known so far; a stopped run's outcome keeps it as its partial state.
    """

    def __init__(self, run: Run | None) -> None:
        self._run = run
        self.result: Any = None

    @property
    def id(self) -> str:
        """The run's id; empty with `MODE=off`."""
        return self._run.id if self._run is not None else ""

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; `None` while it goes on."""
        return self._run.outcome if self._run is not None else None

    @property
    def spent(self) -> Any:
        """What is settled so far, per unit."""
        return self._run.spent() if self._run is not None else None

    def top_up(self, **more: Any) -> None:
        """Raise the run's limits; see `Run.top_up`."""
        if self._run is not None:
            self._run.top_up(**more)

    @contextmanager
    def step(self, agent: str) -> Iterator[None]:
        """One activation of *agent*. Passing from one agent's step to another's is a hop; a step inside a
        step is a delegation, and coming back from it is none.

        Raises:
            HopLimitExceeded: Where the hop would be one more than `MAX_HOPS` allows.
        """
        run = self._run
        if run is None:
            yield
            return
        errors = run.engine.plugins.errors
        outer = current_step.get()
        if outer is not None and outer.run is not run:
            outer = None
        before = outer.agent if outer is not None else run.adapter_state.get("last_step", "")
        if before and before != agent:
            handoff = Handoff(before, (agent,), carries=False)
            denied = drive(handoff_flow(run, handoff), lambda: None, lambda _: CallOutcome(), errors)
            if denied is not None and run.stop is not None:
                raise run.raised()
        agent_is_known(run, agent)
        scope = StepScope(run, agent, outer=outer)
        flow = step_flow(run, Step(agent), scope)
        effect = next(flow)
        tokens = [(variable, variable.set(value)) for variable, value in getattr(effect, "scope", ())]
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            for variable, token in reversed(tokens):
                variable.reset(token)
            if outer is None:
                run.adapter_state["last_step"] = agent
            try:
                flow.send(CallOutcome(error=error))
            except StopIteration:
                pass
            except GuardError:
                if error is None:
                    raise


@contextmanager
def open_plain_run(guard: Guard, name: str, owner: str, overrides: dict[str, Any]) -> Iterator[PlainRun]:
    """Open a run for a block, or join the one that is going on."""
    on_outcome = overrides.pop("on_outcome", None)
    outer = current_run.get()
    if outer is not None:
        with _narrowed(outer, name, overrides):
            yield PlainRun(outer)
        return
    policy = load_policy(overrides)
    if policy.mode == "off":
        yield PlainRun(None)
        return
    guard.arm_loaded()
    run = guard.open_run(policy, name=name, owner=owner)
    plain = PlainRun(run)
    token = current_run.set(run)
    step = current_step.set(None)
    error: BaseException | None = None
    try:
        engine = guard.engine
        engine.event(run, "run_started", owner=run.owner)
        engine.plugins.tell(engine.plugins.run_started, run)
        run.record.begin()
        refused = refused_at_start(run)
        if refused is not None:
            run.latch(refused).abort("nothing was sent")
            engine.record_stop(run)
            raise run.raised()
        yield plain
    except BaseException as raised:
        error = raised
    finally:
        current_step.reset(step)
        current_run.reset(token)
        text = plain.result if isinstance(plain.result, str) else ""
        outcome = finish(run, CallOutcome(text, error=error), lambda: plain.result, on_outcome)
    stop = run.stop
    if stop is not None and policy.mode == "enforce":
        if stop.action == "abort":
            raise run.raised() from (None if isinstance(error, GuardStopped) else error)
        if isinstance(error, GuardStopped) or error is None:
            plain.result = outcome.envelope.result if outcome.envelope else None
            return
    if error is not None:
        raise error


@contextmanager
def _narrowed(outer: Run, name: str, overrides: dict[str, Any]) -> Iterator[None]:
    """Limits of an inner run can only narrow: they become the budget of one activation within the outer one."""
    if not overrides or outer.policy.mode != "enforce":
        yield
        return
    around = current_step.get()
    scope = StepScope(outer, around.agent if around is not None else name, outer=around)
    scope.account = outer.open_inner(f"inner:{outer.id}:{scope.identity}", load_policy(overrides).budget.limits)
    token = current_step.set(scope)
    try:
        yield
    finally:
        current_step.reset(token)
