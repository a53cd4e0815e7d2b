"""Two handoffs at the same time: the last hop that is allowed happens once."""

from __future__ import annotations

from typing import Any

from mas_guard import Verdict, hookimpl
from mas_guard._drivers import drive
from mas_guard._engine import Engine
from mas_guard._flow import handoff_flow
from mas_guard._plugins import Plugins
from mas_guard._run import Run
from mas_guard.config import policy_of
from mas_guard.types import CallOutcome, Handoff


class HandsOnMeanwhile:
    """A rule during whose judgement another thread's handoff goes through, as the scheduler may have it."""

    def __init__(self) -> None:
        self.once = True

    @hookimpl
    def mas_guard_before_handoff(self, handoff: Handoff, run: Any) -> Verdict | None:
        if self.once:
            self.once = False
            assert pass_control(run) is None
        return None


def pass_control(run: Run) -> Any:
    flow = handoff_flow(run, Handoff("writer", ("reader",)))
    return drive(flow, lambda: None, lambda _: CallOutcome(), run.engine.plugins.errors)


def test_two_handoffs_at_once_do_not_both_take_the_last_hop() -> None:
    policy = policy_of(max_hops=1, on_limit="abort")
    # Registered before the built-in rules, so that it is asked after the hop rule has said yes.
    run = Run(Engine(policy, plugins=Plugins([HandsOnMeanwhile()], entry_points=False)), policy)
    denied = pass_control(run)
    assert denied is not None and denied.rule == "hops"
    assert run.hops == 1 and run.stop is not None
