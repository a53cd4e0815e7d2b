"""What tests of guarded apps need: a local model server that speaks the OpenAI wire formats.

Names are loaded on first use, so that importing `mas_guard.testing` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mas_guard.testing._model_maximums import MODEL_MAXIMUMS
    from mas_guard.testing._request import Request
    from mas_guard.testing.model_server import ModelServer
    from mas_guard.testing.replies import Reply, ToolCallReply, call, fault, text

__all__ = ["MODEL_MAXIMUMS", "ModelServer", "Reply", "Request", "ToolCallReply", "call", "fault", "text"]

_HOMES = {
    "MODEL_MAXIMUMS": "_model_maximums",
    "ModelServer": "model_server",
    "Reply": "replies",
    "Request": "_request",
    "ToolCallReply": "replies",
    "call": "replies",
    "fault": "replies",
    "text": "replies",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
