"""A rule as somebody else would write it: calls of dear models are vetoed."""

from __future__ import annotations

from typing import Any

from mas_guard import Verdict, hookimpl

DEAR = ("gpt-4o", "o3")


@hookimpl
def mas_guard_before_call(call: Any, run: Any) -> Verdict | None:
    """Stop the run before a dear model is asked."""
    if call.kind == "model" and call.model in DEAR:
        return Verdict("deny", "cheap_models", "stop", f"{call.model} is not on the list of cheap models; ask a mini.")
    return None
