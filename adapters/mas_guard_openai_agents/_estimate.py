"""An upper bound of a model call's input, worked out once per item: a long conversation costs no more than a short one.

A turn's input is the last turn's and a little more. What begins like the last one is known; only the rest is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from mas_guard.adapter import input_bound
from mas_guard.prices import PER_MEDIA, PER_MESSAGE, visible

REMEMBERED_TOOLS = 1024


class Estimate:
    """What one `Runner.run` has read so far.

    Attributes:
        media: How many parts of the latest input cannot be seen.
    """

    __slots__ = ("_bounds", "_count", "_items", "_tools", "media")

    def __init__(self, count: Callable[[str], int] = input_bound) -> None:
        self._count = count
        self._items: list[Any] = []
        self._bounds: list[tuple[int, int]] = [(0, 0)]  # of everything before each item: tokens, unseen parts
        self._tools: dict[int, tuple[Any, int]] = {}
        self.media = 0

    def bound(self, instructions: str | None, items: Any, tools: Sequence[Any], schema: Any) -> int:
        """The most tokens that a request of this can have. *tools* are the tools and the handoffs."""
        tokens = PER_MESSAGE + (self._count(instructions) + PER_MESSAGE if instructions else 0)
        for tool in tools:
            tokens += self._tool(tool)
        if schema is not None:
            tokens += self._schema(schema)
        if isinstance(items, str):
            self.media = 0
            return tokens + self._count(items) + PER_MESSAGE
        of_items, self.media = self._of_items(items)
        return tokens + of_items

    def _of_items(self, items: Sequence[Any]) -> tuple[int, int]:
        same = len(self._items)
        if same > len(items) or self._items != items[:same]:
            same = next(
                (at for at, (known, item) in enumerate(zip(self._items, items, strict=False)) if known != item),
                min(same, len(items)),
            )
            del self._items[same:], self._bounds[same + 1 :]
        for item in items[same:]:
            tokens, media = self._bounds[-1]
            of_item, unseen = self._item(item)
            tokens += of_item
            # A copy, so that a filter which changes an item in place is noticed.
            self._items.append(dict(item) if isinstance(item, dict) else item)
            self._bounds.append((tokens, media + unseen))
        return self._bounds[-1]

    def _item(self, item: Any) -> tuple[int, int]:
        """The tokens of one item, and its unseen parts."""
        texts = _texts_of(item)
        if texts is not None:
            # Most are flat: what is read of them are their texts, and what stands for the keys is small.
            return sum(map(self._count, texts)) + PER_MESSAGE, 0
        seen, unseen, numbers = visible(item)
        text = json.dumps(seen, ensure_ascii=False, default=str)
        return self._count(text) + PER_MESSAGE + unseen * PER_MEDIA + numbers, unseen

    def _tool(self, tool: Any) -> int:
        known = self._tools.get(id(tool))
        if known is not None and known[0] is tool:
            return known[1]
        described = {
            "name": getattr(tool, "name", None) or getattr(tool, "tool_name", ""),
            "description": getattr(tool, "description", None) or getattr(tool, "tool_description", ""),
            "parameters": getattr(tool, "params_json_schema", None) or getattr(tool, "input_json_schema", None),
        }
        tokens = self._count(json.dumps(described, ensure_ascii=False, default=str)) + PER_MESSAGE
        self._keep(tool, tokens)
        return tokens

    def _schema(self, schema: Any) -> int:
        known = self._tools.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        try:
            described = (
                "" if schema.is_plain_text() else json.dumps(schema.json_schema(), ensure_ascii=False, default=str)
            )
        except Exception:  # a schema of the app's own kind
            described = repr(schema)
        tokens = self._count(described) + PER_MESSAGE
        self._keep(schema, tokens)
        return tokens

    def _keep(self, thing: Any, tokens: int) -> None:
        # Handoffs and schemas are made anew each turn; the table must not grow with the turns.
        if len(self._tools) >= REMEMBERED_TOOLS:
            self._tools.clear()
        self._tools[id(thing)] = (thing, tokens)


def _texts_of(item: Any) -> list[str] | None:
    """The texts of an item that is made of them, or of one more level of them; `None` for any other, and for what may be
    media."""
    if not isinstance(item, dict):
        return None
    texts: list[str] = []
    for value in item.values():
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict) and "type" not in value and all(type(inner) is str for inner in value.values()):
            texts.extend(value.values())
        else:
            return None
    return texts
