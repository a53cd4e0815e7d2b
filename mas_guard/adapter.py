"""What an adapter is made of: the base class, and the crossings it calls.

An adapter watches a framework's seams, translates its objects into `mas_guard.types`, and asks the guard. It
decides nothing itself. Everything it needs is importable from here.
"""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mas_guard._beside import Beside
from mas_guard._boundary import finish, last_outcome, results, run_flow
from mas_guard._conclusion import DIRECTIVES
from mas_guard._drivers import drive, drive_async, drive_stream, drive_stream_async
from mas_guard._effects import Answer, Collector, Flow, Reader, Scope
from mas_guard._first_line import FirstLine
from mas_guard._flow import NOT_EXECUTED, call_flow, handoff_flow, step_flow, was_cut_by_us
from mas_guard._gate import put_answer_to_person
from mas_guard._live_call import LiveCall, ended_within, live_call, stops_within
from mas_guard._live_call import attempt as count_attempt
from mas_guard._live_call import lost_attempt as charge_lost_attempt
from mas_guard._ongoing import OngoingCall, begin, begin_async
from mas_guard._run import Run, current_run
from mas_guard._step_scope import StepScope, current_step, inner_app_scope
from mas_guard._time_left import check_time, seconds_left
from mas_guard._tool_approval import pause_payload, settle_pause
from mas_guard.envelopes import Held, read_trailer, repair_request
from mas_guard.errors import DeadlineExceeded, GuardStopped, StoreUnavailable, UnsupportedVersion
from mas_guard.hookspecs import hookimpl
from mas_guard.patching import Patch, PatchSet, apply_all
from mas_guard.prices import exact_counter, input_bound
from mas_guard.types import Call, CallOutcome, Handoff, ModelCall, Said, Step, ToolCall, Usage, sum_usage

if TYPE_CHECKING:
    from mas_guard._guard import Guard
    from mas_guard.config import Policy

logger = logging.getLogger("mas_guard")

__all__ = [
    "DIRECTIVES",
    "call_flow",
    "apply_all",
    "begin_async",
    "begin",
    "NOT_EXECUTED",
    "Adapter",
    "Answer",
    "Beside",
    "Call",
    "CallOutcome",
    "Collector",
    "Finding",
    "FirstLine",
    "Flow",
    "Said",
    "Scope",
    "GuardStopped",
    "Handoff",
    "Held",
    "LiveCall",
    "ModelCall",
    "OngoingCall",
    "Patch",
    "PatchSet",
    "Run",
    "Step",
    "StepScope",
    "StoreUnavailable",
    "ToolCall",
    "Usage",
    "begin_call",
    "begin_call_async",
    "charge_lost_attempt",
    "check_time",
    "count_attempt",
    "drive",
    "drive_async",
    "drive_stream",
    "drive_stream_async",
    "current_run",
    "current_step",
    "ended_within",
    "exact_counter",
    "finish",
    "guard_call",
    "guard_call_async",
    "guard_handoff",
    "guard_step",
    "guard_step_async",
    "guard_stream",
    "guard_stream_async",
    "hookimpl",
    "inner_app_scope",
    "input_bound",
    "keep_open",
    "last_outcome",
    "live_call",
    "outside_run",
    "pause_payload",
    "put_answer_to_person",
    "read_trailer",
    "repair_request",
    "results",
    "run_flow",
    "seconds_left",
    "settle_pause",
    "unguarded",
    "step_flow",
    "stops_within",
    "sum_usage",
    "usage_of_error",
    "was_cut_by_us",
]


class Finding:
    """One line of `mas-guard doctor`.

    Attributes:
        mark: `ok`, `warning` or `error`.
        text: What was found.
        fix: The command or line that fixes it; every error has one.
    """

    __slots__ = ("fix", "mark", "text")

    def __init__(self, mark: str, text: str, fix: str = "") -> None:
        self.mark = mark
        self.text = text
        self.fix = fix


class Adapter(ABC):
    """One framework's adapter.

    Attributes:
        name: As in the entry point and in `MAS_GUARD_DISABLE`.
        target: The distribution that it guards, such as `langgraph`.
        supports: The version range, such as `>=1.1,<1.3`; `pyproject.toml`'s extra is held equal to it.
        module: The module whose import arms the adapter under `instrument()`.
    """

    name: str
    target: str
    supports: str
    module: str

    def options_of(self, app: Any) -> dict[str, Any] | None:
        """The options kept for a wrapped *app*; `None` where it is not this adapter's."""
        return None

    def found_version(self) -> str | None:
        """The installed version of the target; `None` where it is not installed."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(self.target)
        except PackageNotFoundError:
            return None

    def check_version(self) -> None:
        """Raise `UnsupportedVersion` where the installed target is outside `supports`."""
        found = self.found_version()
        if found is not None and not within_range(found, self.supports):
            raise UnsupportedVersion(
                f"{self.target} {found} is installed; mas-guard's {self.name} adapter supports {self.supports}. "
                f'Install a supported one: pip install "{self.target}{self.supports}".',
                target=self.target,
                found=found,
                supports=self.supports,
            )

    def loaded(self) -> bool:
        """True where the framework has been imported already."""
        return self.module in sys.modules

    def can_wrap(self, app: Any) -> bool:
        """True where *app* is one of this framework's apps. Must not import the framework."""
        return False

    @abstractmethod
    def arm(self, guard: Guard) -> None:
        """Put the seams in. Idempotent; raises `SeamMissing`."""

    @abstractmethod
    def disarm(self) -> list[str]:
        """Take the seams back; returns those that somebody wrapped on top."""

    def wrap(self, app: Any, guard: Guard, policy: Policy) -> Any:
        """Return *app* guarded under *policy*."""
        raise NotImplementedError

    def declared_outputs(self, app: Any) -> Mapping[str, tuple[Any, tuple[str, ...]]]:
        """The type that each agent of *app* declares to give, and the agents that take it."""
        return {}

    def agent_names(self, app: Any) -> frozenset[str]:
        """The names under which agents of *app* can act, as far as its structure tells; empty where it tells none."""
        return frozenset()

    def examine(self, app: Any) -> list[Finding]:
        """What `doctor` should say about *app*."""
        return []


def within_range(version: str, supports: str) -> bool:
    """True where *version* lies in a range of `>=`, `<`, `<=`, `>`, `==` clauses joined by commas.

    Only release numbers count: a pre-release of the first unsupported version is unsupported as well.
    """
    found = _numbers(version)
    for clause in supports.split(","):
        clause = clause.strip()
        for operator in (">=", "<=", "==", ">", "<"):
            if clause.startswith(operator):
                bound = _numbers(clause[len(operator) :])
                width = max(len(found), len(bound))
                left = found + (0,) * (width - len(found))
                right = bound + (0,) * (width - len(bound))
                holds = {
                    ">=": left >= right,
                    "<=": left <= right,
                    "==": left == right,
                    ">": left > right,
                    "<": left < right,
                }[operator]
                if not holds:
                    return False
                break
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.strip().split("."):
        digits = ""
        for character in part:
            if not character.isdigit():
                break
            digits += character
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def outside_run(what: str) -> None:
    """Say that *what* is outside of every run; raises where `OUTSIDE_RUN=refuse`."""
    from mas_guard._guard import shared_guard

    shared_guard().call_outside_run(what)


def unguarded(what: str) -> None:
    """Say that *what* is not guarded: once in the log, as an event, and in the outcome of the run it happens in."""
    from mas_guard._guard import shared_guard

    shared_guard().unguarded(what)


def usage_of_error(error: BaseException) -> Usage:
    """What a failed call is charged: nothing where the provider answered with an error status, since it does
    not bill those; unknown, and so charged as held, where it may have done the work (time-outs, cut lines)."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return Usage(0, 0)
    # A call that our own deadline cut was under way: the provider may bill it whole.
    refused_unsent = isinstance(error, GuardStopped) and not isinstance(error, DeadlineExceeded)
    return Usage(0, 0) if refused_unsent else Usage()


def guard_call(run: Run, call: Call, send: Callable[[], Any], read: Reader) -> Any:
    """Guard one synchronous call; returns its value, or an `Answer` where it was not made."""
    return drive(call_flow(run, call), send, read, run.engine.plugins.errors)


def guard_call_async(run: Run, call: Call, send: Callable[[], Awaitable[Any]], read: Reader) -> Awaitable[Any]:
    """Guard one asynchronous call; gives its value, or an `Answer` where it was not made."""
    return drive_async(call_flow(run, call), send, read, run.engine.plugins.errors)


def guard_stream(
    run: Run, call: Call, send: Callable[[], Iterator[Any]], collector: Collector
) -> Generator[Any, None, Answer | None]:
    """Guard one synchronous stream."""
    return drive_stream(call_flow(run, call), send, collector, run.engine.plugins.errors)


def guard_stream_async(
    run: Run, call: Call, send: Callable[[], AsyncIterator[Any]], collector: Collector
) -> AsyncIterator[Any]:
    """Guard one asynchronous stream."""
    return drive_stream_async(call_flow(run, call), send, collector, run.engine.plugins.errors)


_open_streams: ContextVar[tuple[OngoingCall, ...]] = ContextVar("mas_guard_open_streams", default=())


def begin_call(run: Run, call: Call) -> OngoingCall | Answer | None:
    """Begin a call whose reply is read after its sender has returned.

    Send it inside the `OngoingCall`'s `scope()`, and settle that when the reply ends. `None` where the guard itself
    failed: send it unguarded.
    """
    with _inside_open_streams(run, call):
        return begin(call_flow(run, call), run.engine.plugins.errors)


async def begin_call_async(run: Run, call: Call) -> OngoingCall | Answer | None:
    """As `begin_call`, waiting for budget without blocking the event loop."""
    with _inside_open_streams(run, call):
        return await begin_async(call_flow(run, call), run.engine.plugins.errors)


def keep_open(ongoing: OngoingCall) -> None:
    """*ongoing* goes on as a stream: a call made by whoever reads it does not wait for what the stream holds."""
    _open_streams.set((*(stream for stream in _open_streams.get() if stream.open), ongoing))


@contextmanager
def _inside_open_streams(run: Run, call: Call) -> Iterator[None]:
    holds = {
        live.booking.hold_id
        for stream in _open_streams.get()
        if stream.open
        for variable, live in stream.variables
        if variable is live_call and live.booking is not None
    }
    if not holds:
        yield
        return
    around = LiveCall(run, call, None, live_call.get())
    around.inside |= holds
    token = live_call.set(around)
    try:
        yield
    finally:
        live_call.reset(token)


def guard_step(run: Run, step: Step, scope: StepScope, send: Callable[[], Any], read: Reader) -> Any:
    """Put one synchronous activation of an agent to the rules, before and after."""
    return drive(step_flow(run, step, scope), send, read, run.engine.plugins.errors)


async def guard_step_async(
    run: Run, step: Step, scope: StepScope, send: Callable[[], Awaitable[Any]], read: Reader
) -> Any:
    """Put one asynchronous activation of an agent to the rules, before and after."""
    return await drive_async(step_flow(run, step, scope), send, read, run.engine.plugins.errors)


def guard_handoff(run: Run, handoff: Handoff) -> Answer | None:
    """Let control pass, or say why not."""
    return drive(  # type: ignore[no-any-return]
        handoff_flow(run, handoff), lambda: None, lambda _: CallOutcome(), run.engine.plugins.errors
    )
