"""The time that a crossing has: of the run, of its step, and what is raised once it is over."""

from __future__ import annotations

from mas_guard._run import Run
from mas_guard._step_scope import StepScope
from mas_guard.errors import DeadlineExceeded, GuardStopped


def seconds_left(run: Run, scope: StepScope | None, concluding: bool, keeps_share: bool | None = None) -> float | None:
    """The time that a call starting now may take, in seconds."""
    if run.policy.mode != "enforce" or run.policy.rule_mode("deadline") != "enforce":
        return None
    left = run.time_left(concluding=concluding, keeps_share=keeps_share)
    if scope is not None and scope.clock is not None and not concluding:
        own = scope.clock.left()
        if own is not None and (left is None or own < left):
            return own
    return left


def expired(run: Run, scope: StepScope | None, concluding: bool) -> BaseException | None:
    """The error to raise if time is over by now, latched where it ends the run."""
    left = seconds_left(run, scope, concluding)
    if left is None or left > 0:
        return None
    try:
        check_time(run, scope, concluding=concluding)
    except GuardStopped as error:
        return error
    return None


def check_time(run: Run, scope: StepScope | None, *, concluding: bool) -> None:
    """Raise `DeadlineExceeded` where the run's or the step's time is over."""
    left = run.time_left(concluding=concluding) if run.may_be_late() else None
    if left is not None and left <= 0 and run.record.look():
        left = run.time_left(concluding=concluding)  # topped up from outside
    if left is not None and left <= 0:
        limit = run.clock.limit or 0.0
        error = DeadlineExceeded(
            f"Run {run.id} has used {run.clock.elapsed:.1f} s of active time; its deadline is {limit:g} s"
            f"{_share_note(run, limit)}. Raise MAS_GUARD_DEADLINE or split the run.",
            seconds=limit,
        )
        if run.engine.stop_in_force(run, "deadline", error):
            if run.latch(error).error is error:
                run.engine.record_stop(run)
            # Not the latched stop, where an earlier one stays: what is cut now is cut by the deadline, and may be billed.
            raise run.raised(error)
    if scope is not None and scope.clock is not None:
        own = scope.clock.left()
        if own is not None and own <= 0 and scope.stopped is None:
            error = DeadlineExceeded(
                f"Step {scope.agent!r} of run {run.id} has used its {scope.clock.limit:g} s. "
                "Raise MAS_GUARD_STEP_TIMEOUT or [agents.NAME] step_timeout.",
                seconds=scope.clock.limit,
            )
            if run.engine.stop_in_force(run, "deadline", error):
                scope.stopped = error
                run.failed_agents[scope.agent] = "deadline"
                raise run.raised(error)


def _share_note(run: Run, limit: float) -> str:
    if not run.keeps_share:
        return ""
    return f" ({limit * run.policy.owner_reserve:g} s of it are kept for the owner)"
