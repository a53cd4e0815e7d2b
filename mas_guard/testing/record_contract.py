"""What every store of records must do, as tests that any store runs.

A store supplies one fixture::

    class TestMyRecords(RecordContract):
        @pytest.fixture
        def make_store(self):
            return lambda clock: MyRecordStore(clock=clock)

`clock` is a callable that returns seconds since the epoch; the tests move it by hand. A store that processes share
derives from `SharedRecordContract`, where all that `make_store` makes have the same records, and `open_store` is
something that can be pickled and opens them, on the store's own clock, in another process. What concerns scans stands
in `record_scan_contract.py`; `RecordContract` runs both.
"""
# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mas_guard.records import Record, RecordStore
from mas_guard.testing import record_workers
from mas_guard.testing.ledger_steps import Clock
from mas_guard.testing.record_scan_contract import RecordScanContract
from mas_guard.testing.record_steps import BEGINNING, MakeStore, keys, written
from mas_guard.testing.record_workers import LENGTH, OpenStore, in_processes, one_more

DAY = 86_400.0
PATIENCE = 120.0  # seconds until a process that does not end counts as hanging

THREADS = 16
PROCESSES = 4
TIMES = 100  # that each process counts
KILLS = 8

ODD_KEYS = (
    "", " ", "a:b/c", "{braces}", "100%", "under_score", "*?[x]", "\x00\n\r", "\ud800", "é", "e\u0301", "\U0010ffff", "k" * 2_000,
)  # fmt: skip


class RecordContract(RecordScanContract):
    """What holds in one process."""

    # Writing and reading

    def test_what_was_put_is_read_back(self, store: RecordStore, clock: Clock) -> None:
        value = {"text": "é \ud800 \x00", "deep": [{"a": [None, True, 1.5, 10**30, -1]}], "": {}}
        put = store.put("runs", "a", value)
        assert put == store.get("runs", "a") == Record("a", value, 1, clock.now, clock.now)

    def test_what_is_not_there_is_none(self, store: RecordStore) -> None:
        assert store.get("runs", "a") is None
        store.put("runs", "a", {})
        assert store.get("runs", "b") is None
        assert store.get("reviews", "a") is None

    def test_a_record_that_was_read_is_a_copy(self, store: RecordStore) -> None:
        value = {"list": [1]}
        put = written(store.put("runs", "a", value))
        value["list"].append(2)
        put.value["list"].append(3)
        got = written(store.get("runs", "a"))
        got.value["list"].append(4)
        assert written(store.get("runs", "a")).value == {"list": [1]}

    def test_each_write_counts_and_moves_the_time_of_writing_alone(self, store: RecordStore, clock: Clock) -> None:
        store.put("runs", "a", {"n": 1})
        clock.now += 5
        put = store.put("runs", "a", {"n": 2})
        assert put == store.get("runs", "a") == Record("a", {"n": 2}, 2, BEGINNING, BEGINNING + 5)

    @pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
    def test_any_text_is_a_key_of_its_own(self, store: RecordStore, key: str) -> None:
        for other in ODD_KEYS:
            if other != key:
                store.put("runs", other, {"key": "other"})
        put = written(store.put("runs", key, {"key": key}, version=0))
        assert store.get("runs", key) == put
        assert (put.key, put.value) == (key, {"key": key})
        assert sorted(keys(store.scan("runs"))) == sorted(ODD_KEYS)
        assert store.delete("runs", key)
        assert len(keys(store.scan("runs"))) == len(ODD_KEYS) - 1

    def test_a_value_of_a_megabyte_is_kept_whole(self, store: RecordStore) -> None:
        value = {"text": "0123456789abcdef" * 65_536}
        store.put("runs", "a", {"small": 1})
        assert written(store.put("runs", "a", value, version=1)).value == value
        assert written(store.get("runs", "a")).value == value
        assert [record.value for record in store.scan("runs")] == [value]

    def test_what_is_no_json_is_refused_and_nothing_is_written(self, store: RecordStore) -> None:
        store.put("runs", "a", {"n": 1})
        with pytest.raises(TypeError):
            store.put("runs", "a", {"n": object()})
        assert written(store.get("runs", "a")).version == 1

    @pytest.mark.parametrize("kind", ["", "Runs", "a b", "{runs}", "runs\n", "_runs"])
    def test_a_kind_is_a_word(self, store: RecordStore, kind: str) -> None:
        with pytest.raises(ValueError, match="kind of record"):
            store.put(kind, "a", {})

    def test_a_write_may_ask_to_be_durable(self, store: RecordStore) -> None:
        assert written(store.put("once", "a", {"n": 1}, version=0, durable=True)).version == 1
        assert written(store.put("once", "a", {"n": 2}, version=1, durable=True)).version == 2
        assert store.put("once", "a", {"n": 3}, version=1, durable=True) is None

    # Versions

    def test_version_zero_makes_a_record_and_replaces_none(self, store: RecordStore) -> None:
        assert written(store.put("runs", "a", {"n": 1}, version=0)).version == 1
        assert store.put("runs", "a", {"n": 2}, version=0) is None
        assert written(store.get("runs", "a")).value == {"n": 1}

    def test_a_version_is_replaced_once(self, store: RecordStore) -> None:
        store.put("runs", "a", {"n": 1})
        assert written(store.put("runs", "a", {"n": 2}, version=1)).version == 2
        assert store.put("runs", "a", {"n": 3}, version=1) is None
        assert store.put("runs", "a", {"n": 3}, version=3) is None
        assert written(store.get("runs", "a")).value == {"n": 2}

    def test_a_version_of_a_record_that_is_not_there_writes_nothing(self, store: RecordStore) -> None:
        assert store.put("runs", "a", {}, version=1) is None
        assert store.get("runs", "a") is None

    def test_without_a_version_every_write_counts(self, store: RecordStore) -> None:
        assert [written(store.put("runs", "a", {"n": n})).version for n in range(3)] == [1, 2, 3]

    def test_what_was_deleted_is_gone_and_begins_at_one_again(self, store: RecordStore, clock: Clock) -> None:
        store.put("runs", "a", {})
        store.put("runs", "a", {})
        assert store.delete("runs", "a")
        assert not store.delete("runs", "a")
        assert store.get("runs", "a") is None
        assert keys(store.scan("runs")) == []
        clock.now += 1
        assert store.put("runs", "a", {}, version=0) == Record("a", {}, 1, clock.now, clock.now)

    def test_only_the_version_that_was_named_is_deleted(self, store: RecordStore) -> None:
        store.put("runs", "a", {})
        store.put("runs", "a", {})
        assert not store.delete("runs", "a", version=1)
        assert written(store.get("runs", "a")).version == 2
        assert store.delete("runs", "a", version=2)
        assert not store.delete("runs", "b")

    def test_a_change_sees_what_stands_and_may_leave_it(self, store: RecordStore) -> None:
        assert written(store.change("runs", "a", one_more)).value == {"n": 1}
        assert written(store.change("runs", "a", one_more)).value == {"n": 2}
        assert written(store.change("runs", "a", lambda value: None)).version == 2
        assert store.change("runs", "b", lambda value: None) is None
        assert store.get("runs", "b") is None

    def test_a_change_that_somebody_came_into_begins_anew(self, store: RecordStore) -> None:
        seen: list[dict[str, Any]] = []

        def alter(value: dict[str, Any]) -> dict[str, Any]:
            seen.append(value)
            if len(seen) < 3:
                store.put("runs", "a", {"theirs": len(seen)})
            return {**value, "mine": True}

        assert written(store.change("runs", "a", alter)).value == {"theirs": 2, "mine": True}
        assert seen == [{}, {"theirs": 1}, {"theirs": 2}]

    # Time

    def test_a_record_is_forgotten_when_its_time_is_over(self, store: RecordStore, clock: Clock) -> None:
        store.put("runs", "a", {}, keep=10)
        clock.now += 9.9
        assert store.get("runs", "a") is not None
        clock.now += 0.1
        assert store.get("runs", "a") is None
        assert keys(store.scan("runs")) == []
        assert keys(store.scan("runs", "a")) == []
        assert not store.delete("runs", "a")
        assert store.put("runs", "a", {}, version=1) is None

    def test_without_a_time_the_retention_holds(self, store: RecordStore, clock: Clock) -> None:
        store.put("runs", "a", {})
        clock.now += 7 * DAY - 1
        assert store.get("runs", "a") is not None
        clock.now += 1
        assert store.get("runs", "a") is None

    def test_each_write_begins_the_time_anew(self, store: RecordStore, clock: Clock) -> None:
        store.put("runs", "a", {}, keep=10)
        clock.now += 9
        store.put("runs", "a", {}, keep=10)
        clock.now += 9
        assert written(store.get("runs", "a")).version == 2
        store.put("runs", "a", {}, keep=1)
        clock.now += 1
        assert store.get("runs", "a") is None

    def test_what_is_over_is_made_anew(self, store: RecordStore, clock: Clock) -> None:
        store.put("runs", "a", {"old": True}, keep=10)
        store.put("runs", "a", {"old": True}, keep=10)
        clock.now += 10
        again = Record("a", {"old": False}, 1, clock.now, clock.now)
        assert store.put("runs", "a", {"old": False}, version=0, keep=100) == again
        clock.now += 50
        assert store.get("runs", "a") == again
        assert keys(store.scan("runs")) == ["a"]

    def test_a_time_of_nothing_keeps_nothing(self, store: RecordStore) -> None:
        assert store.put("runs", "a", {}, keep=0) is not None
        assert store.get("runs", "a") is None
        store.put("runs", "a", {})
        assert written(store.put("runs", "a", {}, keep=-1)).version == 2
        assert store.get("runs", "a") is None
        assert keys(store.scan("runs")) == []

    # Many at once

    def test_of_many_threads_one_makes_a_record(self, store: RecordStore) -> None:
        together = threading.Barrier(THREADS)

        def make(number: int) -> bool:
            together.wait(PATIENCE)
            return store.put("once", "a", {"by": number}, version=0) is not None

        with ThreadPoolExecutor(THREADS) as pool:
            won = list(pool.map(make, range(THREADS)))
        assert won.count(True) == 1
        assert written(store.get("once", "a")).value == {"by": won.index(True)}

    def test_no_change_of_many_threads_is_lost(self, store: RecordStore) -> None:
        def count(_: int) -> None:
            for _ in range(25):
                store.change("counters", "a", one_more)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(count, range(THREADS)))
        found = written(store.get("counters", "a"))
        assert (found.value["n"], found.version) == (25 * THREADS, 25 * THREADS)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    def test_a_forked_process_goes_on_with_its_parents_store(self, store: RecordStore) -> None:
        store.put("runs", "a", {"n": 1})
        scan = store.scan("runs")
        child = os.fork()
        if not child:
            try:
                found = written(store.get("runs", "a"))
                mine = store.put("runs", "child", {"n": found.value["n"]}, version=0)
                theirs = store.put("runs", "a", {"n": 2}, version=1)
                os._exit(0 if mine is not None and theirs is not None else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert (store.get("runs", "child") is not None) is store.shared
        assert written(store.get("runs", "a")).version == (2 if store.shared else 1)
        assert "a" in keys(scan)
        assert store.put("runs", "parent", {}) is not None


class SharedRecordContract(RecordContract):
    """What holds among processes, too."""

    def test_it_says_that_it_is_shared_and_where(self, store: RecordStore) -> None:
        assert store.shared
        assert store.place
        assert store.driver_errors

    def test_what_one_has_written_the_other_reads(self, make_store: MakeStore, clock: Clock) -> None:
        one, two = make_store(clock), make_store(clock)
        put = one.put("runs", "a", {"n": 1})
        assert two.get("runs", "a") == put
        assert list(two.scan("runs")) == [put]
        assert two.put("runs", "a", {"n": 2}, version=1) == one.get("runs", "a")
        assert one.put("runs", "a", {"n": 3}, version=1) is None
        assert two.delete("runs", "a")
        assert one.get("runs", "a") is None

    def test_no_change_of_many_processes_is_lost(self, open_store: OpenStore) -> None:
        processes = in_processes(record_workers.count, [(open_store, "a", TIMES)] * PROCESSES)
        _end(processes)
        found = written(open_store().get("counters", "a"))
        assert (found.value["n"], found.version) == (TIMES * PROCESSES, TIMES * PROCESSES)

    def test_of_many_processes_one_makes_each_record(self, open_store: OpenStore, tmp_path: Path) -> None:
        marks = [str(tmp_path / f"made-{number}") for number in range(PROCESSES)]
        _end(in_processes(record_workers.make, [(open_store, 50, mark) for mark in marks]))
        made = {mark: Path(mark).read_text(encoding="utf-8").split() for mark in marks}
        store = open_store()
        assert sorted(name for names in made.values() for name in names) == sorted(map(str, range(50)))
        for mark, names in made.items():
            assert all(written(store.get("once", name)).value == {"by": mark} for name in names)

    def test_a_killed_writer_leaves_the_old_or_the_new_and_never_half(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        store = open_store()
        for number in range(KILLS):
            mark = tmp_path / f"written-{number}"
            (writer,) = in_processes(record_workers.write_for_ever, [(open_store, f"{number}", str(mark))])
            while not mark.exists() or mark.stat().st_size <= number:
                assert writer.is_alive(), "the writer ended by itself"
                writer.join(0.001)
            writer.kill()
            writer.join(PATIENCE)
            found = written(store.get("torn", f"{number}"))
            assert found.version == found.value["number"] >= mark.stat().st_size
            letters = set(found.value["text"])
            assert len(found.value["text"]) == LENGTH
            assert letters == {record_workers.LETTERS[found.version % len(record_workers.LETTERS)]}
            assert written(store.put("torn", f"{number}", {}, version=found.version)).version == found.version + 1


def _end(processes: list[Any]) -> None:
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * len(processes)
