"""What the provider keeps for the app: conversations whose input is not in the request.

Its size is known from the last reply: that reply's input and output are what the next request brings along unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mas_guard.types import Usage

UNKNOWN_HISTORY = 32_768  # tokens held for a conversation that this process has not seen a reply of
PER_REFERENCE = 4_096  # tokens held for an item or a prompt that is sent by reference
PER_HOSTED_TOOL = 16_384  # tokens held for what a tool that the provider runs may put into the input
REMEMBERED = 10_000

_OWN_TOOLS = ("function", "custom")
_sizes: dict[str, int] = {}


def remember(body: Mapping[str, Any], reply_id: str, usage: Usage) -> None:
    """Note how much the provider keeps after this reply."""
    if not usage.known:
        return
    tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    # Single operations on a dict, no lock: a reply may be settled by the garbage collector in the middle of this.
    for name in (reply_id, conversation_of(body)):
        if name:
            _sizes.pop(name, None)
            _sizes[name] = tokens
    while len(_sizes) > REMEMBERED:
        try:
            del _sizes[next(iter(_sizes))]
        except (KeyError, RuntimeError, StopIteration):
            return


def unseen_tokens(body: Mapping[str, Any], context_window: int | None) -> int:
    """The tokens to hold for input that is not in the request; 0 where all of it is."""
    tokens = 0
    held_by = body.get("previous_response_id") or conversation_of(body)
    if held_by:
        unknown = min(UNKNOWN_HISTORY, context_window or UNKNOWN_HISTORY)
        tokens += _sizes.get(str(held_by), unknown)
    if isinstance(body.get("prompt"), Mapping):
        tokens += PER_REFERENCE
    for item in _mappings(body.get("input")):
        if item.get("type") == "item_reference":
            tokens += PER_REFERENCE
    hosted = [tool for tool in _mappings(body.get("tools")) if tool.get("type", "function") not in _OWN_TOOLS]
    return tokens + len(hosted) * PER_HOSTED_TOOL + (PER_HOSTED_TOOL if body.get("web_search_options") else 0)


def conversation_of(body: Mapping[str, Any]) -> str:
    """The id of the conversation that a request belongs to, however it is written; empty for none."""
    conversation = body.get("conversation")
    if isinstance(conversation, Mapping):
        conversation = conversation.get("id")
    return conversation if isinstance(conversation, str) else ""


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []
