"""What the SQLite ledger costs, against one autocommitted insert at the same durability in the same run.

Both sides take turns, call by call, in one folder; so a busy machine or disk slows both, and a figure is the
quotient of their medians. Where a sync of the disk is cheap (memory, or a disk that only says it has synced), what
is left is the processor's part, and the quotient is higher. Run as a script it prints a table.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from mas_guard.ledger import Account, Ask
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.types import Amounts, Limits

BOUNDS = {
    "ledger sqlite: durable reserve / durable insert": 2.5,
    "ledger sqlite: durable reserve, 1 000 000 live accounts / 100": 1.2,
    "ledger sqlite: reserve of 64 callers at once / one by one": 0.5,
    "ledger sqlite: calls of the quickest of 4 processes / the slowest": 1.5,
}
CALLS = 1_000
CALLERS = 64
EACH = 20  # calls of each of them
MANY = 1_000_000
BASE = Amounts(800, 1, 0, 2_400_000)
LIMITS = Limits(10**12, 10**9, 200, 10**18)
IN_A_RACE = 2.0  # seconds that four processes race

Act = Callable[[int], object]


def measure() -> dict[str, float]:
    """Return the quotients, by what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            **_against_inserts(Path(folder)),
            **_many_callers(Path(folder)),
            **_many_accounts(Path(folder)),
            **_many_processes(Path(folder)),
        }
    return {f"ledger sqlite: {name}": round(figure, 3) for name, figure in figures.items()}


def _against_inserts(folder: Path) -> dict[str, float]:
    ledger = SqliteLedger(folder / "ledger.db", timeout=30.0)
    run, group = ledger.open("run", LIMITS), ledger.open("group", LIMITS)
    durable, quick = _insert(folder / "durable.db", "FULL"), _insert(folder / "quick.db", "NORMAL")
    reserve, reserve_on_two = _reserve(ledger, "one", run), _reserve(ledger, "two", run, group)
    return {
        "durable reserve / durable insert": _quotient(reserve, durable),
        "durable reserve on 2 accounts / durable insert": _quotient(reserve_on_two, durable),
        "dispatch / insert that is not synced": _quotient(lambda n: ledger.dispatch(f"one/{n}", 900.0), quick),
        "settle / insert that is not synced": _quotient(lambda n: ledger.settle(f"one/{n}", BASE), quick),
        "reading what is spent / insert that is not synced": _quotient(lambda n: ledger.spent(run), quick),
    }


def _many_callers(folder: Path) -> dict[str, float]:
    ledger = SqliteLedger(folder / "callers.db", timeout=30.0)
    run = ledger.open("run", LIMITS)

    def call(caller: int) -> None:
        reserve = _reserve(ledger, f"caller {caller}", run)
        for number in range(EACH):
            reserve(number)

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
    begin = perf_counter()
    for caller in range(CALLERS, 2 * CALLERS):
        call(caller)
    middle = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"reserve of 64 callers at once / one by one": (perf_counter() - middle) / (middle - begin)}


def _many_accounts(folder: Path) -> dict[str, float]:
    dice = random.Random(1)
    few, many = (SqliteLedger(folder / f"{number}.db", timeout=30.0) for number in (100, MANY))
    acts: list[Act] = []
    for ledger, number in ((few, 100), (many, MANY)):
        accounts = _accounts(ledger, number, dice)
        acts.append(lambda n, ledger=ledger, accounts=accounts: _reserve(ledger, "call", accounts[n % 1_000])(n))
    reserve = _quotient(acts[1], acts[0])
    settle = _quotient(lambda n: many.settle(f"call/{n}", BASE), lambda n: few.settle(f"call/{n}", BASE))
    return {
        "durable reserve, 1 000 000 live accounts / 100": reserve,
        "settle, 1 000 000 live accounts / 100": settle,
    }


def _accounts(ledger: SqliteLedger, number: int, dice: random.Random) -> list[Account]:
    """Make *number* accounts, past the ledger because that would take minutes; open a thousand at random."""
    ledger.open("run 0", LIMITS)
    ledger.disconnect()
    connection = sqlite3.connect(ledger.path)
    connection.execute("PRAGMA synchronous = OFF")
    (first,) = connection.execute("SELECT id FROM mas_guard_ledger_accounts").fetchone()
    connection.executemany(
        "INSERT INTO mas_guard_ledger_accounts (scope, touched, limit_tokens, limit_model_calls, limit_tool_calls, "
        "limit_nano_usd) SELECT ?, touched, limit_tokens, limit_model_calls, limit_tool_calls, limit_nano_usd "
        "FROM mas_guard_ledger_accounts WHERE id = ?",
        ((f"run {account}", first) for account in range(1, number)),
    )
    connection.commit()
    connection.close()
    return [ledger.open(f"run {dice.randrange(number)}", LIMITS) for _ in range(1_000)]


def _many_processes(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _RACE, str(folder / "race.db"), str(IN_A_RACE)]
    SqliteLedger(folder / "race.db").open("run", LIMITS)
    racers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "abcd"
    ]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    done = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        output, _ = racer.communicate()
        done.append(int(output))
    return {"calls of the quickest of 4 processes / the slowest": max(done) / max(1, min(done))}


_RACE = """
import sys, time
from mas_guard.ledger import Ask
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.types import Amounts, Limits
ledger = SqliteLedger(sys.argv[1], timeout=30.0)
run = ledger.open("run", Limits())
print("ready", flush=True)
input()
end, number = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    ledger.reserve(Ask(f"{sys.argv[3]}/{number}", (run,), Amounts(1)))
    number += 1
print(number)
"""


def _reserve(ledger: SqliteLedger, name: str, *accounts: Account) -> Act:
    return lambda number: ledger.reserve(Ask(f"{name}/{number}", accounts, BASE))


def _insert(path: Path, synchronous: str) -> Act:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS calls (id TEXT PRIMARY KEY, a, b, c, d, ends) WITHOUT ROWID")
    statement = "INSERT INTO calls VALUES (?, 800, 1, 0, 2400000, 60.0)"
    numbers = iter(range(10**9))
    return lambda number: connection.execute(statement, (f"run:call:{next(numbers)}",))


def _quotient(ours: Act, theirs: Act) -> float:
    mine, others = [], []
    for number in range(CALLS):
        begin = perf_counter()
        ours(number)
        middle = perf_counter()
        theirs(number)
        others.append(perf_counter() - middle)
        mine.append(middle - begin)
    return median(mine) / median(others)


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name:<70} {figure:6.2f}")
