"""The wire format of Responses, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from mas_guard.testing._answer import Answer, AnswerCall, Usage, split
from mas_guard.testing._frames import Frame, event

_INCOMPLETE_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_id(index: int) -> str:
    """The id of the response to the request with this index."""
    return f"resp_{index}"


def plain(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON body of an answer that is not streamed; *body* is the request's, parts of which are echoed."""
    reason = _INCOMPLETE_REASONS.get(answer.finish_reason)
    return {
        **_shell(answer, body),
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output_items(answer),
        "usage": _usage(answer.usage) if answer.usage is not None else None,
    }


def output_items(answer: Answer) -> list[dict[str, Any]]:
    """The items the answer adds to the conversation: its message, if it says anything, and its calls."""
    status = "incomplete" if answer.finish_reason in _INCOMPLETE_REASONS else "completed"
    items = []
    if answer.text or not answer.calls:
        items.append({**_message(answer), "status": status, "content": [_part(answer, answer.text)]})
    for position, call in enumerate(answer.calls):
        items.append({**_function_call(answer, call, position), "status": status, "arguments": call.arguments})
    return items


def stream(answer: Answer, body: dict[str, Any]) -> Iterator[Frame]:
    """The events of a streamed answer, in the order and with the fields that OpenAI sends them."""
    numbers = count()

    def send(kind: str, /, **fields: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(numbers), **fields}, kind)

    begun = _shell(answer, body)
    yield Frame(send("response.created", response=begun) + send("response.in_progress", response=begun))
    for index, item in enumerate(output_items(answer)):
        place = {"output_index": index, "item_id": item["id"]}
        empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        opening = {**item, **empty, "status": "in_progress"}
        yield Frame(send("response.output_item.added", output_index=index, item=opening))
        if item["type"] == "message":
            kind, field = ("refusal", "refusal") if answer.refused else ("output_text", "text")
            place["content_index"] = 0
            extra: dict[str, Any] = {} if answer.refused else {"logprobs": []}
            yield Frame(send("response.content_part.added", **place, part=_part(answer, "")))
            for piece in answer.pieces:
                yield Frame(send(f"response.{kind}.delta", **place, delta=piece, **extra), is_chunk=True)
            done = send(f"response.{kind}.done", **place, **{field: answer.text}, **extra)
            yield Frame(done + send("response.content_part.done", **place, part=item["content"][0]))
        else:
            name = "response.function_call_arguments"
            for piece in split(item["arguments"], 2):
                yield Frame(send(f"{name}.delta", **place, delta=piece), is_chunk=True)
            yield Frame(send(f"{name}.done", **place, name=item["name"], arguments=item["arguments"]))
        yield Frame(send("response.output_item.done", output_index=index, item=item))
    finished = plain(answer, body)
    yield Frame(send(f"response.{finished['status']}", response=finished), is_last=True)


def _shell(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    conversation = body.get("conversation")
    if isinstance(conversation, str):
        conversation = {"id": conversation}
    return {
        "id": response_id(answer.index),
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "conversation": conversation,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": body.get("store") is not False,
        "temperature": body.get("temperature"),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "usage": None,
        "service_tier": "default",
    }


def _message(answer: Answer) -> dict[str, Any]:
    return {"id": f"msg_{answer.index}", "type": "message", "role": "assistant"}


def _function_call(answer: Answer, call: AnswerCall, position: int) -> dict[str, Any]:
    item_id = f"fc_{answer.index}_{position}"
    return {"id": item_id, "type": "function_call", "call_id": call.id, "name": call.name}


def _part(answer: Answer, text: str) -> dict[str, Any]:
    if answer.refused:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
