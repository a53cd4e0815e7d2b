"""Answers to tool calls that a conversation held by the provider still waits for.

Where the provider keeps the history, a call that a model asks for stands there at once, and its answer goes out with the
next request. If a stop keeps that request from being sent, or the last reply asks for a tool that is not run any more,
the next message on the same conversation would be refused; so the answers go out before it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import NOT_EXECUTED, Run
from mas_guard_openai_agents._text import field

if TYPE_CHECKING:
    from mas_guard_openai_agents._request import Request

REMEMBERED = 1000  # conversations; the oldest is forgotten
OWED = "owed"  # the kind of their records, where other processes see them

_owed: OrderedDict[str, list[Any]] = OrderedDict()


class OpenCalls:
    """What the conversations of one `Runner.run` wait for: by conversation or reply, each call and its answer where
    there is one by now."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Any]] = {}

    def replied(self, run: Run, request: Request, reply_id: Any, output: Any) -> None:
        """The provider has taken *request* and answered with *output*."""
        if request.held_by_provider:
            request.answered = self._waiting.pop(request.history, {})
            _owed.pop(request.history, None)
            if request.owed and run.store.shared:
                run.store.quietly(lambda records: records.delete(OWED, request.history))
        else:
            self._waiting.clear()  # the app sends its history itself, unless it begins to chain replies now
        history = request["conversation_id"] or reply_id
        calls = {field(item, "call_id"): None for item in output or () if field(item, "type") == "function_call"}
        if history and calls:
            self._waiting[str(history)] = calls

    def not_taken(self, request: Request) -> None:
        """*request* was not sent, or failed, or its reply is kept from the app: what it answers is still to be said, in a
        chain of replies also where the provider has heard it, since the app goes on from the reply before."""
        if request.answered and not request["conversation_id"]:
            self._waiting[request.history] = request.answered
        waiting = self._waiting.get(request.history)
        for answer in _answers(request) if waiting or request.owed else ():
            if waiting is not None and answer.get("call_id") in waiting:
                waiting[answer["call_id"]] = answer

    def owe(self, run: Run, items: list[Any]) -> None:
        """The run has been stopped: what is still open is owed, with the results that stand in *items*."""
        raw = [getattr(item, "raw_item", None) for item in items] if self._waiting else []
        found = {answer["call_id"]: answer for answer in raw if isinstance(answer, dict) and _is_answer(answer)}
        for history, waiting in self._waiting.items():
            _owed[history] = [answer or found.get(call) or _not_executed(call) for call, answer in waiting.items()]
            _owed.move_to_end(history)
            told = _told_to_others(run, history)
            run.note(
                f"the conversation {history} waits for the answers to {len(waiting)} tool calls: they go out with the "
                f"next request to it{'' if told else ', if that is sent by this process'}"
            )
        while len(_owed) > REMEMBERED:
            _owed.popitem(last=False)


def to_send(run: Run, request: Request) -> list[Any]:
    """The answers to put before the input of *request*."""
    owed = _owed.get(request.history)
    if owed is None and run.store.shared and request.held_by_provider:
        found = run.store.quietly(lambda records: records.get(OWED, request.history))
        owed = found.value["answers"] if found is not None else None
    if not owed:
        return []
    there = {answer.get("call_id") for answer in _answers(request)}
    return [answer for answer in owed if answer.get("call_id") not in there]


def _told_to_others(run: Run, history: str) -> bool:
    """Put what is owed where other processes see it; False where there is no such place."""
    if not run.store.shared:
        return False
    try:
        answers = json.loads(json.dumps(_owed[history]))
    except (TypeError, ValueError):  # a result that is no JSON: this process can still send it
        return False
    return run.store.quietly(lambda records: records.put(OWED, history, {"answers": answers})) is not None


def _answers(request: Request) -> list[Any]:
    given = request["input"]
    items = given if isinstance(given, list) else ()
    return [item for item in items if isinstance(item, dict) and _is_answer(item)]


def _is_answer(item: dict[str, Any]) -> bool:
    return str(item.get("type", "")).endswith("_output") and "call_id" in item


def _not_executed(call: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call, "output": NOT_EXECUTED}
