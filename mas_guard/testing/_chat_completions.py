"""The wire format of Chat Completions, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mas_guard.testing._answer import Answer, AnswerCall, Usage, split
from mas_guard.testing._frames import Frame, event


def plain(answer: Answer) -> dict[str, Any]:
    """The JSON body of an answer that is not streamed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.refused or (answer.calls and not answer.text) else answer.text,
        "refusal": answer.text if answer.refused else None,
        "annotations": [],
    }
    if answer.calls:
        message["tool_calls"] = [_tool_call(call, call.arguments) for call in answer.calls]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        for index in range(answer.choices)
    ]
    body = {**_head(answer, "chat.completion"), "choices": choices}
    if answer.usage is not None:
        body["usage"] = _usage(answer.usage)
    return body


def stream(answer: Answer, *, with_usage: bool) -> Iterator[Frame]:
    """The events of a streamed answer; *with_usage* adds the last one, which has usage and no choices."""
    head = _head(answer, "chat.completion.chunk")
    if with_usage:
        head["usage"] = None

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**head, "choices": [choice]})

    for index in range(answer.choices):
        yield Frame(chunk(index, {"role": "assistant", "content": "", "refusal": None}))
        for piece in answer.pieces:
            yield Frame(chunk(index, {"refusal" if answer.refused else "content": piece}), is_chunk=True)
        for position, call in enumerate(answer.calls):
            yield Frame(chunk(index, {"tool_calls": [{"index": position, **_tool_call(call, "")}]}))
            for piece in split(call.arguments, 2):
                delta = {"index": position, "function": {"arguments": piece}}
                yield Frame(chunk(index, {"tool_calls": [delta]}), is_chunk=True)
    closing = b"".join(chunk(index, {}, answer.finish_reason) for index in range(answer.choices))
    if with_usage and answer.usage is not None:
        closing += event({**head, "choices": [], "usage": _usage(answer.usage)})
    yield Frame(closing + b"data: [DONE]\n\n", is_last=True)


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.index}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_local",
    }


def _tool_call(call: AnswerCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
