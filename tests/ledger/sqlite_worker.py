"""A process that works on a ledger until it is killed, or has done its calls. Run as a script by the tests.

Before each call it writes into a journal what it is about to do, and after it what it was answered. The journal
outlives a kill: what is written to a file is the system's.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import sys
from typing import Any

from mas_guard.ledger import Ask, Grant
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.types import Amounts, Limits

RUN = Limits(tokens=3_000, model_calls=60, nano_usd=50_000)
GROUP = Limits(tokens=6_000, nano_usd=90_000)
WORKERS_A_GROUP = 30
NOBODY = 65534


def spend(path: str, name: str, calls: int, budget: int) -> None:
    """Make *calls* calls against one budget; print how many were let through."""
    ledger = SqliteLedger(path, timeout=20.0)
    run = ledger.open("run", Limits(tokens=budget * 100, model_calls=budget, nano_usd=budget * 7))
    sent = 0
    for number in range(calls):
        hold_id = f"{name}/{number}"
        if isinstance(ledger.reserve(Ask(hold_id, (run,), Amounts(100, 1, 0, 7))), Grant):
            assert ledger.dispatch(hold_id, 900.0)
            sent += 1
            ledger.settle(hold_id, Amounts(100, 1, 0, 7))
    print(sent)


def hold(path: str, hold_id: str) -> None:
    """Hold the whole budget, say so, and give it back when told to."""
    ledger = SqliteLedger(path, timeout=20.0)
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(Ask(hold_id, (run,), Amounts(100)))
    print("held", flush=True)
    input()
    ledger.settle(hold_id, Amounts(10))


def fill(path: str, most: int) -> None:
    """Reserve until no file may grow any more; print the ids that were granted, and the error."""
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=10**9))
    ledger.reserve(Ask("first", (run,), Amounts(1)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    granted = ["first"]
    try:
        for number in range(100_000):
            hold_id = f"{number}" + "x" * 200
            ledger.reserve(Ask(hold_id, (run,), Amounts(1)))
            granted.append(hold_id)
    except sqlite3.Error as error:
        print(json.dumps({"granted": granted, "error": str(error)}))


def try_without_rights(path: str) -> None:
    """Try to hold something as one who may only read the file; print the error."""
    ledger = SqliteLedger(path)  # before, because nobody may not import what that needs
    if not os.getuid():
        os.setuid(NOBODY)
    for act in (
        lambda: ledger.open("run", Limits(tokens=100)),
        lambda: ledger.settle("a", Amounts(1)),
        lambda: ledger.sweep(),
    ):
        try:
            act()
        except ledger.driver_errors as error:
            print(error)
        else:
            print("it did something")


def be_killed(path: str, journal: str, kills: int, at_once: int, seed: int) -> None:
    """Fork workers, *at_once* at a time, that are killed in the middle; return when *kills* of them were."""
    living: set[int] = set()
    for number in range(kills + at_once):
        if len(living) == at_once or number >= kills:
            living.discard(os.wait()[0])
        if number < kills:
            child = os.fork()
            if not child:
                _torment(path, f"{journal}-{number}", seed * 100_000 + number)
            living.add(child)


def _torment(path: str, journal: str, seed: int) -> None:
    dice = random.Random(seed)
    ledger = SqliteLedger(path, timeout=20.0)
    notes = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*fields: Any) -> None:
        os.write(notes, (json.dumps(fields) + "\n").encode())

    group = ledger.open(f"group {seed % 100_000 // WORKERS_A_GROUP}", GROUP)
    run = ledger.open(f"run {seed % 100_000 // WORKERS_A_GROUP} {seed % 3}", RUN)
    facts = ledger.open("facts", Limits())
    if seed % 2:  # at any moment: also while the system writes or syncs
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.002, 0.08))
    else:  # in the middle of a statement
        left = [dice.randrange(40_000)]

        def count_down() -> int:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return 0

        ledger._connections.writer().set_progress_handler(count_down, 1)
    for number in range(10_000):
        hold_id = f"{seed}/{number}"
        ask = Ask(hold_id, (run, group), Amounts(dice.randint(1, 40), 1, 0, dice.randint(0, 900)), lease=60.0)
        note("reserve", hold_id)
        answer = ledger.reserve(ask) if number % 3 else ledger.reserve_fitting(ask)
        note("answered", hold_id, "granted" if isinstance(answer, Grant) else "refused")
        if not isinstance(answer, Grant):
            note("charge", hold_id)
            ledger.charge((facts,), Amounts(1), hold_id)
            note("charged", hold_id)
            continue
        if dice.random() < 0.2:
            ledger.release(hold_id)
            continue
        ledger.dispatch(hold_id, 600.0)
        if dice.random() < 0.1:
            continue  # as if the thread had died
        actual = Amounts(dice.randint(0, answer.tokens), 1, 0, dice.randint(0, answer.nano_usd))
        note("settle", hold_id, actual)
        ledger.settle(hold_id, actual)
        note("settled", hold_id, actual)
    os._exit(0)


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    if command == "spend":
        spend(path, rest[0], int(rest[1]), int(rest[2]))
    elif command == "hold":
        hold(path, rest[0])
    elif command == "try_without_rights":
        try_without_rights(path)
    elif command == "fill":
        fill(path, int(rest[0]))
    else:
        be_killed(path, rest[0], *map(int, rest[1:]))
