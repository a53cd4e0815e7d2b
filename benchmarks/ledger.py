"""What the memory ledger costs, against one hit of `limits`' in-memory fixed window in the same run.

Each round times both sides one after the other, and a figure is the median over the rounds of ours divided by
theirs; so a busy machine slows both. Ours includes building the ask and, beyond the tombstone bound, forgetting
the oldest id: what a guarded call really pays. Run as a script it prints a table.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from mas_guard.ledger import Account, Ask, Grant, MemoryLedger
from mas_guard.types import ZERO, Amounts, Limits

ROUNDS = 25
CALLS = 2_000
WARM_UP = 12_000
"""Calls before the first round: more than the ids that an account remembers."""

BASE = Amounts(800, 1, 0, 2_400_000)
PER_OUTPUT = Amounts(1, 0, 0, 15_000)
ACTUAL = Amounts(912, 1, 0, 4_080_000)
OWNERS_SHARE = Amounts(1_000_000, 1, 10, 1_000_000_000)
LIMITS = Limits(10**12, 10**9, 10**9, 10**17)

Round = Callable[[list[str]], None]


def measure() -> dict[str, float]:
    """Return the ratios to one fixed-window hit, by what was measured."""
    hit = _hits()
    kinds: dict[str, Round] = {
        "ledger: reserve + settle, 1 account": _settled(1),
        "ledger: reserve + settle, 1 account, owner's share": _settled(1, keep=OWNERS_SHARE),
        "ledger: reserve + dispatch + settle, 1 account": _sent(1),
        "ledger: reserve + settle, 4 accounts": _settled(4),
        "ledger: reserve + dispatch + settle, 4 accounts": _sent(4),
        "ledger: refused reserve, 1 account": _refused(),
    }
    ratios: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        for name, ours in kinds.items():
            ids = [f"run:{number}:call:{call}" for call in range(CALLS)]
            theirs = _seconds(hit, ids)
            ratios[name].append(_seconds(ours, ids) / theirs)
    return {name: round(median(values), 3) for name, values in ratios.items()}


def _seconds(work: Round, ids: list[str]) -> float:
    begin = perf_counter()
    work(ids)
    return perf_counter() - begin


def _hits() -> Round:
    limiter = FixedWindowRateLimiter(MemoryStorage())
    item = RateLimitItemPerHour(10**9)

    def hits(ids: list[str]) -> None:
        for _ in ids:
            limiter.hit(item, "run")

    return hits


def _ledger(levels: int) -> tuple[MemoryLedger, tuple[Account, ...]]:
    ledger = MemoryLedger()
    accounts = tuple(ledger.open(f"level:{level}", LIMITS) for level in range(levels))
    for call in range(WARM_UP):
        ledger.reserve(Ask(f"warm:{call}", accounts, BASE))
        ledger.settle(f"warm:{call}", BASE)
    return ledger, accounts


def _settled(levels: int, keep: Amounts = ZERO) -> Round:
    ledger, accounts = _ledger(levels)

    def settled(ids: list[str]) -> None:
        for hold_id in ids:
            ledger.reserve(Ask(hold_id, accounts, BASE, PER_OUTPUT, 1_000, 500, keep))
            ledger.settle(hold_id, ACTUAL)

    return settled


def _sent(levels: int) -> Round:
    ledger, accounts = _ledger(levels)

    def sent(ids: list[str]) -> None:
        for hold_id in ids:
            ledger.reserve(Ask(hold_id, accounts, BASE, PER_OUTPUT, 1_000, 500))
            ledger.dispatch(hold_id, 600.0)
            ledger.settle(hold_id, ACTUAL)

    return sent


def _refused() -> Round:
    ledger, accounts = _ledger(1)
    rest = ledger.reserve(Ask("rest", accounts, Amounts(LIMITS[0] - ledger.read(accounts[0]).settled.tokens)))
    if not isinstance(rest, Grant):
        raise TypeError(f"the rest of the limit was refused: {rest}")

    def refused(ids: list[str]) -> None:
        for hold_id in ids:
            ledger.reserve(Ask(hold_id, accounts, BASE, PER_OUTPUT, 1_000, 500))

    return refused


if __name__ == "__main__":
    for name, ratio in measure().items():
        print(f"{name:<60} {ratio:5.2f} of one fixed-window hit")
