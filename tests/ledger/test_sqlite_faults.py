"""Kills, torn logs, jumping clocks, full and read-only disks: never overspent, no hold leaked, every loss explained.

A tenth of each runs by default; `MAS_GUARD_TORTURE=1` runs the whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mas_guard._effects import Wait
from mas_guard._waiting import wait
from mas_guard.ledger import Grant
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.ledger.sqlite.ledger import RECHECK
from mas_guard.testing.ledger_steps import Clock, InQueue, asking, granted, refused, tokens
from mas_guard.types import UNITS, ZERO, Amounts, Limits
from tests.ledger import sqlite_fixtures
from tests.ledger.many_processes import ManyProcesses
from tests.ledger.sqlite_worker import GROUP, WORKERS_A_GROUP

no_syncs = sqlite_fixtures.no_syncs


WHOLE = os.environ.get("MAS_GUARD_TORTURE") == "1"
KILLS = 300 if WHOLE else 30
TORN_LOGS = 500 if WHOLE else 50
JUMPS = 2_000 if WHOLE else 200
WORKER = Path(__file__).with_name("sqlite_worker.py")


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, WORKER, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _output(worker: subprocess.Popen[str], told: str | None = None) -> str:
    output, _ = worker.communicate(told, timeout=240)
    assert worker.returncode == 0
    return output


def _check_books(path: Path) -> None:
    """Nothing is overspent, and what accounts hold is what their live holds hold."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        holds = connection.execute(
            f"SELECT levels, state, {', '.join(UNITS)} FROM mas_guard_ledger_holds WHERE state < 2"
        ).fetchall()
        accounts = connection.execute("SELECT * FROM mas_guard_ledger_accounts WHERE closed = 0")
        names = [column[0] for column in accounts.description]
        for account in (dict(zip(names, row, strict=True)) for row in accounts):
            mine = [hold for hold in holds if str(account["id"]) in hold[0].split()]
            for place, unit in enumerate(UNITS, 2):
                assert account[f"held_{unit}"] == sum(hold[place] for hold in mine), "leaked"
                limit = account[f"limit_{unit}"]
                if limit is not None:
                    assert account[f"settled_{unit}"] + account[f"held_{unit}"] <= limit, "overspent"
            for place, unit in ((3, "model_calls"), (4, "tool_calls")):
                assert account[f"sent_{unit}"] == sum(hold[place] for hold in mine if hold[1] == 1)


# Several processes


def test_four_processes_with_fifty_calls_each_are_let_through_eight_times(tmp_path):
    path = tmp_path / "ledger.db"
    workers = [_start("spend", path, name, 50, 8) for name in "abcd"]
    assert sum(int(_output(worker)) for worker in workers) == 8
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=800, model_calls=8, nano_usd=56))
    assert ledger.read(run).settled == Amounts(800, 8, 0, 56)
    _check_books(path)


def test_one_who_waits_is_served_when_another_process_gives_back(tmp_path):
    path = tmp_path / "ledger.db"
    worker = _start("hold", path, "theirs")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "held\n"
    ledger = SqliteLedger(path, timeout=20.0)
    run = ledger.open("run", Limits(tokens=100))
    ask = asking("mine", run, tokens(90))
    assert refused(ledger.reserve(ask)).can_wait
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait, Wait(ledger, ask, 60.0))
        while ledger.sweep() != RECHECK and not waiting.done():
            pass  # until it is in the queue
        _output(worker, "go\n")
        assert granted(waiting.result()).amounts == tokens(90)


def test_one_who_waits_for_a_killed_process_is_served_when_its_lease_ends(tmp_path):
    path, clock = tmp_path / "ledger.db", Clock(1.0)
    worker = _start("hold", path, "theirs")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "held\n"
    worker.kill()
    worker.communicate()
    ledger = SqliteLedger(path, clock=clock)
    run = ledger.open("run", Limits(tokens=100))
    queued = InQueue(ledger, asking("mine", run, tokens(90)))
    assert queued.waits
    clock.now += 61
    ledger.sweep()
    assert queued.granted


# Kills


def test_killed_workers_overspend_nothing_leak_nothing_and_every_loss_is_explained(tmp_path):
    path, journals = tmp_path / "ledger.db", tmp_path / "journals"
    journals.mkdir()
    _output(_start("be_killed", path, journals / "worker", KILLS, 3, 7))
    _check_books(path)
    written = [_read_journal(journal) for journal in journals.iterdir()]
    assert len(written) == KILLS
    with closing(sqlite3.connect(path)) as connection:
        states = dict(connection.execute("SELECT hold_id, state FROM mas_guard_ledger_holds"))
        charges = {name for (name,) in connection.execute("SELECT charge_id FROM mas_guard_ledger_charges")}
    booked, facts, answered = ZERO, 0, 0
    for notes in written:
        for kind, hold_id, *fields in notes:
            if kind == "answered" and fields == ["granted"]:
                assert hold_id in states, "a reserve that was answered is lost"
                answered += 1
            if kind == "settled":
                assert states[hold_id] == 4, "a settle that was answered is lost"
            if kind == "settle" and states[hold_id] == 4:  # answered or not: it is booked, or its hold is still there
                booked = booked.plus(Amounts(*fields[0]))
            if kind == "charged":
                assert hold_id in charges
            facts += kind == "charge" and hold_id in charges
    assert answered > KILLS
    clock = Clock(10.0**9)
    ledger = SqliteLedger(path, clock=clock)
    left = ZERO
    for number in range(-(-KILLS // WORKERS_A_GROUP)):
        balance = ledger.read(ledger.open(f"group {number}", GROUP))
        assert balance.held == ZERO
        left = left.plus(Amounts(*(had - lost for had, lost in zip(balance.settled, balance.crashed, strict=True))))
    assert left == booked
    assert ledger.read(ledger.open("facts", Limits())).settled == tokens(facts)
    _check_books(path)


def _read_journal(journal: Path) -> list[list[object]]:
    lines = journal.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


# Torn logs


def test_a_torn_log_loses_no_reserve_that_was_answered(tmp_path):
    dice = random.Random(3)
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    run, group = ledger.open("run", Limits(tokens=20_000)), ledger.open("group", Limits(tokens=30_000))
    ledger._connections.writer().execute("PRAGMA wal_autocheckpoint = 0")  # so that its length tells what was synced
    log = Path(f"{path}-wal")
    answered: list[str] = []
    for number in range(TORN_LOGS):
        for call in range(dice.randint(1, 3)):
            hold_id = f"{number}/{call}"
            granted(ledger.reserve(asking(hold_id, (run, group), tokens(10))))
            answered.append(hold_id)
        synced = log.stat().st_size
        for hold_id in dice.sample(answered, min(4, len(answered))):
            ledger.dispatch(hold_id, 900.0)
            ledger.settle(hold_id, tokens(dice.randint(0, 10)))
        copy = tmp_path / f"torn {number}" / "ledger.db"
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        torn = bytearray(log.read_bytes())
        at = dice.randint(synced, len(torn))
        if dice.random() < 0.5:
            del torn[at:]
        else:
            torn[at:] = dice.randbytes(len(torn) - at)
        Path(f"{copy}-wal").write_bytes(torn)
        after = SqliteLedger(copy)
        again = after.open("run", Limits(tokens=20_000))
        with closing(sqlite3.connect(copy)) as connection:
            there = {hold_id for (hold_id,) in connection.execute("SELECT hold_id FROM mas_guard_ledger_holds")}
        assert there.issuperset(answered), "a reserve that was answered is lost"
        assert after.settle(answered[0], tokens(10)).known
        after.read(again)
        after.disconnect()
        _check_books(copy)
        shutil.rmtree(copy.parent)


# Clocks


@pytest.mark.usefixtures("no_syncs")
def test_clocks_that_jump_an_hour_both_ways_overspend_nothing_and_leave_nothing_held(tmp_path):
    dice = random.Random(11)
    clock = Clock()
    path = tmp_path / "ledger.db"
    ledger = ManyProcesses(lambda: SqliteLedger(path, clock=clock))
    run, group = ledger.open("run", Limits(tokens=5_000)), ledger.open("group", Limits(tokens=9_000))
    live: list[str] = []
    for number in range(JUMPS):
        clock.now += dice.choice((3_600, -3_600, 0.5, 30))
        hold_id = f"{number}"
        if isinstance(ledger.reserve_fitting(asking(hold_id, (run, group), tokens(100))), Grant):
            live.append(hold_id)
            if dice.random() < 0.7:
                ledger.dispatch(hold_id, 900.0)
        while len(live) > 20:
            ledger.settle(live.pop(dice.randrange(len(live))), tokens(dice.randint(0, 20)))
        ledger.read(run)
        _check_books(path)
    clock.now -= 3_600
    ledger.sweep()
    clock.now += 900
    assert ledger.read(run).held == ledger.read(group).held == ZERO
    for hold_id in live:
        ledger.release(hold_id)
    assert ledger.read(run).crashed == ZERO or ledger.read(run).crashed.tokens <= 5_000
    _check_books(path)


# Disks


def test_a_full_database_refuses_and_goes_on_once_there_is_room(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=10**6))
    pages = ledger._connections.writer().execute("PRAGMA page_count").fetchone()[0]
    ledger._connections.writer().execute(f"PRAGMA max_page_count = {pages + 4}")
    answered = []
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for number in range(10_000):
            ledger.reserve(asking(f"{number}" + "x" * 300, run, tokens(1)))
            answered.append(number)
    assert answered
    assert ledger.read(run).held == tokens(len(answered))
    assert ledger.settle("0" + "x" * 300, tokens(1)).known
    _check_books(path)
    ledger._connections.writer().execute("PRAGMA max_page_count = 100000")
    granted(ledger.reserve(asking("again", run, tokens(1))))
    assert ledger.read(run).held == tokens(len(answered))


def test_a_full_disk_loses_nothing_that_was_answered(tmp_path):
    pytest.importorskip("resource")
    for number, most in enumerate((60_000, 150_000, 400_000)):
        path = tmp_path / f"{number}.db"
        told = json.loads(_output(_start("fill", path, most)))
        assert "full" in told["error"] or "I/O" in told["error"]
        ledger = SqliteLedger(path)
        run = ledger.open("run", Limits(tokens=10**9))
        assert ledger.read(run).held.tokens in (len(told["granted"]), len(told["granted"]) + 1)
        assert all(ledger.settle(hold_id, tokens(1)).known for hold_id in told["granted"])
        granted(ledger.reserve(asking("again", run, tokens(1))))
        _check_books(path)


def test_a_read_only_database_raises_grants_nothing_and_can_still_be_read(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=10))
    granted(ledger.reserve(asking("a", run, tokens(4))))
    ledger._connections.writer().execute("PRAGMA query_only = 1")
    for act in (
        lambda: ledger.reserve(asking("b", run, tokens(1))),
        lambda: ledger.wait(asking("b", run, tokens(1)), lambda: None),
        lambda: ledger.charge((run,), tokens(1), "c"),
        lambda: ledger.settle("a", tokens(1)),
    ):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            act()
    assert ledger.read(run).held == tokens(4)
    ledger._connections.writer().execute("PRAGMA query_only = 0")
    assert ledger.settle("a", tokens(1)).known


def test_a_file_that_may_only_be_read_raises_the_drivers_error_and_stays_as_it_is(tmp_path):
    folder = tmp_path / "of somebody else"
    folder.mkdir()
    path = folder / "ledger.db"
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60))))
    ledger.disconnect()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(above.stat().st_mode | 0o055)
    try:
        told = _output(_start("try_without_rights", path)).splitlines()
    finally:
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.chmod(0o600)
    assert len(told) == 3
    assert all("unable to open the ledger" in line and str(path) in line for line in told)
    assert ledger.settle("a", tokens(10)).known
    assert (ledger.read(run).settled, ledger.read(run).held) == (tokens(10), ZERO)


def test_a_damaged_database_raises_the_drivers_error(tmp_path):
    path = tmp_path / "ledger.db"
    SqliteLedger(path).open("run", Limits())
    path.write_bytes(b"this was a database once" * 1_000)
    for left in (f"{path}-wal", f"{path}-shm"):
        Path(left).unlink(missing_ok=True)
    with pytest.raises(sqlite3.DatabaseError):
        SqliteLedger(path).open("run", Limits())
