"""Records in SQLite keep the contract, and what only this store promises."""

from __future__ import annotations

import functools
import gc
import json
import os
import sqlite3
import stat
import threading
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from mas_guard.errors import ConfigError
from mas_guard.ledger.sqlite import SqliteLedger
from mas_guard.ledger.sqlite import connection as connections
from mas_guard.ledger.sqlite.file_lock import FileLock
from mas_guard.ledger.sqlite.network_file_system import FileSystem
from mas_guard.records import sqlite
from mas_guard.records.sqlite import SqliteRecordStore
from mas_guard.testing.ledger_steps import Clock, asking, granted, tokens
from mas_guard.testing.record_contract import SharedRecordContract
from mas_guard.testing.record_steps import BEGINNING, MakeStore, keys, written
from mas_guard.testing.record_workers import OpenStore
from mas_guard.types import Limits


@pytest.fixture(autouse=True)
def _no_syncs(monkeypatch):
    """Let every commit of this process count as done once the system has it."""
    monkeypatch.setattr(sqlite, "SYNCED", "OFF")
    monkeypatch.setattr(sqlite, "UNSYNCED", "OFF")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def clock() -> Clock:
    return Clock(BEGINNING)


@pytest.fixture
def store(path, clock) -> SqliteRecordStore:
    return SqliteRecordStore(path, clock=clock)


def rows(path, question, *values):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, values).fetchall()


class TestSqliteRecords(SharedRecordContract):
    @pytest.fixture
    def make_store(self, path) -> MakeStore:
        return lambda clock: SqliteRecordStore(path, clock=clock)

    @pytest.fixture
    def open_store(self, path) -> OpenStore:
        return functools.partial(SqliteRecordStore, str(path), timeout=30.0)


# The file


def test_nothing_is_created_before_the_first_write_and_the_file_is_the_owners(tmp_path):
    path = tmp_path / "new" / "records.db"
    store = SqliteRecordStore(path)
    assert store.get("runs", "a") is None
    assert keys(store.scan("runs")) == []
    assert not store.delete("runs", "a")
    assert not path.parent.exists()
    store.put("runs", "a", {})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]


def test_a_file_of_the_apps_own_is_shared_and_left_as_it_is(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA user_version = 7; CREATE TABLE records (number INTEGER);")
    SqliteRecordStore(path).put("runs", "a", {})
    assert rows(path, "PRAGMA user_version") == [(7,)]
    assert rows(path, "SELECT * FROM records") == []
    names = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE sql IS NOT NULL")}
    assert all(name.startswith("mas_guard_records") for name in names - {"records"})


def test_the_ledger_and_the_records_share_a_file(path, store):
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=100))
    store.put("runs", "a", {"n": 1})
    granted(ledger.reserve(asking("a", run, tokens(60))))
    assert written(SqliteRecordStore(path, clock=store._clock).get("runs", "a")).value == {"n": 1}
    assert SqliteLedger(path).read(SqliteLedger(path).open("run", Limits(tokens=100))).held == tokens(60)


def test_records_of_a_later_version_are_refused(path, store):
    store.put("runs", "a", {})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE mas_guard_records_version SET version = 99")
        connection.commit()
    with pytest.raises(ConfigError, match="version 99, and this mas-guard knows versions up to 1") as caught:
        SqliteRecordStore(path).get("runs", "a")
    assert caught.value.key == "STORE"


def test_a_network_file_system_is_refused_before_anything_is_made(path, monkeypatch):
    monkeypatch.setattr(connections, "file_system_of", lambda path: FileSystem("nfs4", "network"))
    with pytest.raises(ConfigError, match="network file system"):
        SqliteRecordStore(path).put("runs", "a", {})
    assert not path.exists()
    SqliteRecordStore(path, allow_network_file_system=True).put("runs", "a", {})


def test_a_damaged_file_is_an_error_of_the_driver(path):
    path.write_bytes(b"this was a database once" * 1_000)
    store = SqliteRecordStore(path)
    for act in (
        lambda: store.get("runs", "a"),
        lambda: store.put("runs", "a", {}),
        lambda: list(store.scan("runs")),
        lambda: store.delete("runs", "a"),
    ):
        with pytest.raises(store.driver_errors):
            act()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_driver(tmp_path):
    (tmp_path / "file").write_text("")
    store = SqliteRecordStore(tmp_path / "file" / "records.db")
    with pytest.raises(store.driver_errors, match=r"unable to open the records in .*records\.db"):
        store.put("runs", "a", {})


def test_a_file_that_was_deleted_is_begun_anew_and_that_is_logged(path, store, caplog):
    store.put("runs", "a", {})
    for name in path.parent.iterdir():
        name.unlink()
    assert store.get("runs", "a") is None
    assert "was replaced or deleted" in caplog.text
    assert written(store.put("runs", "a", {}, version=0)).version == 1


def test_a_full_file_refuses_and_keeps_what_was_written(path, store):
    store.put("runs", "a", {"n": 1})
    connection = store._connections.writer()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(store.driver_errors, match="full"):
        store.put("runs", "a", {"text": "x" * 100_000})
    assert written(store.get("runs", "a")).value == {"n": 1}
    connection.execute("PRAGMA max_page_count = 1000000")
    assert written(store.put("runs", "a", {"text": "x" * 100_000}, version=1)).version == 2


# Many writers


def test_a_write_is_one_statement_that_commits_by_itself(store):
    store.put("runs", "a", {})
    said: list[str] = []
    store._connections.writer().set_trace_callback(said.append)
    store.put("runs", "a", {})
    store.put("runs", "b", {}, version=0)
    store.delete("runs", "b")
    assert [text.split()[0] for text in told(said)] == ["UPDATE", "INSERT", "DELETE"]


def test_a_durable_write_is_synced_and_another_one_is_not(store, monkeypatch):
    monkeypatch.setattr(sqlite, "SYNCED", "FULL")
    monkeypatch.setattr(sqlite, "UNSYNCED", "NORMAL")
    said: list[str] = []
    store.put("runs", "a", {})
    store._connections.writer().set_trace_callback(said.append)
    for number, durable in enumerate((True, True, False, True)):
        store.put("runs", "a", {"number": number}, durable=durable)
    order = [text.split()[-1] if text.startswith("PRAGMA") else "write" for text in told(said)]
    assert order == ["FULL", "write", "write", "NORMAL", "write", "FULL", "write"]


def told(said: list[str]) -> list[str]:
    """The statements, without what their triggers do: that is traced as the statement's text once more."""
    return [text for text, _ in groupby(said) if not text.startswith("--")]


def test_somebody_who_keeps_the_file_ends_the_wait_with_an_error_and_nothing_is_written(path, clock):
    store = SqliteRecordStore(path, 0.05, clock=clock)
    store.put("runs", "a", {"n": 1})
    theirs = FileLock(str(path))
    in_another_thread(lambda: theirs.acquire(10.0))
    with pytest.raises(store.driver_errors, match="another process has kept the records"):
        store.put("runs", "a", {"n": 2})
    assert written(store.get("runs", "a")).value == {"n": 1}
    theirs.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # somebody who knows nothing of the file lock
        with pytest.raises(store.driver_errors, match="locked"):
            store.put("runs", "a", {"n": 2})
    assert written(store.put("runs", "a", {"n": 2}, version=1)).version == 2


def test_who_does_not_keep_to_the_file_lock_is_not_overwritten_either(path, store, monkeypatch):
    def come_in_between() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE mas_guard_records SET version = version + 1, value = '{\"theirs\": 1}'")
            connection.commit()

    store.put("runs", "a", {})
    during(monkeypatch, store, come_in_between)
    assert store.put("runs", "a", {"mine": 1}, version=1) is None
    assert written(store.get("runs", "a")).value == {"theirs": 1}
    during(monkeypatch, store, come_in_between)
    assert written(store.put("runs", "a", {"mine": 2})).version == 4
    during(monkeypatch, store, come_in_between)
    assert written(store.change("runs", "a", lambda value: {**value, "more": 1})).value == {"theirs": 1, "more": 1}


def in_another_thread(act) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


class Abandoned:
    """Something in a cycle, which acts when the garbage collector finds it."""

    def __init__(self, act) -> None:
        self.act = act
        self.cycle = self

    def __del__(self) -> None:
        self.act()


def test_a_settle_in_the_middle_of_a_write_is_carried_out(path, store, monkeypatch):
    ledger = SqliteLedger(path, timeout=0.2)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60))))
    settled = []
    during(monkeypatch, store, lambda: settled.append(ledger.settle("a", tokens(10)).known))
    assert written(store.put("runs", "a", {"n": 1})).version == 1
    assert settled == [True]
    assert ledger.read(run).settled == tokens(10)


def test_a_write_in_the_middle_of_a_write_is_carried_out(store, monkeypatch):
    inner = []
    during(monkeypatch, store, lambda: inner.append(store.put("runs", "a", {"inner": True})))
    assert written(store.put("runs", "a", {"inner": False})).version == 2
    assert [written(record).version for record in inner] == [1]
    assert written(store.get("runs", "a")).value == {"inner": False}


def test_a_write_in_the_middle_of_a_call_of_the_ledger_fails_at_once(path, clock, monkeypatch):
    store = SqliteRecordStore(path, 600.0, clock=clock)
    store.put("runs", "a", {"n": 1})
    ledger = SqliteLedger(path)
    run = ledger.open("run", Limits(tokens=100))
    raised = []

    def write() -> None:
        try:
            store.put("runs", "a", {"n": 2})
        except store.driver_errors as error:
            raised.append(error)

    now = ledger._clock.read
    monkeypatch.setattr(ledger._clock, "read", lambda: collect(write) or now())
    granted(ledger.reserve(asking("a", run, tokens(60))))
    assert len(raised) == 1
    assert written(store.get("runs", "a")).value == {"n": 1}
    assert written(store.put("runs", "a", {"n": 2}, version=1)).version == 2


def during(monkeypatch, store, act) -> None:
    """Have the garbage collector carry out *act* in the middle of the store's next write."""
    rows, acts = store._rows, [act]

    def collecting(*arguments):
        found = rows(*arguments)
        if acts:
            collect(acts.pop())
        return found

    monkeypatch.setattr(store, "_rows", collecting)


def collect(act) -> None:
    gc.collect()
    Abandoned(act)
    gc.collect()


# What is left behind


def test_what_is_over_leaves_the_file_with_the_next_writes(path, store, clock):
    for number in range(50):
        store.put("runs", f"{number}", {"number": number}, keep=10)
    clock.now += 11
    store.put("runs", "kept", {})
    for _ in range(12):
        store.put("runs", "kept", {})
    assert [json.loads(value) for (value,) in rows(path, "SELECT value FROM mas_guard_records")] == [{}]


def test_many_finished_runs_leave_the_file_flat(path, store, clock):
    def size_after(first: int, last: int) -> int:
        for number in range(first, last):
            store.put("runs", f"{number}", {"text": "x" * 500}, keep=100)
            store.put("runs", f"{number}", {"text": "y" * 500}, keep=100)
            clock.now += 1
        return rows(path, "PRAGMA page_count")[0][0]

    after_some = size_after(0, 300)
    assert size_after(300, 3_000) <= after_some * 1.2
    assert len(rows(path, "SELECT 1 FROM mas_guard_records")) <= 101


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_while_threads_write_loses_nothing(path):
    store = SqliteRecordStore(path, 20.0)
    stop = threading.Event()
    counts = [0] * 3

    def write(number: int) -> None:
        while not stop.is_set():
            store.put("runs", f"{number}", {"n": counts[number] + 1})
            counts[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for child_number in range(10):
        child = os.fork()
        if not child:
            try:
                os._exit(0 if store.put("children", f"{child_number}", {}, version=0) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert [written(store.get("runs", f"{number}")).value["n"] for number in range(3)] == counts
    assert len(keys(store.scan("children"))) == 10
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
