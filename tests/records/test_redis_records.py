"""Records on Redis keep the contract, and what only this store promises."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mas_guard.testing.ledger_steps import Clock
from mas_guard.testing.record_contract import SharedRecordContract
from mas_guard.testing.record_steps import BEGINNING, MakeStore, keys, written
from mas_guard.testing.record_workers import OpenStore, one_more
from tests.ledger.redis_server import RedisServer
from tests.ledger.relay import Relay

pytest.importorskip("redis", reason="the Redis store needs redis-py")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Of a test's own."""
    return os.urandom(8).hex()


@pytest.fixture
def make(server: RedisServer, prefix: str):
    """Makes stores of the same records, as the processes of one fleet do."""
    from mas_guard.records.redis import RedisRecordStore

    return lambda **more: RedisRecordStore(server.url, **{"prefix": prefix, **more})


class TestRedisRecords(SharedRecordContract):
    @pytest.fixture
    def make_store(self, make) -> MakeStore:
        return lambda clock: make(clock=clock)

    @pytest.fixture
    def open_store(self, server, prefix) -> OpenStore:
        from mas_guard.records.redis import RedisRecordStore

        return functools.partial(RedisRecordStore, server.url, 10.0, prefix=prefix)


# Writes whose reply was lost


@pytest.fixture
def relay(server) -> Iterator[Relay]:
    with Relay(server.port) as relay:
        yield relay


class Cuts:
    """Dice for a relay: which of the next replies are swallowed."""

    def __init__(self, *cut: bool) -> None:
        self.left = list(cut)

    def random(self) -> float:
        return 0.0 if self.left and self.left.pop(0) else 1.0


@pytest.fixture
def cut(relay, prefix):
    """Makes a store that knows its server, and lets the relay swallow the first of the replies after that."""
    from mas_guard.records.redis import RedisRecordStore

    relay.share_cut = 0.5
    relay._dice = Cuts()

    def cut_next() -> None:
        relay._dice = Cuts(True)

    store = RedisRecordStore(relay.url, 5.0, prefix=prefix)
    store.put("warm", "up", {})
    store.delete("warm", "up")
    return store, cut_next


def test_a_put_whose_reply_was_lost_knows_its_own_write(cut, relay):
    store, cut_next = cut
    for version, count in ((0, 1), (1, 2), (None, 3)):
        cut_next()
        put = store.put("runs", "a", {"n": count}, version=version)
        assert put == store.get("runs", "a")
        assert written(put).version == count
    assert relay.cuts == 3


def test_it_does_so_even_where_somebody_has_written_since(cut, relay, monkeypatch):
    store, _ = cut
    store.change("counters", "a", one_more)

    def overtake() -> None:
        monkeypatch.undo()
        for _ in range(20):
            store.change("counters", "a", one_more)

    monkeypatch.setattr(store._exchange.servers, "look_again", overtake)
    relay._dice = Cuts(False, True)  # it reads, and then it writes
    assert written(store.change("counters", "a", one_more)).version == 2
    found = written(store.get("counters", "a"))
    assert (found.version, found.value) == (22, {"n": 22})
    assert relay.cuts == 1


def test_a_delete_whose_reply_was_lost_knows_that_it_was_its_own(cut, relay):
    store, cut_next = cut
    store.put("runs", "a", {})
    cut_next()
    assert store.delete("runs", "a", version=1)
    assert not store.delete("runs", "a")
    assert relay.cuts == 1


def test_cut_connections_lose_and_double_no_change(relay, prefix):
    from mas_guard.records.redis import RedisRecordStore

    store = RedisRecordStore(relay.url, 10.0, prefix=prefix)
    relay.share_cut = 0.1
    done, unknown = [], []

    def count(_: int) -> None:
        for _ in range(60):
            try:
                store.change("counters", "a", one_more)
            except store.driver_errors:  # both tries were cut
                unknown.append(1)
            else:
                done.append(1)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count, range(6)))
    relay.share_cut = 0.0
    found = written(store.get("counters", "a"))
    assert relay.cuts > 50
    assert len(done) <= found.value["n"] == found.version <= len(done) + len(unknown)
    assert len(unknown) < 0.2 * len(done)


# What it costs, and what it leaves behind


def test_a_read_is_one_round_trip_and_so_is_a_write(make, server):
    store = make()
    store.put("runs", "a", {})
    nothing = -server.reads() + server.reads()  # asking takes a part as well
    for act in (
        lambda: store.get("runs", "a"),
        lambda: store.put("runs", "a", {}),
        lambda: store.put("runs", "a", {}, version=2, durable=True),
        lambda: list(store.scan("runs")),
        lambda: store.delete("runs", "b"),
    ):
        before = server.reads()
        act()
        assert server.reads() - before == nothing + 1


def test_nothing_is_kept_for_ever(make, server, prefix):
    store = make(retention=100.0)
    store.put("runs", "a", {})
    store.put("runs", "b", {}, keep=1_000)
    store.put("runs", "c", {}, keep=10)
    store.delete("runs", "a")
    lives = {key: server.milliseconds_to_live(key) for key in server.keys(f"{prefix}:*")}
    assert len(lives) == 4 + 4
    assert all(life > 0 for life in lives.values())
    for index in ("made", "until"):
        assert 999_000 < lives[f"{prefix}:{{records:runs}}:{index}"] <= 1_000_000
    assert 990_000 < lives[f"{prefix}:{{records:runs}}:record:b"] <= 1_000_000
    assert all(life <= 5_000 for key, life in lives.items() if ":done:" in key)


def test_all_keys_of_a_kind_have_one_hash_tag(make, server, prefix):
    store = make()
    store.put("runs", "{odd}", {})
    assert {key.split("}")[0] for key in server.keys(f"{prefix}:*")} == {f"{prefix}:{{records:runs"}


def test_by_the_servers_own_clock_a_record_ends_and_its_name_leaves_the_index(make, server, prefix):
    store = make()
    for number in range(10):
        store.put("runs", f"{number}", {}, keep=0.001)
    server.wait_until(lambda: store.get("runs", "9") is None, "forgot")
    assert keys(store.scan("runs")) == []
    for _ in range(4):
        store.put("runs", "kept", {})
    for index in ("made", "until"):
        assert server.ask("ZCARD", f"{prefix}:{{records:runs}}:{index}") == b":1\r\n"
    assert keys(store.scan("runs")) == ["kept"]


def test_many_finished_runs_leave_no_keys(make, server, prefix):
    clock = Clock(BEGINNING)
    store = make(clock=clock)
    for number in range(1_000):
        store.put("runs", f"{number}", {"text": "x" * 100}, keep=50)
        store.put("runs", f"{number}", {"text": "y" * 100}, keep=50)
        clock.now += 1
    names = [key for key in server.keys(f"{prefix}:*") if ":done:" not in key]
    assert len(names) <= 50 + 2
    for index in ("made", "until"):
        assert int(server.ask("ZCARD", f"{prefix}:{{records:runs}}:{index}")[1:-2]) <= 50


# The server


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(make, server):
    store = make()
    store.put("runs", "a", {})
    server.ask("SCRIPT", "FLUSH")
    assert written(store.put("runs", "a", {})).version == 2
    server.ask("SCRIPT", "FLUSH")
    assert keys(store.scan("runs")) == ["a"]
    server.ask("SCRIPT", "FLUSH")
    assert store.delete("runs", "a")


def test_a_lost_server_is_an_error_of_the_driver_and_its_return_needs_nothing(prefix):
    from mas_guard.records.redis import RedisRecordStore

    with RedisServer(durable=True) as server:
        store = RedisRecordStore(server.url, 0.5, prefix=prefix)
        store.put("runs", "a", {"n": 1}, durable=True)
        server.kill()
        for act in (
            lambda: store.get("runs", "a"),
            lambda: store.put("runs", "a", {"n": 2}),
            lambda: store.change("runs", "a", one_more),
            lambda: list(store.scan("runs")),
            lambda: store.delete("runs", "a"),
        ):
            with pytest.raises(store.driver_errors):
                act()
        server.start()
        assert written(store.get("runs", "a")).value == {"n": 1}
        assert written(store.put("runs", "a", {"n": 2}, version=1)).version == 2


def test_a_server_that_does_not_answer_hangs_nobody(prefix):
    from mas_guard.records.redis import RedisRecordStore

    with RedisServer() as server:
        store = RedisRecordStore(server.url, 0.2, prefix=prefix)
        store.put("runs", "a", {})
        server.freeze()
        raised: list[BaseException] = []

        def put() -> None:
            try:
                store.put("runs", "a", {})
            except store.driver_errors as error:
                raised.append(error)

        threads = [threading.Thread(target=put, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        server.thaw()
        assert len(raised) == 4


def test_a_durable_write_waits_for_the_replicas(server, prefix):
    from mas_guard.records.redis import RedisRecordStore

    store = RedisRecordStore(f"{server.url}?replicas=1&prefix={prefix}", 0.5)
    assert written(store.put("once", "a", {})).version == 1
    with pytest.raises(store.driver_errors, match="Fewer than 1 replicas have acknowledged a record"):
        store.put("once", "a", {}, durable=True)
    assert written(store.get("once", "a")).version == 2
    with RedisServer(replica_of=server.port) as replica:
        replica.wait_until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), "joined")
        assert written(store.put("once", "a", {"n": 3}, version=2, durable=True)).version == 3
        assert b'{"n":3}' in replica.ask("GET", f"{prefix}:{{records:once}}:record:a")


def test_in_a_cluster_each_kind_lies_on_one_server(prefix):
    from mas_guard.records.redis import RedisRecordStore

    with RedisServer("--cluster-enabled", "yes") as server:
        server.cover_all_slots()
        store = RedisRecordStore(f"redis+cluster://127.0.0.1:{server.port}?prefix={prefix}", 5.0)
        for kind in ("runs", "once"):
            for name in ("a", "{b}"):
                assert written(store.put(kind, name, {"kind": kind}, version=0)).value == {"kind": kind}
        assert keys(store.scan("runs")) == ["{b}", "a"]
        assert written(store.get("once", "{b}")).value == {"kind": "once"}
        assert store.delete("once", "a")


def test_the_options_of_the_url_are_ours_too(server, prefix):
    from mas_guard.records.redis import RedisRecordStore

    store = RedisRecordStore(f"{server.url}?prefix={prefix}&retention=50")
    store.put("runs", "a", {})
    assert 49_000 < server.milliseconds_to_live(f"{prefix}:{{records:runs}}:record:a") <= 50_000
    assert store.place == server.url


def test_a_place_shows_no_password():
    from mas_guard.records.redis import RedisRecordStore

    store = RedisRecordStore("redis://user:secret@localhost:6379/0?client_name=secret")
    assert store.place == "redis://localhost:6379/0"
