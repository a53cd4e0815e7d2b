"""OpenTelemetry GenAI spans: each trace is a run, put in order by the time at which its spans began."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mas_guard.config import Policy
from mas_guard.diagnose._span_values import MODEL_OPERATIONS, Span, read_span, spans_in
from mas_guard.diagnose.diagnosis import Diagnosis
from mas_guard.diagnose.findings import Report
from mas_guard.types import Call, CallOutcome, ModelCall, ToolCall

__all__ = ["Spans", "spans_in"]

MOST_OPEN = 1_000  # traces without an end that are kept; the oldest is reported as it stands
SETTLING = 32  # ended traces that are kept a little longer: spans of other processes arrive late


class Spans:
    """Takes the spans of many traces, mixed as they were exported, and reports a trace some time after its root ended."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._open: OrderedDict[str, list[Span]] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def take(self, spans: list[Mapping[str, Any]], refuse: Callable[[str], None]) -> Iterator[Report]:
        """Take the spans of one JSON value."""
        for written in spans:
            try:
                span = read_span(written)
            except (AttributeError, TypeError, ValueError, RecursionError) as error:
                refuse(f"a span that cannot be read ({type(error).__name__}: {error})")
                continue
            self._open.setdefault(span.trace, []).append(span)
            if not span.parent:
                self._ended[span.trace] = None
        while len(self._ended) > SETTLING:
            yield from self._report(self._ended.popitem(last=False)[0])
        while len(self._open) > MOST_OPEN:
            yield from self._report(next(iter(self._open)))

    def unfinished(self) -> Iterator[Report]:
        """Report what is left: the traces that ended first, then those without an end."""
        for trace in [*self._ended, *self._open]:
            yield from self._report(trace)

    def _report(self, trace: str) -> Iterator[Report]:
        self._ended.pop(trace, None)
        spans = self._open.pop(trace, [])
        if any(span.operation for span in spans):  # a trace of something else is no run
            yield _Trace(trace, self._policy, spans).read()


class _Trace:
    def __init__(self, trace: str, policy: Policy, spans: list[Span]) -> None:
        self._diagnosis = Diagnosis(trace, policy)
        self._spans = sorted(spans, key=lambda span: span.start)
        self._by_id = {span.id: span for span in spans}
        self._calls: dict[str, Call] = {}
        self._hops = 0
        self._before: dict[str, Span] = {}

    def read(self) -> Report:
        marks = [(span.start, 1, index, span) for index, span in enumerate(self._spans)]
        # What ended at the moment at which another began had ended before it.
        marks += [(span.end, 0 if span.end > span.start else 2, index, span) for index, span in enumerate(self._spans)]
        for _, which, index, span in sorted(marks, key=lambda mark: mark[:3]):
            if which == 1:
                self._began(index, span)
            else:
                self._ended(index, span)
        return self._diagnosis.report()

    def _began(self, index: int, span: Span) -> None:
        if span.operation == "invoke_agent":
            self._invoked(index, span)
        elif span.operation in MODEL_OPERATIONS or span.operation == "execute_tool":
            call = _call(span, self._agent_of(span))
            if call is None:  # without its content no two calls can be told apart: it is only counted
                self._diagnosis.add(self._diagnosis.calls.spend(index, {"tool_calls": 1}))
            else:
                self._calls[span.id] = call
                self._diagnosis.call_started(index, call)

    def _ended(self, index: int, span: Span) -> None:
        call = self._calls.pop(span.id, None)
        if call is None:
            return
        error = RuntimeError(span.error) if span.error else None
        self._diagnosis.call_ended(call, CallOutcome(span.answered or "", span.wanted, error=error))
        if isinstance(call, ModelCall):
            self._diagnosis.add(self._diagnosis.calls.spend(index, {"tokens": span.tokens}))
            if span.answered and not span.wanted:
                self._diagnosis.said(index, call.agent, span.answered)

    def _invoked(self, index: int, span: Span) -> None:
        parent = self._by_id.get(span.parent)
        above = self._agent_of(parent) if parent is not None else ""
        place = above or span.parent
        before = self._before.get(place)
        self._before[place] = span
        source = above or (before.agent if before is not None else "")
        together = before is not None and span.start < before.end
        if source and source != span.agent and not together:
            self._hops += 1
            self._diagnosis.handoff(index, source, span.agent, self._hops)

    def _agent_of(self, span: Span | None) -> str:
        seen = 0
        while span is not None and seen < len(self._spans):
            if span.agent:
                return span.agent
            span, seen = self._by_id.get(span.parent), seen + 1
        return ""


def _call(span: Span, agent: str) -> Call | None:
    if span.operation != "execute_tool":
        return ModelCall(span.name, agent, last_message=span.asked or "")
    if span.asked is None or (span.answered is None and not span.error):
        return None
    try:
        arguments = json.loads(span.asked)
    except (ValueError, RecursionError):
        arguments = span.asked
    return ToolCall(span.name, arguments if isinstance(arguments, dict) else {"": arguments}, agent)
