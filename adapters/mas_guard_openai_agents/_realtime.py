"""Realtime sessions bypass the runner and every model seam: they are said to be unguarded, not guarded in part."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard.adapter import unguarded

Make = Callable[..., Any]


def make_run(original: Make) -> Make:
    """Wrap `RealtimeRunner.run`."""

    @functools.wraps(original)
    async def run(self: Any, *arguments: Any, **keywords: Any) -> Any:
        unguarded("a realtime session of the Agents SDK: nothing in it is counted, limited or handed over by the guard")
        return await original(self, *arguments, **keywords)

    return run
