"""What the memory ledger costs, against one hit of `limits`' in-memory fixed window in the same run.

Each round is one run of `CALLS` calls under the default token limit, on accounts of its own. It times both sides
one after the other, and a figure is the median over the rounds of ours divided by theirs; so a busy machine slows
both. The asks are built beforehand, as the window's item is, except where the row says otherwise. Run as a script
it prints a table.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from statistics import median
from time import perf_counter

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from mas_guard.ledger import REMEMBERED_IDS, Account, Ask, MemoryLedger
from mas_guard.types import ZERO, Amounts, Limits

BOUNDS = {"ledger: reserve + settle, 1 account": 0.60}
ROUNDS = 25
CALLS = 4_000
BASE = Amounts(800, 1, 0, 2_400_000)
PER_OUTPUT = Amounts(1, 0, 0, 15_000)
ACTUAL = Amounts(912, 1, 0, 4_080_000)
OWNERS_SHARE = Amounts(1_000_000, 1, 20, 10_000_000_000)
LIMITS = Limits(10_000_000, 10_000, 200, 100_000_000_000)

Work = Callable[[MemoryLedger, tuple[Account, ...], list[Ask]], None]


def measure() -> dict[str, float]:
    """Return the ratios to one fixed-window hit, by what was measured."""
    hits = FixedWindowRateLimiter(MemoryStorage())
    item = RateLimitItemPerHour(10**9)
    ledger = MemoryLedger()
    names = count()
    ratios: dict[str, list[float]] = {}

    def compare(name: str, work: Work, levels: int = 1, keep: Amounts = ZERO, calls: int = CALLS) -> None:
        accounts = tuple(ledger.open(f"level {next(names)}", LIMITS) for _ in range(levels))
        asks = [_ask(f"run:call:{call}", accounts, keep) for call in range(calls)]
        begin = perf_counter()
        for _ in asks:
            hits.hit(item, "run")
        middle = perf_counter()
        work(ledger, accounts, asks)
        end = perf_counter()
        ratios.setdefault(name, []).append((end - middle) / (middle - begin))
        for account in accounts:
            ledger.close(account)

    for _ in range(ROUNDS):
        compare("reserve + settle, 1 account", _settled)
        compare("reserve + settle, 1 account, with building the ask", _built_and_settled)
        compare("reserve + settle, 1 account, owner's share kept", _settled, keep=OWNERS_SHARE)
        compare("reserve + dispatch + settle, 1 account", _sent)
        compare("reserve + settle, 4 accounts", _settled, levels=4)
        compare("reserve + dispatch + settle, 4 accounts", _sent, levels=4)
        compare("refused reserve, 1 account", _refused)
    for _ in range(3):
        compare("reserve + settle, more ids than are remembered", _small, calls=3 * REMEMBERED_IDS)
    return {f"ledger: {name}": round(median(values), 3) for name, values in ratios.items()}


def _ask(hold_id: str, accounts: tuple[Account, ...], keep: Amounts = ZERO) -> Ask:
    return Ask(hold_id, accounts, BASE, PER_OUTPUT, 1_000, 500, keep)


def _settled(ledger: MemoryLedger, accounts: tuple[Account, ...], asks: list[Ask]) -> None:
    for ask in asks:
        ledger.reserve(ask)
        ledger.settle(ask.hold_id, ACTUAL)


def _built_and_settled(ledger: MemoryLedger, accounts: tuple[Account, ...], asks: list[Ask]) -> None:
    for ask in asks:
        ledger.reserve(_ask(ask.hold_id, accounts))
        ledger.settle(ask.hold_id, ACTUAL)


def _sent(ledger: MemoryLedger, accounts: tuple[Account, ...], asks: list[Ask]) -> None:
    for ask in asks:
        ledger.reserve(ask)
        ledger.dispatch(ask.hold_id, 600.0)
        ledger.settle(ask.hold_id, ACTUAL)


def _refused(ledger: MemoryLedger, accounts: tuple[Account, ...], asks: list[Ask]) -> None:
    ledger.charge(accounts, Amounts(*(most or 0 for most in LIMITS)), "all of it")
    for ask in asks:
        ledger.reserve(ask)


def _small(ledger: MemoryLedger, accounts: tuple[Account, ...], asks: list[Ask]) -> None:
    ledger.set_limits(accounts[0], Limits())
    _settled(ledger, accounts, asks)


if __name__ == "__main__":
    for name, ratio in measure().items():
        print(f"{name:<62} {ratio:5.2f} of one fixed-window hit")
