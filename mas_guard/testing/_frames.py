"""Server-sent events as the wire formats hand them to the HTTP side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Frame:
    """Bytes that go out together.

    Attributes:
        data: One or more server-sent events.
        is_chunk: Whether it carries a piece of the answer, which is what holds and drops count.
        is_last: Whether the client has the whole answer once it has this.
    """

    data: bytes
    is_chunk: bool = False
    is_last: bool = False


def event(payload: dict[str, Any], name: str | None = None) -> bytes:
    """One server-sent event with a JSON payload."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()
