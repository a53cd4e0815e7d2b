"""The history that a Responses server keeps for its clients: `previous_response_id` and `conversation`."""

from __future__ import annotations

from threading import Lock
from typing import Any

from mas_guard.testing._refusal import Refusal

Item = dict[str, Any]


class HeldHistory:
    """Items by response and by conversation. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._responses: dict[str, list[Item]] = {}
        self._conversations: dict[str, list[Item]] = {}
        self._items: dict[str, Item] = {}

    def open_conversation(self, items: list[Item]) -> str:
        """Begin a conversation with these items; returns its id."""
        with self._lock:
            name = f"conv_{len(self._conversations)}"
            self._conversations[name] = list(items)
            return name

    def before(self, body: dict[str, Any]) -> list[Item]:
        """The items that the server holds from before this request.

        Raises:
            Refusal: the response or conversation is unknown, or both are named.
        """
        previous, conversation = body.get("previous_response_id"), conversation_of(body)
        if previous and conversation:
            raise Refusal(
                "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. "
                "Ensure you are only providing one of them.",
                code="mutually_exclusive_parameters",
            )
        with self._lock:
            if previous:
                if previous not in self._responses:
                    raise Refusal(
                        f"Previous response with id '{previous}' not found.",
                        param="previous_response_id",
                        code="previous_response_not_found",
                    )
                return list(self._responses[previous])
            if conversation:
                if conversation not in self._conversations:
                    raise Refusal(f"Conversation with id '{conversation}' not found.", status=404)
                return list(self._conversations[conversation])
        return []

    def given(self, body: dict[str, Any]) -> list[Item]:
        """The items of the request itself, references to stored items resolved.

        Raises:
            Refusal: an item is referred to that was never stored.
        """
        if isinstance(body["input"], str):
            return [{"type": "message", "role": "user", "content": body["input"]}]
        with self._lock:
            return [self._resolved(item) for item in body["input"]]

    def keep(self, body: dict[str, Any], response_id: str, items: list[Item], output: list[Item]) -> None:
        """Store what a finished response adds: *items* is the history up to it, *output* what it said."""
        with self._lock:
            conversation = conversation_of(body)
            if conversation:
                self._conversations[conversation] = [*items, *output]
            if body.get("store") is not False:
                self._responses[response_id] = [*items, *output]
                self._items.update((item["id"], item) for item in output)

    def _resolved(self, item: Item) -> Item:
        if item.get("type") != "item_reference":
            return item
        if item["id"] not in self._items:
            raise Refusal(f"Item with id '{item['id']}' not found.", param="input", status=404)
        return self._items[item["id"]]


def conversation_of(body: dict[str, Any]) -> str | None:
    """The id of the conversation a request belongs to, however it is written."""
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    return conversation if isinstance(conversation, str) else None
