"""What a saved run carries about how it was stopped, and the top-ups that lift a stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mas_guard import errors
from mas_guard.errors import GuardStopped
from mas_guard.types import ZERO, Amounts

if TYPE_CHECKING:
    from mas_guard._run import Run

APPROVALS = "approvals used"
RUNAWAY_RULES = ("convergence", "deadline", "hops", "repetition")  # what they measure counts since the last human input


@dataclass(frozen=True, slots=True)
class TopUps:
    """All that a run's limits were raised by.

    Attributes:
        amounts: Tokens, calls and money on top of the policy's budget.
        hops: Hops on top of `MAX_HOPS`.
        seconds: Active time on top of `DEADLINE`.
        times: How often it was topped up: a stop that was saved before the last one is lifted.
    """

    amounts: Amounts = ZERO
    hops: int = 0
    seconds: float = 0.0
    times: int = 0

    def plus(self, amounts: Amounts, hops: int, seconds: float) -> TopUps:
        """One more."""
        return TopUps(self.amounts.plus(amounts), self.hops + hops, self.seconds + seconds, self.times + 1)

    def saved(self) -> list[Any] | None:
        """As a checkpoint carries it; `None` where there was none."""
        return [list(self.amounts), self.hops, self.seconds, self.times] if self.times else None

    @classmethod
    def restored(cls, saved: Any) -> TopUps:
        """From a checkpoint."""
        if not saved:
            return cls()
        amounts, hops, seconds, times = saved
        return cls(Amounts(*amounts), hops, seconds, times)


def stop_record(run: Run) -> dict[str, Any] | None:
    """The stop that a resume raises again; `None` where the run goes on or its owner has concluded it."""
    stop = run.stop
    if stop is None or stop.phase == "concluded":
        return None
    plain = errors.plain_class(type(stop.error))
    fields = {
        name: value
        for name, value in vars(stop.error).items()
        if name not in ("run", "outcome") and isinstance(value, str | int | float | dict)
    }
    return {"rule": stop.error.rule, "message": str(stop.error), "kind": plain.__name__, "fields": fields}


def stop_in_force(run: Run, state: Mapping[str, Any], *, human_input: bool) -> GuardStopped | None:
    """The stop that *state* was saved with, unless a top-up, another setting, or a human's input has lifted it."""
    record = state.get("stop")
    if not record or run.policy.mode != "enforce":
        return None
    if record.get("fields", {}).get("window"):
        return None  # it may have begun anew; where it has not, the run is refused before its next call
    if human_input and record["rule"] in RUNAWAY_RULES:
        return None
    if state.get("limits") != run.limits_in_force():
        return None  # a setting was changed or a limit topped up
    if run.engine.top_ups(run.id).times > TopUps.restored(state.get("top_ups")).times:
        return None
    kind = getattr(errors, record["kind"], GuardStopped)
    stop: GuardStopped = kind(record["message"], **record.get("fields", {}))
    return stop


def approved_in_review(run: Run, state: Mapping[str, Any]) -> bool:
    """True where the stop that *state* was saved with was put to a person, who let the run go on."""
    if not state.get("stop"):
        return False
    from mas_guard._gate import latest_review  # lazily: most resumes have nothing to do with a review

    record = latest_review(run, "limit")
    return record is not None and record.resolution is not None and record.resolution.decision == "approved"
