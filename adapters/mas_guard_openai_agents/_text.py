"""Replies of the SDK's models as how a call ended: text, tools asked for, usage, and what the guard does not see."""

from __future__ import annotations

from typing import Any

from mas_guard.adapter import CallOutcome, ModelCall, Run, Usage, was_cut_by_us
from mas_guard.types import UNKNOWN_USAGE

PLAIN = ("message", "reasoning")
SEEN = ("message", "reasoning", "function_call", "compaction")


def field(thing: Any, name: str) -> Any:
    """A field of an object of the client's or of its plain form."""
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def text_of(content: Any) -> str:
    """The readable text of a message's content or a tool's output."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = (field(part, "text") or field(part, "refusal") for part in content)
    return "".join(text for text in texts if isinstance(text, str))


def read_output(run: Run, call: ModelCall, output: Any, usage: Usage) -> CallOutcome:
    """How a call ended that gave the items *output*."""
    texts: list[str] = []
    calls: list[str] = []
    other = refused = False
    for item in output or ():
        kind = field(item, "type")
        if kind == "message":
            content = field(item, "content")
            texts.append(text_of(content))
            refused = refused or _has_refusal(content)
        elif kind == "function_call":
            calls.append(str(field(item, "name")))
        elif kind not in SEEN and str(kind).endswith("_call"):
            run.note(f"unguarded: a {kind} was carried out outside of the calls of tools that are counted and checked")
        if kind not in PLAIN:
            other = True
    return CallOutcome(
        "\n".join(texts),
        tuple(calls),
        usage,
        cut=was_cut_by_us(call, usage),
        answered=not other,
        refused=refused,
    )


def _has_refusal(content: Any) -> bool:
    return isinstance(content, list | tuple) and any(field(part, "type") == "refusal" for part in content)


def usage_of(said: Any) -> Usage:
    """The SDK's usage, or a provider's. The SDK writes 0 where the provider said nothing, and no call takes no input,
    so zeros are unknown."""
    sent, received = field(said, "input_tokens"), field(said, "output_tokens")
    if not isinstance(sent, int) or not isinstance(received, int) or not (sent or received):
        return UNKNOWN_USAGE
    cached = field(field(said, "input_tokens_details"), "cached_tokens")
    return Usage(sent, received, cached_tokens=cached if isinstance(cached, int) else 0)
