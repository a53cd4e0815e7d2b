"""Answers to tool calls that a conversation held by the provider still waits for.

Where the provider keeps the history, a call that was asked for stands there at once, and its answer goes out with the
next request. If a stop keeps that request from being sent, the next message on the same conversation would be refused;
so the answers go out before it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import current_run

if TYPE_CHECKING:
    from mas_guard_openai_agents._request import Request

REMEMBERED = 1000  # conversations; the oldest is forgotten

_owed: OrderedDict[str, list[Any]] = OrderedDict()


def remember(request: Request) -> None:
    """*request* was not sent: what it would have answered is owed."""
    conversation = request["conversation_id"]
    answers = [item for item in _items(request) if str(item.get("type", "")).endswith("_output")]
    if not conversation or not answers:
        return
    _owed[conversation] = answers
    _owed.move_to_end(conversation)
    while len(_owed) > REMEMBERED:
        _owed.popitem(last=False)
    run = current_run.get()
    if run is not None:
        run.note(
            f"conversation {conversation} waits for the answers to {len(answers)} tool calls: they go out with the next "
            "request to it from this process"
        )


def to_send(request: Request) -> list[Any]:
    """The answers to put before the input of *request*."""
    conversation = request["conversation_id"]
    if not _owed or not conversation or conversation not in _owed:
        return []
    there = {item.get("call_id") for item in _items(request)}
    return [answer for answer in _owed[conversation] if answer.get("call_id") not in there]


def answered(request: Request) -> None:
    """*request* was answered, and with it all that its conversation was owed."""
    if _owed and request["conversation_id"]:
        _owed.pop(request["conversation_id"], None)


def _items(request: Request) -> list[Any]:
    given = request["input"]
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
