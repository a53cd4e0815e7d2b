"""Every error of mas-guard.

    GuardError
    ├ GuardStopped            a run was ended by the guard; .outcome .rule
    │ ├ BudgetExceeded        .unit .used .limit
    │ ├ DeadlineExceeded      .seconds
    │ ├ HopLimitExceeded      .hops .limit
    │ ├ TurnLimitExceeded     .turns
    │ ├ RepetitionDetected    .evidence
    │ ├ NotConverging         .agent .rounds .idle
    │ ├ OwnershipConflict
    │ ├ HandoffRejected       .problems
    │ ├ ResultRejected        .problems .review
    │ ├ EscalationRequired    .review
    │ └ StoreUnavailable      .store; the driver's error in __cause__
    ├ AdapterError
    │ ├ AdapterNotFound
    │ ├ UnsupportedVersion    .target .found .supports
    │ └ SeamMissing           .target .seam
    └ ConfigError             .source .key

`NoEffect` stands apart: a tool of the app raises it.

Every message says what happened, the figures, and the next step. `GuardStopped` is an `Exception` (a bare
`BaseException` hangs some frameworks' tasks) and never a `RuntimeError` (others catch those).
"""

from __future__ import annotations

from typing import Any


class GuardError(Exception):
    """The root of everything that mas-guard raises on purpose. Fields survive pickling."""

    def __init__(self, message: str = "", **fields: Any) -> None:
        super().__init__(message)
        for name, value in fields.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the plain class: combined classes are made in each process anew."""
        return _rebuild, (plain_class(type(self)), str(self), dict(self.__dict__))


class GuardStopped(GuardError):
    """The guard ended the run.

    Attributes:
        rule: The rule that ended it.
        outcome: The run's `Outcome`, set when the run's boundary is reached.
        run: The run, for `stop.run.top_up(...)`; `None` in another process.
        results: What the items of a CrewAI `kickoff_for_each` gave, the stopped one's empty; `None` elsewhere.
    """

    rule: str = ""
    outcome: Any = None
    run: Any = None
    results: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A live run does not travel between processes; everything else does."""
        fields = {name: value for name, value in self.__dict__.items() if name not in ("run", "results")}
        return _rebuild, (plain_class(type(self)), str(self), fields)


class BudgetExceeded(GuardStopped):
    """A budget is used up: `.used` of `.limit` `.unit`, and `.held` by calls still under way.

    Where it is a window's, `.window` is its name, and `.begins_anew` when it does, in seconds since the epoch.
    """

    rule = "budget"
    unit: str = ""
    used: int = 0
    held: int = 0
    asked: int = 0
    limit: int = 0
    window: str = ""
    begins_anew: float | None = None


class DeadlineExceeded(GuardStopped):
    """The run's or a step's time is over: `.seconds` of active time were allowed."""

    rule = "deadline"
    seconds: float = 0.0


class HopLimitExceeded(GuardStopped):
    """Control was passed on `.hops` times, `.limit` is the most."""

    rule = "hops"
    hops: int = 0
    limit: int = 0


class TurnLimitExceeded(GuardStopped):
    """The framework's own limit of `.turns` was reached; it is also the framework's own error for that."""

    rule = "turns"
    turns: int = 0


class RepetitionDetected(GuardStopped):
    """The same call gave the same result again and again; `.evidence` says which and how often."""

    rule = "repetition"
    evidence: Any = None


class NotConverging(GuardStopped):
    """The declared loop of `.agent` ended after `.rounds`, the last `.idle` of which brought nothing new."""

    rule = "convergence"
    agent: str = ""
    rounds: int = 0
    idle: int = 0


class OwnershipConflict(GuardStopped):
    """A run got a second owner, or none where one was asked for."""

    rule = "ownership"


class HandoffRejected(GuardStopped):
    """A handoff could not be carried out; `.problems` lists why."""

    rule = "handoff"
    problems: tuple[str, ...] = ()


class ResultRejected(GuardStopped):
    """The run's result was rejected before it left; `.problems` lists why, and `.review` is the id of the review where a
    person rejected or replaced it."""

    rule = "result"
    problems: tuple[str, ...] = ()
    review: str = ""


class EscalationRequired(GuardStopped):
    """A person has to decide: `.review` is the id of the review that was opened."""

    rule = "review"
    review: str = ""


class StoreUnavailable(GuardStopped):
    """The ledger's store did not answer; the driver's error is the cause."""

    rule = "store"
    store: str = ""


class AdapterError(GuardError):
    """An adapter could not do its work."""


class AdapterNotFound(AdapterError):
    """No installed adapter knows this kind of app."""


class UnsupportedVersion(AdapterError):
    """The framework's installed version is outside what the adapter supports."""

    target: str = ""
    found: str = ""
    supports: str = ""


class SeamMissing(AdapterError):
    """A place that the adapter stands at does not exist in the installed framework."""

    target: str = ""
    seam: str = ""


class ConfigError(GuardError):
    """A setting is wrong: `.key`, and `.source` where it was found."""

    source: str = ""
    key: str = ""


class NoEffect(Exception):
    """Raised by a tool whose effect happens at most once (`ONCE_TOOLS`): nothing has happened, so that it may be called
    again. An error of the app's own says the same where its class derives from this one too."""


_combined: dict[tuple[type, ...], type[GuardStopped]] = {}


def plain_class(kind: type) -> type:
    """Return the public error class behind a combined one."""
    return kind if "_combines" not in vars(kind) else kind.__mro__[1]


def passing_through(error: GuardStopped, signals: tuple[type[BaseException], ...]) -> GuardStopped:
    """Return *error* as a class that the given frameworks let pass as well.

    A framework lets its own control signals through where it swallows other exceptions; the class is built
    once per combination, and `except BudgetExceeded` goes on to work.
    """
    plain = plain_class(type(error))
    # A signal that another one derives from is covered by that one, and would spoil the order of the bases.
    narrowest = [one for one in signals if not any(one is not other and issubclass(other, one) for other in signals)]
    bases = (plain, *(signal for signal in narrowest if not issubclass(plain, signal)))
    if len(bases) == 1:
        return error
    combined = _combined.get(bases)
    if combined is None:
        combined = type(plain.__name__, bases, {"_combines": True, "__module__": plain.__module__})
        _combined[bases] = combined
    raised = combined.__new__(combined)
    raised.args = error.args
    raised.__dict__.update(error.__dict__)
    raised.__cause__ = error.__cause__
    return raised


def _rebuild(kind: type[GuardError], message: str, fields: dict[str, Any]) -> GuardError:
    error = kind(message)
    error.__dict__.update(fields)
    return error
