"""A request as the server saw it, and what tests ask of it, alike for both APIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHAT_COMPLETIONS = "/v1/chat/completions"
RESPONSES = "/v1/responses"


@dataclass(frozen=True)
class Request:
    """One model call as it arrived.

    Attributes:
        index: Order of arrival, from 0, refused requests included.
        path: "/v1/chat/completions" or "/v1/responses".
        body: The parsed JSON; empty where the bytes are no JSON object.
        raw: The bytes of the body, as sent.
        headers: The request headers, names in lower case.
    """

    index: int
    path: str
    body: dict[str, Any]
    raw: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def streamed(self) -> bool:
        """Whether a stream was asked for."""
        return self.body.get("stream") is True

    @property
    def tool_names(self) -> list[str]:
        """Names of the declared tools, in order; the type where a tool is hosted and has no name."""
        names = []
        for tool in _dicts(self.body.get("tools")):
            function = tool.get("function")
            inner = function if isinstance(function, dict) else tool
            names.append(str(inner.get("name") or tool.get("type", "")))
        return names

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages sent, oldest first, as `{"role", "content"}` with the content as text.

        An assistant's tool calls stand under `tool_calls` as `{"id", "name", "arguments"}`, a tool's answer
        has its `tool_call_id`. Responses items read the same; `instructions` come first as a system
        message. History that the server holds is not repeated here.
        """
        if self.path == CHAT_COMPLETIONS:
            return [_from_chat(message) for message in _dicts(self.body.get("messages"))]
        instructions = self.body.get("instructions")
        found = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
        given = self.body.get("input")
        if isinstance(given, str):
            return [*found, {"role": "user", "content": given}]
        return found + [_from_item(item) for item in _dicts(given)]

    @property
    def last_text(self) -> str:
        """The text of the last message; empty where there is none."""
        messages = self.messages
        return str(messages[-1]["content"]) if messages else ""

    @property
    def system(self) -> str:
        """The text of all system and developer messages, a line break between them."""
        return "\n".join(message["content"] for message in self.messages if message["role"] in ("system", "developer"))


def _from_chat(message: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.get("role"), "content": text_of(message.get("content"))}
    calls = _dicts(message.get("tool_calls"))
    if calls:
        plain["tool_calls"] = [_tool_call(call.get("id"), call.get("function")) for call in calls]
    if "tool_call_id" in message:
        plain["tool_call_id"] = message["tool_call_id"]
    return plain


def _from_item(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "function_call":
        call = _tool_call(item.get("call_id"), item)
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind == "function_call_output":
        return {"role": "tool", "content": text_of(item.get("output")), "tool_call_id": item.get("call_id")}
    return {"role": item.get("role", kind), "content": text_of(item.get("content"))}


def _tool_call(call_id: object, function: object) -> dict[str, Any]:
    named = function if isinstance(function, dict) else {}
    return {"id": call_id, "name": named.get("name"), "arguments": named.get("arguments")}


def text_of(content: object) -> str:
    """The text in a message's content, which is a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    parts = (part.get("text") or part.get("refusal") or "" for part in _dicts(content))
    return "".join(part for part in parts if isinstance(part, str))


def _dicts(value: object) -> list[dict[str, Any]]:
    # Requests are recorded before they are checked, so anything may stand in any place.
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
