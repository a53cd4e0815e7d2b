"""What every store of records must do when its records are read one after the other; see `record_contract.py`."""
# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import pytest

from mas_guard.records import RecordStore
from mas_guard.testing.ledger_steps import Clock
from mas_guard.testing.record_steps import RecordFixtures, keys


class RecordScanContract(RecordFixtures):
    """Order, beginnings, and what happens meanwhile."""

    def test_a_scan_gives_the_newest_made_first(self, store: RecordStore, clock: Clock) -> None:
        for name in "bdac":
            store.put("runs", name, {"name": name})
            clock.now += 1
        store.put("runs", "b", {"name": "again"})
        assert keys(store.scan("runs")) == ["c", "a", "d", "b"]
        assert [record.value["name"] for record in store.scan("runs")] == ["c", "a", "d", "again"]
        assert next(store.scan("runs")) == store.get("runs", "c")

    def test_a_scan_may_ask_for_a_beginning(self, store: RecordStore, clock: Clock) -> None:
        for name in ("run1:a", "run1:b", "run2:a", "run1", "Run1:a", "run1;", "é", "éa", "\ud800x"):
            store.put("once", name, {})
            clock.now += 1
        assert keys(store.scan("once", "run1:")) == ["run1:b", "run1:a"]
        assert keys(store.scan("once", "run1")) == ["run1;", "run1", "run1:b", "run1:a"]
        assert keys(store.scan("once", "é")) == ["éa", "é"]
        assert keys(store.scan("once", "\ud800")) == ["\ud800x"]
        assert keys(store.scan("once", "run1:a:")) == []

    @pytest.mark.parametrize("prefix", ["%", "_", "*", "?", "[a]", "\\"])
    def test_a_beginning_means_itself(self, store: RecordStore, prefix: str) -> None:
        store.put("runs", "a plain one", {})
        store.put("runs", f"{prefix}b", {})
        assert keys(store.scan("runs", prefix)) == [f"{prefix}b"]

    def test_a_scan_gives_the_records_of_its_kind(self, store: RecordStore) -> None:
        store.put("runs", "a", {})
        store.put("run", "b", {})
        store.put("runs2", "c", {})
        assert keys(store.scan("runs")) == ["a"]
        assert keys(store.scan("none")) == []

    @pytest.mark.parametrize("apart", [0.0, 0.5], ids=["at one instant", "one after the other"])
    def test_a_scan_of_many_gives_each_once(self, store: RecordStore, clock: Clock, apart: float) -> None:
        names = [f"{number:04}" for number in range(700)]
        for name in names:
            store.put("runs", name, {})
            clock.now += apart
        found = keys(store.scan("runs"))
        assert sorted(found) == names
        assert not apart or found == names[::-1]
        assert keys(store.scan("runs", "03")) == [name for name in found if name.startswith("03")]

    @pytest.mark.parametrize("apart", [0.0, 0.5], ids=["at one instant", "one after the other"])
    def test_what_happens_during_a_scan_hides_nothing_else(
        self, store: RecordStore, clock: Clock, apart: float
    ) -> None:
        names = [f"{number:04}" for number in range(700)]
        for name in names:
            store.put("runs", name, {}, keep=1_000_000)
            clock.now += apart
        found = []
        for number, record in enumerate(store.scan("runs")):
            found.append(record.key)
            store.put("runs", f"new {number}", {}, keep=1)
            store.delete("runs", f"new {number - 1}")
            if number % 7 == 0:
                store.delete("runs", record.key)
                store.put("runs", names[(number * 31) % 700], {}, keep=1_000_000)
        once = [key for key in found if not key.startswith("new")]
        assert len(once) == len(set(once)) == 700
