"""A store as somebody else would write it: the memory ledger that counts how often it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mas_guard import hookimpl
from mas_guard.ledger import Ask, Grant, Ledger, MemoryLedger, Refusal

opened: list[CountingLedger] = []


class CountingLedger(MemoryLedger):
    """Counts the reserves."""

    reserves = 0

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Count, then do as always."""
        self.reserves += 1
        return super().reserve(ask)


def open_store(url: str) -> CountingLedger:
    """Open the store that *url* names."""
    opened.append(CountingLedger())
    return opened[-1]


@hookimpl
def mas_guard_stores() -> Mapping[str, Callable[[str], Ledger]]:
    """The scheme that STORE names."""
    return {"counting": open_store}
