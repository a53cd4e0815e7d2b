"""Which requests are model calls: the endpoints, where each keeps its input, and how it is capped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """An endpoint that answers with a model.

    Attributes:
        path: The end of its path.
        input_keys: The fields of its body that a model reads.
        cap_keys: The fields that cap its output, the present one first; empty where it takes no cap.
    """

    path: str
    input_keys: tuple[str, ...]
    cap_keys: tuple[str, ...] = ()


CHAT = Kind(
    "/chat/completions",
    ("messages", "tools", "functions", "response_format", "prediction"),
    ("max_completion_tokens", "max_tokens"),
)
RESPONSES = Kind("/responses", ("input", "instructions", "tools", "text"), ("max_output_tokens",))
COMPACTION = Kind("/responses/compact", ("input", "instructions"))
COMPLETIONS = Kind("/completions", ("prompt", "suffix"), ("max_tokens",))
EMBEDDINGS = Kind("/embeddings", ("input",))

_KINDS = (CHAT, RESPONSES, COMPACTION, COMPLETIONS, EMBEDDINGS)  # a path that ends in another's comes first
_PAID = ("/images", "/audio", "/videos", "/batches", "/fine_tuning", "/threads", "/evals", "/realtime")


def kind_of(options: Any) -> Kind | None:
    """The kind of model call that a request is; `None` for every other request."""
    return _kind_at(str(options.method), str(options.url))


@lru_cache(maxsize=256)
def _kind_at(method: str, url: str) -> Kind | None:
    if method.lower() != "post":
        return None
    path = url.partition("?")[0].rstrip("/")
    return next((kind for kind in _KINDS if path.endswith(kind.path)), None)


def unseen(options: Any) -> str:
    """The path of a request that costs and is not counted here; empty for others."""
    path = _path(options)
    return path if str(options.method).lower() == "post" and path.startswith(_PAID) else ""


def body_of(options: Any) -> Mapping[str, Any]:
    """The body as it will be sent, `extra_body` included; empty where it cannot be read."""
    body = options.json_data
    if body is None:
        body = getattr(options, "content", None)
    if isinstance(body, bytes | bytearray):
        body = _parsed(bytes(body))
    if not isinstance(body, Mapping):
        return {}
    return {**body, **options.extra_json} if isinstance(options.extra_json, Mapping) else body


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _path(options: Any) -> str:
    return str(options.url).partition("?")[0].rstrip("/")
