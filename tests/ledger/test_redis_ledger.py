"""The Redis ledger keeps the contract, and what only this store promises.

`MAS_GUARD_TEST_LEDGER_STEPS=200000` runs more steps of the state machine, over stories that are new each time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from mas_guard.errors import ConfigError
from mas_guard.ledger import Grant
from mas_guard.testing.ledger_contract import LedgerContract, MakeLedger
from mas_guard.testing.ledger_machine import run_ledger_machine
from mas_guard.testing.ledger_steps import Clock, InQueue, asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Amounts, Limits
from tests.ledger.redis_server import RedisServer

pytest.importorskip("redis", reason="the Redis store needs redis-py")

DEFAULT_STEPS = 3_000
STEPS = int(os.environ.get("MAS_GUARD_TEST_LEDGER_STEPS", DEFAULT_STEPS))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def make(server: RedisServer):
    """Makes ledgers on the same books, as the processes of one fleet do; a test has books of its own."""
    from mas_guard.ledger.redis import RedisLedger

    prefix = os.urandom(8).hex()
    return lambda **more: RedisLedger(server.url, **{"timeout": 20.0, "prefix": prefix, **more})


@pytest.fixture
def apart(make):
    """Makes ledgers on books of their own."""
    return lambda clock: make(clock=clock, prefix=os.urandom(8).hex())


class TestRedisLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self, apart) -> MakeLedger:
        return apart

    @pytest.fixture
    def elsewhere(self, make, ledger, clock):
        return make(clock=clock, prefix=ledger.prefix)


def test_no_level_is_ever_overspent_and_nothing_leaks(apart):
    assert run_ledger_machine(apart, steps=STEPS, repeatable=STEPS == DEFAULT_STEPS) >= STEPS


def test_the_truth_is_booked_when_calls_use_more_than_they_hold(apart):
    run_ledger_machine(apart, steps=STEPS // 3, breaches=True, repeatable=STEPS == DEFAULT_STEPS)


# One account for all


def test_the_same_scope_is_one_account_for_all_who_open_it(make):
    one, two = make(), make()
    mine, theirs = one.open("run", Limits(tokens=100)), two.open("run", Limits(tokens=100))
    granted(one.reserve(asking("a", mine, tokens(60))))
    assert refused(two.reserve(asking("b", theirs, tokens(41)))).held == 60
    one.settle("a", tokens(10))
    granted(two.reserve(asking("b", theirs, tokens(90))))
    assert one.read(mine).held == tokens(90)


def test_one_process_ends_what_another_began(make):
    one, two = make(), make()
    mine, theirs = one.open("run", Limits(tokens=100)), two.open("run", Limits(tokens=100))
    one.reserve(asking("a", mine, tokens(60)))
    assert two.dispatch("a", 60.0)
    assert two.settle("a", tokens(10)).known
    assert one.settle("a", tokens(10)).known
    assert two.read(theirs).settled == tokens(10)


def test_an_account_is_kept_until_the_last_who_opened_it_has_closed_it(make):
    one, two = make(), make()
    mine, theirs = one.open("run", Limits(tokens=100)), two.open("run", Limits(tokens=100))
    two.reserve(asking("late", theirs, tokens(60)))
    one.charge((mine,), tokens(5), "spent")
    one.close(mine)
    assert two.dispatch("late", 60.0)
    assert two.settle("late", tokens(10)).known
    assert two.read(theirs).settled == tokens(15)
    two.close(theirs)
    assert one.read(one.open("run", Limits(tokens=100))).settled == ZERO


def test_a_hold_of_a_closed_account_is_not_booked_on_the_one_that_takes_its_name(make):
    ledger = make()
    run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits(tokens=100))
    ledger.reserve(asking("a", (run, group), tokens(60)))
    ledger.close(run)
    again = ledger.open("run", Limits(tokens=100))
    ledger.settle("a", tokens(60))
    assert (ledger.read(again).settled, ledger.read(again).held) == (ZERO, ZERO)
    assert ledger.read(group).settled == tokens(60)


def test_a_grant_that_comes_while_its_waiter_leaves_is_given_back(make, monkeypatch):
    ledger = make()
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(asking("a", run, tokens(100)))
    queued = InQueue(ledger, asking("b", run, tokens(50)))
    attempt = ledger.attempt

    def attempt_and_leave(*arguments, **more):
        found = attempt(*arguments, **more)
        ledger.cancel(queued.ticket)
        return found

    monkeypatch.setattr(ledger, "attempt", attempt_and_leave)
    ledger.settle("a", ZERO)
    assert queued.waits
    assert ledger.read(run).held == ZERO


def test_a_settle_takes_a_sweep_along_now_and_then(make, server, monkeypatch):
    clock = Clock()
    ledger = make(prefix="swept", clock=clock)
    run = ledger.open("run", Limits())
    for hold_id in ("left behind", "a"):
        ledger.reserve(asking(hold_id, run, tokens(10)))
    clock.now += 61
    monkeypatch.setattr("mas_guard.ledger.redis.holds.SWEEP_EVERY", 0.0)
    before = server.commands()
    ledger.settle("a", tokens(10))
    assert server.commands() - before == 2  # sent together
    assert server.keys("swept:*hold:*") == []


def test_what_another_process_gives_back_is_found_by_the_next_sweep(make):
    one, two = make(), make()
    mine, theirs = one.open("run", Limits(tokens=100)), two.open("run", Limits(tokens=100))
    one.reserve(asking("a", mine, tokens(100)))
    queued = InQueue(two, asking("b", theirs, tokens(50)))
    assert queued.waits
    one.settle("a", ZERO)
    while queued.waits:
        seconds = two.sweep()
        assert seconds is None or seconds <= 0.25
    assert queued.granted


def test_nested_calls_of_two_processes_do_not_wait_for_each_other_for_ever(make):
    one, two = make(), make()
    mine, theirs = one.open("run", Limits(tokens=100)), two.open("run", Limits(tokens=100))
    one.reserve(asking("one", mine, tokens(50)))
    two.reserve(asking("two", theirs, tokens(50)))
    first = InQueue(one, asking("in one", mine, tokens(10), inside=frozenset({"one"})))
    assert first.waits
    assert not InQueue(two, asking("in two", theirs, tokens(10), inside=frozenset({"two"}))).refused.can_wait
    two.settle("two", tokens(40))
    while first.waits:
        one.sweep()
    assert first.granted


def test_a_forked_process_goes_on_with_its_parents_handles_and_holds(make):
    ledger = make()
    run = ledger.open("run", Limits(tokens=100))
    ledger.reserve(asking("a", run, tokens(60)))
    child = os.fork()
    if not child:
        try:
            ledger.settle("a", tokens(10))
            found = ledger.reserve(asking("child", run, tokens(80)))
            ledger.dispatch("child", 600.0)
            os._exit(0 if isinstance(found, Grant) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert (ledger.read(run).settled, ledger.read(run).held) == (tokens(10), tokens(80))
    refused(ledger.reserve(asking("b", run, tokens(11))))
    ledger.close(run)
    assert make().read(make().open("run", Limits(tokens=100))).held == tokens(80)


# What it costs, and what it leaves behind


def test_a_reserve_is_one_round_trip_and_so_is_what_follows(make, server):
    ledger = make()
    run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits(tokens=100))
    for number, (act, trips) in enumerate(
        (
            (lambda: ledger.reserve(asking("a", (run, group), tokens(60))), 1),
            (lambda: ledger.dispatch("a", 60.0), 1),
            (lambda: ledger.settle("a", tokens(10)), 1),
            (lambda: [ledger.spent(run), ledger.spent(group)], 0),
            (lambda: ledger.reserve(asking("b", (run, group), tokens(91))), 1),
            (
                lambda: ledger.reserve_fitting(asking("c", run, ZERO, per_output=tokens(1), output=91, least_output=1)),
                2,
            ),
        )
    ):
        before = server.commands()
        act()
        assert server.commands() - before == trips, number


def test_nothing_is_kept_for_ever(make, server):
    ledger = make(prefix="ttl")
    run, group = ledger.open("run", Limits(tokens=1_000)), ledger.open("group", Limits())
    for hold_id, actual in (("a", 10), ("b", 200), ("left", None)):
        ledger.reserve(asking(hold_id, (run, group), tokens(30)))
        ledger.dispatch(hold_id, 60.0)
        if actual is not None:
            ledger.settle(hold_id, tokens(actual))
    ledger.charge((group,), tokens(1), "late")
    ledger.sweep()
    keys = server.keys("ttl:*")
    assert len(keys) >= 9
    assert [key for key in keys if server.milliseconds_to_live(key) <= 0] == []


def test_a_finished_run_leaves_nothing_behind(make, server):
    ledger = make(prefix="flat")
    group = ledger.open("group", Limits())

    def live_runs(first: int, last: int) -> int:
        for number in range(first, last):
            run = ledger.open(f"run {number}", Limits(tokens=100))
            ledger.reserve(asking(f"{number}", (run, group), tokens(60)))
            ledger.dispatch(f"{number}", 60.0)
            ledger.settle(f"{number}", tokens(70))
            ledger.charge((run, group), tokens(1), f"charge {number}")
            ledger.close(run)
        return len(server.keys("flat:*"))

    assert live_runs(100, 300) == live_runs(0, 100) == 4
    assert ledger.read(group).settled == tokens(300 * 71)
    assert not ledger.holds


def test_an_account_that_is_named_twice_is_refused(make):
    ledger = make()
    run = ledger.open("run", Limits(tokens=100))
    with pytest.raises(ValueError, match="twice"):
        ledger.reserve(asking("a", (run, run), tokens(60)))


def test_limits_beyond_what_is_counted_exactly_are_refused(make):
    ledger = make()
    with pytest.raises(ValueError, match="exactly"):
        ledger.open("run", Limits(nano_usd=2**53 + 1))
    run = ledger.open("run", Limits(nano_usd=2**53))
    granted(ledger.reserve(asking("a", run, Amounts(nano_usd=2**53))))
    assert ledger.read(run).held.nano_usd == 2**53
    refused(ledger.reserve(asking("b", run, Amounts(nano_usd=1))))


# The server


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(make, server):
    ledger = make()
    run = ledger.open("run", Limits(model_calls=2))
    granted(ledger.reserve(asking("a", run, calls(1))))
    server.ask("SCRIPT", "FLUSH")
    granted(ledger.reserve(asking("b", run, calls(1))))
    refused(ledger.reserve(asking("c", run, calls(1))))


def test_a_lost_server_is_an_error_of_the_driver_and_its_return_needs_nothing():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer(durable=True) as server:
        ledger = RedisLedger(server.url, timeout=0.5)
        run = ledger.open("run", Limits(model_calls=2))
        granted(ledger.reserve(asking("a", run, calls(1))))
        server.kill()
        for act in (
            lambda: ledger.reserve(asking("b", run, calls(1))),
            lambda: ledger.dispatch("a", 60.0),
            lambda: ledger.settle("a", calls(1)),
            lambda: ledger.read(run),
            lambda: ledger.open("other", Limits()),
            lambda: ledger.sweep(),
        ):
            with pytest.raises(ledger.driver_errors):
                act()
        ledger.close(run)  # which forgets it here; the server does so later
        server.start()
        again = ledger.open("run", Limits(model_calls=2))
        refused(ledger.reserve(asking("b", again, calls(2))))
        ledger.settle("a", calls(1))
        assert ledger.read(again).settled == calls(1)


def test_a_server_that_does_not_answer_hangs_nobody():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer() as server:
        ledger = RedisLedger(server.url, timeout=0.2)
        run = ledger.open("run", Limits(model_calls=2))
        raised: list[BaseException] = []

        def reserve(name: str) -> None:
            try:
                ledger.reserve(asking(name, run, calls(1)))
            except ledger.driver_errors as error:
                raised.append(error)

        server.freeze()
        threads = [threading.Thread(target=reserve, args=(f"{n}",), daemon=True) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(raised) == 8
        server.thaw()
        # What was sent before may be executed only now; asked again with its id it is the same hold.
        found = [ledger.reserve(asking(name, run, calls(1))) for name in map(str, range(8))]
        assert sum(isinstance(answer, Grant) for answer in found) == 2
        assert ledger.read(run).held == calls(2)


def test_a_url_that_is_none_says_what_to_write():
    from mas_guard.ledger.redis import RedisLedger

    with pytest.raises(ValueError, match="redis\\+sentinel") as caught:
        RedisLedger("http://user:secret@localhost")
    assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="service"):
        RedisLedger("redis+sentinel://localhost:26379")


def test_a_cluster_keeps_the_accounts_of_one_root_together():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer("--cluster-enabled", "yes") as server:
        server.cover_all_slots()
        ledger = RedisLedger(f"redis+cluster://127.0.0.1:{server.port}")
        run, group = (ledger.open(scope, Limits(tokens=100), root="nightly") for scope in ("run:7", "group:nightly"))
        agent, other = ledger.open("agent:8:writer", Limits()), ledger.open("run:8", Limits(tokens=10))
        granted(ledger.reserve(asking("a", (run, group), tokens(60))))
        granted(ledger.reserve(asking("b", (agent, other), tokens(10))))
        with pytest.raises(ConfigError, match="lies on one server"):
            ledger.reserve(asking("c", (other, group), tokens(1)))
        assert ledger.dispatch("a", 60.0)
        assert ledger.settle("a", tokens(10)).known
        assert ledger.settle("b", tokens(10)).known
        assert ledger.read(group).settled == ledger.read(run).settled == tokens(10)
        ledger.sweep()
        tags = {key.split("}")[0].split("{")[1] for key in server.keys("*")}
        assert tags == {"nightly", "8"}


def test_an_operator_sees_a_whole_cluster_and_puts_right_what_crashed_there():
    from mas_guard.ledger.redis import RedisLedger

    with RedisServer("--cluster-enabled", "yes") as server:
        server.cover_all_slots()
        clock = Clock()
        worker, operator = (RedisLedger(f"redis+cluster://127.0.0.1:{server.port}", clock=clock) for _ in range(2))
        runs = [worker.open(f"run:{number}", Limits(tokens=100), root=f"root {number % 3}") for number in range(9)]
        for number, run in enumerate(runs):
            granted(worker.reserve(asking(f"{number}", run, tokens(60))))
            assert worker.dispatch(f"{number}", 5.0)
        clock.now += 6
        assert sorted(scope for scope, _ in operator.balances("run:")) == [run.scope for run in runs]
        assert all(balance.crashed == tokens(60) for _, balance in operator.balances())
        crashed = operator.crashed_holds()
        assert sorted(hold.hold_id for hold in crashed) == [f"{number}" for number in range(9)]
        for hold in crashed:
            assert operator.settle(hold.hold_id, tokens(1)).late
        assert operator.crashed_holds() == []
        assert [worker.read(run).settled for run in runs] == [tokens(1)] * 9


def test_what_is_kept_of_a_crashed_call_expires(make, server):
    clock = Clock()
    ledger = make(prefix="crashed", clock=clock)
    run = ledger.open("run", Limits())
    ledger.reserve(asking("a", run, tokens(10)))
    ledger.dispatch("a", 5.0)
    clock.now += 6
    assert len(ledger.crashed_holds()) == 1
    keys = server.keys("crashed:*")
    assert any(key.endswith(":crashed:a") for key in keys)
    assert [key for key in keys if server.milliseconds_to_live(key) <= 0] == []
    ledger.close(run)
    assert ledger.crashed_holds() == []
    assert server.keys("crashed:*:crashed:*") == []
