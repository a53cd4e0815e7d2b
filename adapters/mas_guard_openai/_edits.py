"""What the guard changes in a request, always in copies: notes for the model, a cap that binds, usage of streams.

Under the defaults there is nothing to change, and the app's own options are sent as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mas_guard.adapter import ModelCall
from mas_guard.prices import held_history
from mas_guard_openai._kinds import CHAT, COMPLETIONS, RESPONSES, Kind

# Reasoning models refuse `max_tokens`; most compatible servers know nothing else.
_OPENAI_MODEL = re.compile(r"(ft:)?(gpt-|chatgpt|o\d|codex)", re.IGNORECASE)
_OPENAI_HOST = re.compile(r"(\.|//)(openai|openai\.azure|cognitiveservices\.azure|services\.ai\.azure)\.(com|us)\b")


def changes(kind: Kind, call: ModelCall, body: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The fields that differ from what the app asked for."""
    changed: dict[str, Any] = {}
    if call.output_cap is not None and kind.cap_keys:
        changed[_cap_key(kind, body, host)] = call.output_cap
    if call.notes:
        changed.update(_with_notes(kind, body, call.notes))
    if call.concluding and kind in (CHAT, RESPONSES):
        if body.get("tools"):
            changed["tool_choice"] = "none"
        if body.get("functions"):
            changed["function_call"] = "none"
    return changed


def lacks_usage(kind: Kind, body: Mapping[str, Any]) -> bool:
    """True for a stream that will not report its usage unless asked."""
    if kind not in (CHAT, COMPLETIONS) or body.get("stream") is not True:
        return False
    options = body.get("stream_options")
    return not (isinstance(options, Mapping) and options.get("include_usage"))


def asking_for_usage(body: Mapping[str, Any]) -> dict[str, Any]:
    """The field that asks a stream for its usage, beside the app's own stream options."""
    options = body.get("stream_options")
    return {"stream_options": {**(options if isinstance(options, Mapping) else {}), "include_usage": True}}


def applied(options: Any, changed: Mapping[str, Any]) -> Any:
    """A copy of *options* with *changed* in its body; what stands in `extra_body` is changed there, as it wins."""
    copy = options.model_copy()
    if not changed or not isinstance(options.json_data, Mapping):
        return copy
    extra = options.extra_json if isinstance(options.extra_json, Mapping) else {}
    copy.json_data = {
        **options.json_data,
        **{key: value for key, value in changed.items() if key not in extra},
    }
    if extra:
        copy.extra_json = {**extra, **{key: value for key, value in changed.items() if key in extra}}
    return copy


def _cap_key(kind: Kind, body: Mapping[str, Any], host: str) -> str:
    own = next((key for key in kind.cap_keys if body.get(key) is not None), None)
    if own is not None:
        return own
    if kind is CHAT and not (_OPENAI_MODEL.match(str(body.get("model"))) or _OPENAI_HOST.search(host)):
        return "max_tokens"
    return kind.cap_keys[0]


def _with_notes(kind: Kind, body: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    # User messages: several providers refuse a system message anywhere but first.
    messages = [{"role": "user", "content": note} for note in notes]
    if kind is CHAT and isinstance(body.get("messages"), list | tuple):
        return {"messages": [*body["messages"], *messages]}
    if kind is RESPONSES:
        if body.get("previous_response_id") or held_history.conversation_of(body):
            # What stands in `input` would stay in the history that the provider keeps.
            return {"instructions": "\n\n".join([*filter(None, [body.get("instructions")]), *notes])}
        given = body.get("input")
        if isinstance(given, str):
            return {"input": [{"role": "user", "content": given}, *messages]}
        if isinstance(given, list | tuple):
            return {"input": [*given, *messages]}
    if kind is COMPLETIONS and isinstance(body.get("prompt"), str):
        return {"prompt": "\n\n".join([body["prompt"], *notes])}
    return {}
