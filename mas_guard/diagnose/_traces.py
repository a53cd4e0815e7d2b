"""Recorded runs, one JSON object each: `{"id", "events": [{"i", "agent", "kind", "text", "tool"?, "args"?}]}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mas_guard.config import Policy
from mas_guard.diagnose.diagnosis import Diagnosis
from mas_guard.diagnose.findings import Report
from mas_guard.types import CallOutcome, ModelCall, ToolCall

USERS = frozenset({"user", "human", "customer"})
"""Who speaks for a person. A program that stands in for one is an agent like any other."""


def report_of_trace(record: Mapping[str, Any], policy: Policy) -> Report:
    """Replay one recorded run.

    `msg` is what an agent said, `tool_call` and `tool_result` what it called, `conclusion` the end of a phase that
    the app itself planned. Other kinds, such as `init`, `log` and `artifact`, are no turns of an agent.
    """
    return _Trace(str(record["id"]), policy).read(record["events"])


class _Trace:
    def __init__(self, run: str, policy: Policy) -> None:
        self._diagnosis = Diagnosis(run, policy)
        self._open: list[ToolCall] = []
        self._phase: Any = None

    def read(self, events: list[Any]) -> Report:
        for place, event in enumerate(events):
            index = event.get("i")
            self._event(index if isinstance(index, int) else place, event)
        return self._diagnosis.report()

    def _event(self, index: int, event: Mapping[str, Any]) -> None:
        kind, agent, text = event.get("kind"), _text(event.get("agent")), _text(event.get("text"))
        if kind == "msg":
            self._open.clear()
            if agent.lower() in USERS:
                self._diagnosis.user_turn()
            else:
                self._diagnosis.message(index, agent, text)
        elif kind == "tool_call":
            self._called(index, agent, event)
        elif kind == "tool_result" and self._open:
            self._diagnosis.call_ended(self._open.pop(0), CallOutcome(text))
        elif kind == "conclusion":
            self._diagnosis.phase_ended()

    def _called(self, index: int, agent: str, event: Mapping[str, Any]) -> None:
        if not self._open:
            # A model's reply asked for it, after it had read the results so far; calls asked for together are one.
            asked = ModelCall("", agent)
            self._diagnosis.calls.ended(asked, CallOutcome(tool_calls=("",)))
        call = ToolCall(_text(event.get("tool")), _arguments(event.get("args")), agent)
        self._open.append(call)
        self._diagnosis.acted(index, agent)
        self._diagnosis.call_started(index, call)


def _arguments(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return {"": given}
    return given if isinstance(given, dict) else {"": given}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)
