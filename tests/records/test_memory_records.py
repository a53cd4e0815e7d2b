"""Records in memory keep the contract, and what only this store promises."""

from __future__ import annotations

import os
import threading

import pytest

from mas_guard.records import MemoryRecordStore, memory, open_records
from mas_guard.testing.record_contract import RecordContract
from mas_guard.testing.record_steps import MakeStore, keys


class TestMemoryRecords(RecordContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda clock: MemoryRecordStore(clock=clock)


def test_the_oldest_of_a_kind_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(memory, "REMEMBERED_RECORDS", 3)
    store = MemoryRecordStore()
    store.put("other", "kept", {})
    for name in "abcd":
        store.put("runs", name, {})
    assert keys(store.scan("runs")) == ["d", "c", "b"]
    assert store.get("other", "kept") is not None


def test_memory_is_one_store_for_the_whole_process():
    assert open_records("memory://") is open_records("MEMORY://")
    assert not open_records("memory://").shared


def test_the_longest_retention_that_was_asked_for_holds_in_memory(monkeypatch):
    store = open_records("memory://")
    monkeypatch.setattr(store, "retention", 100.0)
    assert open_records("memory://", retention=500.0) is store
    open_records("memory://", retention=50.0)
    assert store.retention == 500.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    store = MemoryRecordStore()
    locked, done = threading.Event(), threading.Event()

    def lock() -> None:
        with store._lock:
            locked.set()
            done.wait(60)

    thread = threading.Thread(target=lock)
    thread.start()
    locked.wait(60)
    child = os.fork()
    if not child:
        threading.Timer(20, os._exit, (3,)).start()
        store.put("runs", "a", {})
        os._exit(0)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
