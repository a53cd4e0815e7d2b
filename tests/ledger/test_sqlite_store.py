"""The file of the SQLite ledger: what is durable, what is refused, how small it stays."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing

import pytest

from mas_guard.errors import ConfigError
from mas_guard.ledger import REMEMBERED_BREACHES, REMEMBERED_IDS
from mas_guard.ledger.sqlite import SqliteLedger, schema, transactions
from mas_guard.ledger.sqlite import connection as connection_module
from mas_guard.ledger.sqlite.network_file_system import FileSystem
from mas_guard.testing.ledger_steps import InQueue, asking, granted, tokens
from mas_guard.types import ZERO, Amounts, Limits
from tests.ledger import sqlite_fixtures
from tests.ledger.sqlite_fixtures import rows

clock = sqlite_fixtures.clock
ledger = sqlite_fixtures.ledger
no_syncs = sqlite_fixtures.no_syncs
path = sqlite_fixtures.path
statements = sqlite_fixtures.statements


# The file


def test_nothing_is_written_before_the_first_call_and_then_for_its_owner_alone(path, ledger):
    assert not path.exists()
    ledger.open("run", Limits())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_folder_is_made_with_the_file(tmp_path):
    path = tmp_path / "state" / "of" / "the app" / "ledger.db"
    SqliteLedger(path).open("run", Limits())
    assert path.exists()


def test_a_folder_that_cannot_be_made_raises_the_drivers_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(sqlite3.OperationalError, match="unable to open the ledger"):
        SqliteLedger(tmp_path / "file" / "ledger.db").open("run", Limits())


def test_the_database_itself_refuses_to_hold_more_than_the_limit(path, ledger):
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(asking("a", run, tokens(60)))
    with closing(sqlite3.connect(path)) as connection:
        for held in (100, 61, 60):
            connection.execute("UPDATE mas_guard_ledger_accounts SET held_tokens = ?", (held,))
        with pytest.raises(sqlite3.IntegrityError, match="would pass the limit"):
            connection.execute("UPDATE mas_guard_ledger_accounts SET held_tokens = 101")


def test_the_tables_of_an_app_in_the_same_file_are_left_alone(path, ledger):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.execute("CREATE TABLE accounts (id)")
        connection.execute("INSERT INTO accounts VALUES ('theirs')")
        connection.commit()
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60))))
    assert rows(path, "SELECT * FROM accounts") == [("theirs",)]
    assert rows(path, "PRAGMA user_version") == [(7,)]


def test_a_file_that_was_replaced_grants_nothing_anew(path, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(100))))
    for left in path.parent.iterdir():
        left.unlink()
    other = SqliteLedger(path)
    other.open("somebody else's", Limits())
    for act in (
        lambda: ledger.reserve(asking("b", run, tokens(1))),
        lambda: ledger.reserve_fitting(asking("b", run, tokens(1))),
        lambda: ledger.read(run),
        lambda: ledger.spent(run),
        lambda: ledger.set_limits(run, Limits()),
    ):
        with pytest.raises(sqlite3.OperationalError, match="not in the ledger any more"):
            act()


def test_a_later_version_is_refused_with_both_versions(path, ledger):
    ledger.open("run", Limits())
    ledger.disconnect()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE mas_guard_ledger SET version = 99")
        connection.commit()
    with pytest.raises(ConfigError, match=r"version 99, and this mas-guard knows versions up to \d+"):
        SqliteLedger(path).open("run", Limits())


def test_an_older_file_is_migrated_and_keeps_what_was_spent(path, clock, monkeypatch):
    before = SqliteLedger(path, clock=clock)
    run = before.open("run", Limits(tokens=100))
    before.charge((run,), tokens(30), "spent")
    later = (*schema.MIGRATIONS, ("ALTER TABLE mas_guard_ledger_accounts ADD COLUMN colour TEXT DEFAULT 'red'",))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    monkeypatch.setattr(transactions, "MIGRATIONS", later)
    after = SqliteLedger(path, clock=clock)
    assert after.read(after.open("run", Limits(tokens=100))).settled == tokens(30)
    assert rows(path, "SELECT colour FROM mas_guard_ledger_accounts") == [("red",)]
    monkeypatch.undo()
    with pytest.raises(sqlite3.OperationalError, match="start this process anew"):
        before.reserve(asking("a", run, tokens(1)))


@pytest.mark.parametrize(("kind", "refuses"), [("network", True), ("unknown", False), ("local", False)])
def test_a_network_file_system_is_refused_unless_that_is_allowed(path, monkeypatch, kind, refuses):
    monkeypatch.setattr(connection_module, "file_system_of", lambda path: FileSystem("nfs4", kind))
    if refuses:
        with pytest.raises(ConfigError, match=r"network file system \(nfs4\)"):
            SqliteLedger(path).open("run", Limits())
        assert not list(path.parent.iterdir())
    SqliteLedger(path, allow_network_file_system=refuses).open("run", Limits())


# Durable where it must be


def _committed(said: list[str], before: str) -> list[str]:
    """With which synchronisation each transaction was committed."""
    levels, level = [], before
    for statement in said:
        if statement.startswith("PRAGMA synchronous"):
            level = statement.rsplit(" ", 1)[-1]
        if statement in ("COMMIT", "UPDATE mas_guard_ledger SET version = version"):
            levels.append(level)
    said.clear()
    return levels


def test_a_reserve_and_a_charge_are_synced_and_a_settle_is_not(ledger, statements):
    run = ledger.open("run", Limits(tokens=100))
    statements.clear()
    ledger.reserve(asking("a", run, tokens(60)))
    assert _committed(statements, "NORMAL") == ["FULL"]
    ledger.dispatch("a", 60.0)
    ledger.settle("a", tokens(60))
    assert _committed(statements, "FULL") == ["NORMAL", "NORMAL"]
    ledger.charge((run,), tokens(1), "fact")
    ledger.set_limits(run, Limits(tokens=90))
    assert _committed(statements, "NORMAL") == ["FULL", "FULL"]


def test_a_settle_that_grants_or_that_used_more_than_it_held_is_synced_after_all(ledger, statements):
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(asking("a", run, tokens(100)))
    queued = InQueue(ledger, asking("b", run, tokens(50)))
    statements.clear()
    ledger.settle("a", tokens(10))
    assert queued.granted
    assert _committed(statements, "NORMAL") == ["NORMAL", "FULL"]
    ledger.settle("b", tokens(51))
    assert _committed(statements, "FULL") == ["NORMAL", "FULL"]


def test_what_was_held_before_the_machine_started_anew_is_charged_as_if_it_was_sent(path, clock):
    before = SqliteLedger(path, clock=clock)
    run = before.open("run", Limits(tokens=100))
    for hold_id in ("sent", "perhaps sent"):
        before.reserve(asking(hold_id, run, tokens(40)))
    before.dispatch("sent", 900.0)
    before.disconnect()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE mas_guard_ledger SET boot = 'the day before'")
        connection.commit()
    clock.now = 5.0
    after = SqliteLedger(path, clock=clock)
    again = after.open("run", Limits(tokens=100))
    balance = after.read(again)
    assert (balance.settled, balance.crashed, balance.held) == (tokens(80), tokens(80), ZERO)
    after.release("perhaps sent")
    assert after.settle("sent", tokens(10)).late
    balance = after.read(again)
    assert (balance.settled, balance.crashed) == (tokens(10), ZERO)


def test_leases_go_on_where_they_were_when_the_clock_starts_anew(path, clock):
    before = SqliteLedger(path, clock=clock)
    before.reserve(asking("a", before.open("run", Limits(tokens=100)), tokens(100), lease=60.0))
    clock.now = 3.0
    after = SqliteLedger(path, clock=clock)
    run = after.open("run", Limits(tokens=100))
    clock.now += 59
    assert after.read(run).held == tokens(100)
    clock.now += 1
    assert after.read(run).held == ZERO


# Busy


def test_a_file_that_somebody_else_keeps_busy_raises_after_the_timeout(path):
    ledger = SqliteLedger(path, timeout=0.05)
    run = ledger.open("run", Limits(tokens=10))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            ledger.reserve(asking("a", run, tokens(1)))
        assert ledger.spent(run) == (Limits(tokens=10), ZERO)
        connection.execute("ROLLBACK")
    granted(ledger.reserve(asking("a", run, tokens(1))))


@pytest.mark.parametrize("file", ["turnstile", "lock"])
def test_a_process_that_stands_still_in_the_middle_of_a_write_holds_nobody_up_for_ever(path, file):
    fcntl = pytest.importorskip("fcntl")
    ledger = SqliteLedger(path, timeout=0.05)
    run = ledger.open("run", Limits(tokens=10))
    with open(f"{path}-{file}", "rb") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        with pytest.raises(sqlite3.OperationalError, match="another process has kept the ledger"):
            ledger.reserve(asking("a", run, tokens(1)))
    granted(ledger.reserve(asking("a", run, tokens(1))))


# Kept small


def _pages(path) -> int:
    return rows(path, "PRAGMA page_count")[0][0]


def _live_runs(ledger, clock, first: int, last: int, *, close: bool) -> None:
    group = ledger.open("group", Limits())
    for number in range(first, last):
        clock.now += 1
        run = ledger.open(f"run {number}", Limits(tokens=100, model_calls=5))
        for call in range(3):
            ledger.reserve(asking(f"{number}/{call}", (run, group), Amounts(30, 1)))
            ledger.dispatch(f"{number}/{call}", 10.0)
            ledger.settle(f"{number}/{call}", Amounts(31 if call == 1 else 20, 1))
        ledger.charge((run, group), tokens(1), f"{number} late")
        InQueue(ledger, asking(f"{number} waits", run, tokens(500)))
        if close:
            ledger.close(run)


@pytest.mark.usefixtures("no_syncs")
def test_the_file_stays_flat_over_runs_that_end(path, ledger, clock):
    _live_runs(ledger, clock, 0, 150, close=True)
    before = _pages(path)
    _live_runs(ledger, clock, 150, 750, close=True)
    assert _pages(path) <= before + 12  # what the group remembers of breaches and charges
    for table, left in (("accounts", 2), ("holds", 0), ("charges", 0), ("lines", 0), ("waiters", 0)):
        assert len(rows(path, f"SELECT 1 FROM mas_guard_ledger_{table}")) <= left, table


@pytest.mark.usefixtures("no_syncs")
def test_the_file_stays_flat_over_processes_that_end_without_closing(path, clock):
    retention = 100.0
    most = 0
    for process in range(60):
        ledger = SqliteLedger(path, clock=clock, retention=retention)
        _live_runs(ledger, clock, process * 10, process * 10 + 10, close=False)
        ledger.disconnect()
        if process == 25:
            most = _pages(path)
    assert _pages(path) <= most * 1.3
    assert len(rows(path, "SELECT 1 FROM mas_guard_ledger_accounts")) < 3 * retention
    assert len(rows(path, "SELECT 1 FROM mas_guard_ledger_processes")) < retention / 10 + 20
    group = ledger.open("group", Limits())
    assert ledger.read(group).settled.tokens == 600 * 72


@pytest.mark.usefixtures("no_syncs")
def test_an_account_that_a_living_process_has_open_is_kept_however_long_it_is_idle(path, clock):
    ledger = SqliteLedger(path, clock=clock, retention=100.0)
    idle = ledger.open("idle", Limits(tokens=10))
    for number in range(300):
        clock.now += 1
        ledger.close(ledger.open(f"run {number}", Limits()))
    clock.now += 50
    granted(ledger.reserve(asking("a", idle, tokens(10))))


@pytest.mark.usefixtures("no_syncs")
def test_what_an_account_remembers_is_bounded(path, ledger):
    run = ledger.open("run", Limits())
    with closing(sqlite3.connect(path)) as connection:  # as if it had lived long already
        number = REMEMBERED_IDS + 500
        connection.executemany(
            "INSERT INTO mas_guard_ledger_holds VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 5, 1, ?, 0, '')",
            [(f"old {n}", run.id, str(run.id), n) for n in range(1, number + 1)],
        )
        connection.executemany(
            "INSERT INTO mas_guard_ledger_charges VALUES (?, ?, ?)", [(run.id, f"{n}", n) for n in range(1, number + 1)]
        )
        connection.execute("UPDATE mas_guard_ledger_accounts SET ended = ?1, charged = ?1", (number,))
        connection.commit()
    for n in range(REMEMBERED_BREACHES + 200):
        ledger.reserve(asking(f"{n}", run, tokens(1)))
        ledger.settle(f"{n}", tokens(2))
        ledger.charge((run,), tokens(1), f"new {n}")
    assert len(rows(path, "SELECT 1 FROM mas_guard_ledger_holds")) <= REMEMBERED_IDS + 200
    assert len(rows(path, "SELECT 1 FROM mas_guard_ledger_charges")) == REMEMBERED_IDS
    assert len(ledger.read(run).breaches) == REMEMBERED_BREACHES
    assert ledger.settle("0", tokens(2)).breach
    assert not ledger.settle("old 1", ZERO).known
