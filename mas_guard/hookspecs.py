"""The hooks. The docstring of each is its contract; the built-in rules implement the same ones.

A rule is a module or an object with methods marked `@mas_guard.hookimpl`. Hooks answer with verdicts and do
no I/O; a hook that raises is logged once, counted, and treated as silent (`ON_INTERNAL_ERROR=open`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from mas_guard.types import (
    Brief,
    Call,
    CallOutcome,
    Decision,
    Envelope,
    Handoff,
    Outcome,
    Step,
    Usage,
    Verdict,
)

if TYPE_CHECKING:
    from mas_guard.adapter import Adapter

PROJECT = "mas_guard"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mas_guard_adapters() -> Iterable[Adapter]:  # type: ignore[empty-body]
    """Return the adapters that this package brings. Must import no framework."""


@hookspec
def mas_guard_stores() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return ledger factories by URL scheme: `{"memory": lambda url: MemoryLedger()}`."""


@hookspec
def mas_guard_run_started(run: Any) -> None:
    """Called when the outermost boundary has opened *run*; nothing has been sent yet."""


@hookspec
def mas_guard_run_finished(run: Any, outcome: Outcome) -> None:
    """Called once, when *run* has its outcome, before the outcome reaches the app."""


@hookspec
def mas_guard_before_step(step: Step, run: Any) -> Verdict | None:
    """Return a deny with action `stop` to end the run before *step* begins; None to abstain."""


@hookspec
def mas_guard_after_step(step: Step, output: Any, run: Any) -> Verdict | None:
    """Called when *step* gave *output*; a deny with action `stop` ends the run."""


@hookspec
def mas_guard_before_handoff(handoff: Handoff, run: Any) -> Verdict | None:
    """Return a deny to keep control from passing: `block` tells the model, `stop` ends the run."""


@hookspec
def mas_guard_after_handoff(handoff: Handoff, outcome: str, run: Any) -> None:
    """Called when control has passed (`outcome` is `done`) or has been kept (`denied`)."""


@hookspec
def mas_guard_before_call(call: Call, run: Any) -> Verdict | None:
    """Return a deny to veto *call*, None to abstain. Runs before anything is reserved or sent.

    An `escalate` for a tool call puts it to a person where a review channel is configured: it is answered with the
    review's id until that is approved. `redirect` and `block` answer the model with the verdict's message in place of a tool call, and add the
    message to a model call; `stop` ends the run.
    """


@hookspec
def mas_guard_after_call(call: Call, outcome: CallOutcome, run: Any) -> None:
    """Called after *call* was settled, also when it failed."""


@hookspec
def mas_guard_validate_result(envelope: Envelope, run: Any) -> Verdict | None:
    """Judge the run's result before it leaves; None to abstain.

    A deny rejects it (`ResultRejected`), an `escalate` puts it to a person where a review channel is configured; where
    none is, and for a `warn`, the result leaves as it is and the outcome is `partial` with the reason.
    """


@hookspec(firstresult=True)
def mas_guard_decide(brief: Brief, run: Any) -> Decision | None:
    """Decide for an owner that is no agent: complete, escalate or abort. The first answer counts."""


@hookspec(firstresult=True)
def mas_guard_escalate(review: Any, run: Any) -> Any:
    """Return a `mas_guard.reviews.Resolution` of *review*, or None to leave it to the channel. The first answer counts."""


@hookspec(firstresult=True)
def mas_guard_price(model: str, usage: Usage) -> int | None:
    """Return what *usage* of *model* costs in nano-USD; None where unknown. Stands above every table."""


@hookspec
def mas_guard_on_event(event: Mapping[str, Any]) -> None:
    """Receive every event. May fail: that is logged once and never raised."""


@hookspec
def mas_guard_add_commands(group: Any) -> None:
    """Add click commands to the `mas-guard` command line *group*."""
