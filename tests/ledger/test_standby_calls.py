"""What becomes of calls, accounts and those who wait while the store is lost, and once it is back."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mas_guard._effects import Wait
from mas_guard._waiting import wait, wait_async
from mas_guard.errors import ConfigError, StoreUnavailable
from mas_guard.ledger import AccountLost, Grant
from mas_guard.ledger.standby import StandbyLedger
from mas_guard.testing.ledger_steps import InQueue, asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Limits
from tests.ledger.lossy_store import AFTER, BEFORE, WELL, Scene, Unreachable


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def ledger(scene) -> StandbyLedger:
    return scene.ledger


# A run of this process alone


def test_a_local_run_goes_on_with_what_it_has_left_and_not_one_unit_more(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("spent", run, tokens(30))))
    ledger.settle("spent", tokens(20))
    granted(ledger.reserve(asking("held", run, tokens(30))))
    scene.lose()
    assert refused(ledger.reserve(asking("a", run, tokens(51)))).account is run
    granted(ledger.reserve(asking("b", run, tokens(50))))
    refused(ledger.reserve(asking("c", run, tokens(1))))
    balance = ledger.read(run)
    assert (balance.settled, balance.held) == (tokens(20), tokens(80))
    assert ledger.spent(run) == (Limits(tokens=100), tokens(20))


@pytest.mark.parametrize("how", [BEFORE, AFTER])
@pytest.mark.parametrize("step", ["reserve", "dispatch", "settle", "release"])
@pytest.mark.parametrize("back_at", ["reserve", "dispatch", "end", "never"])
def test_a_call_may_lose_its_store_at_any_step_and_find_it_at_any_other(scene, ledger, how, step, back_at):
    for number, act in enumerate(("settle", "release")):
        run = ledger.open(f"run {number}", Limits(tokens=100, model_calls=1))
        scene.store.fate = lambda call: WELL if call != step else how
        if step in ("reserve", "dispatch", "settle", "release"):
            granted(ledger.reserve(asking("call", run, tokens(100).plus(calls(1)))))
        refused(ledger.reserve(asking("other", run, tokens(1))))
        if back_at == "reserve":
            scene.bring_back() if ledger.lost else scene.store.mend()
        assert ledger.dispatch("call", 600.0)
        if back_at == "dispatch":
            scene.bring_back() if ledger.lost else scene.store.mend()
        if act == "settle":
            assert ledger.settle("call", tokens(40).plus(calls(1))).known
        else:
            ledger.release("call")
        scene.bring_back() if ledger.lost else scene.store.mend()
        spent = tokens(40).plus(calls(1)) if act == "settle" else ZERO
        balance = scene.balance(f"run {number}")
        assert (balance.settled, balance.held, balance.breaches) == (spent, ZERO, ())
        ledger.close(run)


def test_a_reservation_whose_answer_was_lost_is_given_back_where_it_is_refused_here(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    scene.store.fail(AFTER)
    granted(ledger.reserve(asking("a", run, tokens(60))))
    refused(ledger.reserve(asking("b", run, tokens(60))))
    ledger.settle("a", tokens(10))
    scene.bring_back()
    balance = scene.balance("run")
    assert (balance.settled, balance.held) == (tokens(10), ZERO)


def test_an_answer_under_way_when_the_store_is_lost_is_counted_before_it_comes(scene, ledger):
    """The units of an ask that the store may be granting are granted to nobody else."""
    run = ledger.open("run", Limits(model_calls=1))
    found = []

    def meanwhile(call: str) -> str:
        if call == "reserve":
            scene.store.fail()
            ledger.sweep()  # another call notices
            found.append(ledger.reserve(asking("other", run, calls(1))))
            scene.store.mend()
        return WELL

    scene.store.fate = meanwhile
    granted(ledger.reserve(asking("first", run, calls(1))))
    refused(found[0])
    scene.bring_back()
    assert scene.balance("run").held == calls(1)


def test_who_waits_behind_an_answer_under_way_is_served_where_that_is_a_refusal(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    queued = []

    def meanwhile(call: str) -> str:
        if call == "reserve":
            scene.lose()
            queued.append(InQueue(ledger, asking("waits", run, tokens(50))))
            assert queued[0].waits
        return WELL

    scene.store.fate = meanwhile
    refused(ledger.reserve(asking("too much", run, tokens(150))))
    granted(queued[0].granted)


def test_a_failure_of_before_the_return_does_not_count_as_another_loss(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(50))))

    def meanwhile(call: str) -> str:
        scene.lose()
        scene.bring_back()
        return BEFORE

    scene.store.fate = lambda call: meanwhile(call) if call == "settle" else WELL
    assert ledger.settle("a", tokens(10)).known
    assert not ledger.lost
    assert scene.balance("run").settled == tokens(10)
    assert [event for event, _ in scene.told] == ["store_lost", "store_back"]


def test_a_lease_that_ends_here_a_moment_before_the_store_has_not_ended(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60), lease=60.0)))
    scene.store.books.clock = lambda: 1_000_000.0
    scene.clock.now += 61
    ledger.sweep()
    assert ledger.dispatch("a", 900.0)
    scene.lose()
    assert ledger.read(run).held == tokens(60)
    refused(ledger.reserve(asking("b", run, tokens(41))))


def test_what_was_granted_with_another_output_is_brought_to_the_store_as_it_is(scene, ledger):
    """The answer was lost, and by then more was left."""
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("before", run, tokens(50))))
    elastic = {"per_output": tokens(1), "output": 90, "least_output": 1}

    def lose_after_settling(call: str) -> str:
        if call == "reserve_fitting":
            scene.store.fate = lambda call: AFTER
            return AFTER
        return WELL

    scene.store.fate = lose_after_settling
    assert granted(ledger.reserve_fitting(asking("a", run, tokens(10), **elastic))).output == 40
    ledger.release("before")
    ledger.release("a")
    scene.store.fate = lambda call: BEFORE
    assert granted(ledger.reserve_fitting(asking("b", run, tokens(10), **elastic))).output == 90
    scene.bring_back()
    assert scene.balance("run").held == tokens(100)
    ledger.settle("b", tokens(77))
    assert scene.balance("run").settled == tokens(77)


def test_a_hold_that_the_store_has_with_less_is_held_under_another_id(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    elastic = {"per_output": tokens(1), "output": 90, "least_output": 1}
    granted(ledger.reserve(asking("before", run, tokens(50))))

    def lose(call: str) -> str:
        scene.store.fail()
        ledger.release("before")  # by another thread, which finds that the store is lost
        return AFTER

    scene.store.fate = lambda call: lose(call) if call == "reserve_fitting" else WELL
    assert granted(ledger.reserve_fitting(asking("a", run, tokens(10), **elastic))).output == 90
    assert scene.balance("run").held == tokens(100)
    assert ledger.dispatch("a", 60.0)
    scene.bring_back()
    assert scene.balance("run").held == tokens(100)
    assert ledger.dispatch("a", 60.0)
    nested = asking("nested", run, tokens(50), inside=frozenset({"a"}))
    assert not refused(ledger.reserve(nested)).can_wait  # it would wait for the call around it
    assert granted(ledger.reserve(asking("a", run, tokens(10)))).hold_id == "a"
    assert ledger.settle("a", tokens(95)) == ledger.settle("a", tokens(1))
    assert (scene.balance("run").settled, scene.balance("run").held) == (tokens(95), ZERO)


def test_a_call_that_used_more_than_it_held_leaves_no_room_for_others_on_return(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("over", run, tokens(50))))
    scene.lose()
    granted(ledger.reserve(asking("live", run, tokens(50))))
    assert ledger.settle("over", tokens(80)).breach
    scene.bring_back()
    assert refused(ledger.reserve(asking("next", run, tokens(1)))).settled == 80
    assert ledger.settle("live", tokens(40)).known
    balance = scene.balance("run")
    assert (balance.settled, balance.held) == (tokens(120), ZERO)


def test_a_hold_that_nothing_is_left_for_in_the_store_is_charged_when_it_ends(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("over", run, tokens(50))))
    scene.lose()
    granted(ledger.reserve(asking("live", run, tokens(50))))
    ledger.settle("over", tokens(200))
    scene.bring_back()
    refused(ledger.reserve(asking("next", run, tokens(1))))
    for _ in range(2):
        assert ledger.settle("live", tokens(40)).known
    assert scene.balance("run").settled == tokens(240)


def test_a_sent_call_that_nobody_settles_is_charged_in_full_in_the_column_of_the_crashed(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    scene.lose()
    granted(ledger.reserve(asking("sent", run, tokens(60))))
    granted(ledger.reserve(asking("unsent", run, tokens(40))))
    ledger.dispatch("sent", 5.0)
    scene.clock.now += 100
    assert ledger.read(run).crashed == tokens(60)
    assert ledger.read(run).held == ZERO
    scene.bring_back()
    scene.clock.now += 1
    assert [hold.hold_id for hold in ledger.crashed_holds()] == ["sent"]
    assert (scene.balance("run").settled, scene.balance("run").held) == (tokens(60), ZERO)
    assert ledger.settle("sent", tokens(10)).late
    assert ledger.settle("unsent", tokens(3)).late
    assert (scene.balance("run").settled, scene.balance("run").crashed) == (tokens(13), ZERO)


def test_a_call_sent_without_the_store_is_no_breach_where_its_unsent_lease_ended_there(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    for hold_id in ("ends", "lives"):
        granted(ledger.reserve(asking(hold_id, run, tokens(40), lease=60.0)))
    scene.lose()
    for hold_id in ("ends", "lives"):
        assert ledger.dispatch(hold_id, 900.0)
    scene.clock.now += 100
    scene.store.books.sweep()
    ledger.settle("ends", tokens(30))
    scene.bring_back()
    balance = scene.balance("run")
    assert (balance.settled, balance.held, balance.breaches) == (tokens(30), tokens(40), ())
    scene.clock.now += 300
    ledger.settle("lives", tokens(40))
    assert (scene.balance("run").settled, scene.balance("run").breaches) == (tokens(70), ())


def test_agents_budgets_and_the_run_around_go_on_with_the_run(scene, ledger):
    outer, run = ledger.open("outer", Limits(tokens=100)), ledger.open("run", Limits(tokens=90))
    scene.lose()
    agent = ledger.open("agent", Limits(tokens=50))
    assert refused(ledger.reserve(asking("a", (run, outer, agent), tokens(51)))).account is agent
    granted(ledger.reserve(asking("b", (run, outer, agent), tokens(50))))
    ledger.settle("b", tokens(45))
    ledger.close(agent)
    scene.bring_back()
    assert [scene.balance(scope).settled for scope in ("outer", "run")] == [tokens(45)] * 2
    assert dict(scene.store.books.balances("agent")) == {}


def test_charges_limits_and_halts_are_told_to_the_store_on_return_and_once(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    scene.store.fail(AFTER)
    for _ in range(2):
        ledger.charge((run,), tokens(10), "answer lost")
    scene.store.fail()
    for _ in range(2):
        ledger.charge((run,), tokens(5), "never arrived")
    ledger.set_limits(run, Limits(tokens=200))
    ledger.halt(run)
    assert refused(ledger.reserve(asking("a", run, tokens(1)))).halted
    granted(ledger.reserve(asking("b", run, tokens(150), passes_halt=True)))
    scene.bring_back()
    balance = scene.balance("run")
    assert (balance.settled, balance.held) == (tokens(15), tokens(150))
    assert (balance.limits, balance.halted) == (Limits(tokens=200), True)


def test_an_account_that_was_closed_meanwhile_is_paid_and_closed_in_the_store(scene, ledger):
    group, run = ledger.open("group", Limits()), ledger.open("run", Limits())
    granted(ledger.reserve(asking("a", (run, group), tokens(50))))
    scene.lose()
    granted(ledger.reserve(asking("b", (run, group), tokens(50))))
    ledger.settle("a", tokens(10))
    ledger.close(run)
    ledger.settle("b", tokens(20))
    with pytest.raises(ValueError, match="closed"):
        ledger.reserve(asking("c", run, tokens(1)))
    with pytest.raises(ValueError, match="closed"):
        ledger.read(run)
    scene.bring_back()
    assert dict(scene.store.books.balances("run")) == {}
    assert (scene.balance("group").settled, scene.balance("group").held) == (tokens(30), ZERO)


def test_runs_that_come_and_go_without_the_store_leave_nothing_in_memory(scene, ledger):
    outer = ledger.open("outer", Limits())
    scene.lose()
    for number in range(500):
        run = ledger.open(f"run {number}", Limits(tokens=10))
        granted(ledger.reserve(asking(f"{number}", (run, outer), tokens(1))))
        ledger.settle(f"{number}", tokens(1))
        ledger.close(run)
        assert len(ledger.journal) <= 2
    scene.store.calls.clear()
    scene.bring_back()
    assert scene.balance("outer").settled == tokens(500)
    assert len(scene.store.calls) < 10


def test_ends_of_holds_that_others_took_are_kept_up_to_a_bound_and_told(scene, ledger, monkeypatch):
    monkeypatch.setattr("mas_guard.ledger.standby.journal.MOST_STRANGERS", 3)
    other = scene.another()
    run = other.open("run", Limits())
    for number in range(5):
        granted(other.reserve(asking(f"{number}", run, tokens(10))))
    ledger.sweep()
    scene.lose()
    for number in range(5):
        ledger.settle(f"{number}", tokens(1))
    scene.bring_back()
    assert (scene.balance("run").settled, scene.balance("run").held) == (tokens(3), tokens(20))
    assert dict(scene.told)["reconciled"]["figures"]["dropped"] == 2


def test_a_crashed_call_that_an_operator_has_put_right_is_right_here_as_well(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60))))
    assert ledger.dispatch("a", 5.0)
    scene.clock.now += 6
    scene.another().release("a")
    scene.store.books.sweep()
    scene.another().release("a")
    assert not ledger.settle("a", tokens(50)).known
    scene.lose()
    granted(ledger.reserve(asking("b", run, tokens(100))))


# What is shared


def test_what_is_shared_is_refused_resumable_and_the_store_is_named(scene, ledger):
    window = ledger.open_shared("window", Limits(tokens=100))
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("held", (run, window), tokens(10))))
    scene.lose()
    scene.clock.now += 0.05
    acts = (
        lambda: ledger.reserve(asking("a", (run, window), tokens(1))),
        lambda: ledger.reserve_fitting(asking("a", (run, window), tokens(1))),
        lambda: ledger.wait(asking("a", (run, window), tokens(1)), lambda: None),
        lambda: ledger.read(window),
        lambda: ledger.spent(window),
        lambda: ledger.set_limits(window, Limits()),
        lambda: ledger.dispatch("held", 10.0),
        lambda: ledger.open_shared("group", Limits()),
        lambda: ledger.open("joined", Limits(), keep_limits=True),
        lambda: ledger.open("joined", Limits(), origin="elsewhere"),
        lambda: ledger.balances(),
        lambda: ledger.crashed_holds(),
    )
    for act in acts:
        with pytest.raises(StoreUnavailable, match="redis://books has not answered for") as caught:
            act()
        assert caught.value.store == "redis://books"
        assert isinstance(caught.value.__cause__, Unreachable)
        assert "nothing is latched" in str(caught.value)
    scene.bring_back()
    assert scene.balance("window").held == ZERO  # the call that could not be dispatched has given its hold back
    granted(ledger.reserve(asking("b", (run, window), tokens(90))))


def test_what_a_shared_call_has_used_is_taken_and_told_on_return(scene, ledger):
    window = ledger.open_shared("window", Limits(tokens=100))
    for hold_id in ("settled", "released"):
        granted(ledger.reserve(asking(hold_id, window, tokens(50))))
        assert ledger.dispatch(hold_id, 60.0)
    scene.lose()
    assert ledger.settle("settled", tokens(70)).breach
    ledger.release("released")
    ledger.charge((window,), tokens(5), "late")
    scene.bring_back()
    assert (scene.balance("window").settled, scene.balance("window").held) == (tokens(75), ZERO)


def test_a_stop_of_a_shared_run_reaches_the_others_once_the_store_is_back(scene, ledger):
    run = ledger.open("run", Limits())
    ledger.share(run)
    scene.lose()
    with pytest.raises(StoreUnavailable):
        ledger.halt(run)
    scene.bring_back()
    assert scene.balance("run").halted


def test_sharing_needs_the_store_and_once_shared_an_account_does_as_well(scene, ledger):
    scene.store.fail()
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60))))
    ledger.settle("a", tokens(60))
    with pytest.raises(StoreUnavailable, match="cannot be shared"):
        ledger.share(run)
    with pytest.raises(StoreUnavailable, match="not in it yet"):
        ledger.origin(run)
    granted(ledger.reserve(asking("b", run, tokens(10))))
    scene.store.mend()
    scene.clock.now += 6
    ledger.share(run)
    assert (scene.balance("run").settled, scene.balance("run").held) == (tokens(60), tokens(10))
    assert ledger.origin(run)
    scene.lose()
    with pytest.raises(StoreUnavailable, match="'run' is shared"):
        ledger.reserve(asking("c", run, tokens(1)))


def test_an_account_that_others_have_spent_on_does_not_count_as_this_process_own(scene, ledger):
    there = scene.another()
    theirs = there.open("run", Limits(tokens=100))
    there.charge((theirs,), tokens(10), "before")
    resumed = ledger.open("run", Limits(tokens=100))
    scene.lose()
    with pytest.raises(StoreUnavailable):
        ledger.reserve(asking("a", resumed, tokens(1)))
    granted(there.reserve(asking("b", theirs, tokens(90))))


@pytest.mark.parametrize("look", ["read", "open again"])
def test_an_account_on_which_another_process_spends_is_found_to_be_shared(scene, ledger, look):
    run = ledger.open("run", Limits(tokens=100))
    there = scene.another()
    theirs = there.open("run", Limits(tokens=100))
    granted(there.reserve(asking("theirs", theirs, tokens(10))))
    there.settle("theirs", tokens(10))
    ledger.read(run) if look == "read" else ledger.open("run", Limits(tokens=100))
    scene.lose()
    with pytest.raises(StoreUnavailable):
        ledger.reserve(asking("a", run, tokens(1)))


@pytest.mark.parametrize(("known_here", "true"), [(60, 70), (40, 70), (75, 85)])
def test_what_a_resumed_run_knows_of_its_past_is_not_booked_twice(scene, ledger, known_here, true):
    there = scene.another()
    there.charge((there.open("run", Limits(tokens=100)),), tokens(60), "before")
    scene.store.fail()
    run = ledger.open("run", Limits(tokens=100))
    ledger.charge((run,), tokens(known_here), "restored")
    refused(ledger.reserve(asking("too much", run, tokens(101 - known_here))))
    granted(ledger.reserve(asking("a", run, tokens(10))))
    ledger.settle("a", tokens(7))
    ledger.charge((run,), tokens(3), "late")
    scene.bring_back()
    assert scene.balance("run").settled == tokens(true)
    scene.lose()
    with pytest.raises(StoreUnavailable):
        ledger.read(run)


def test_with_closed_everything_is_refused_and_a_run_may_begin_all_the_same():
    scene = Scene(on_error="closed")
    scene.store.fail()
    run = scene.ledger.open("run", Limits(tokens=100))
    with pytest.raises(StoreUnavailable, match="ON_STORE_ERROR=closed"):
        scene.ledger.reserve(asking("a", run, tokens(1)))
    scene.bring_back()
    granted(scene.ledger.reserve(asking("a", run, tokens(1))))


def test_a_store_that_has_lost_its_books_refuses_and_says_so(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    origin = ledger.origin(run)
    other = scene.another()
    scene.store.books.close(scene.store.books.open("run", Limits()))
    with pytest.raises(StoreUnavailable, match=r"books are lost in the store redis://books.*'run'") as caught:
        other.open("run", Limits(tokens=100), keep_limits=True, origin=origin)
    assert isinstance(caught.value.__cause__, AccountLost)
    assert not other.lost


# At start


def test_a_process_starts_without_its_store_and_says_it_once(caplog):
    scene = Scene()
    scene.store.fail()
    with caplog.at_level(logging.WARNING):
        run = scene.ledger.open("run", Limits(tokens=100))
        granted(scene.ledger.reserve(asking("a", run, tokens(60))))
        refused(scene.ledger.reserve(asking("b", run, tokens(60))))
        scene.ledger.settle("a", tokens(50))
        scene.ledger.charge((run,), tokens(5), "more")
    assert [record.message.split(" (")[0] for record in caplog.records] == ["The store redis://books does not answer"]
    assert [event for event, _ in scene.told] == ["store_lost"]
    scene.bring_back()
    assert scene.balance("run").settled == tokens(55)
    (_, back), (_, told) = scene.told[1:]
    assert (back["store"], back["seconds"], back["figures"]) == ("redis://books", 6.0, {"refused": 0})
    assert told["figures"] == {
        "ended": 0,
        "live": 0,
        "accounts": 1,
        "charged": {"tokens": 55, "model_calls": 0, "tool_calls": 0, "nano_usd": 0},
        "dropped": 0,
    }


def test_a_store_that_cannot_be_opened_is_a_lost_one_and_a_wrong_setting_is_an_error():
    broken = [OSError("read-only folder")]

    def make():
        if broken:
            raise broken[0]
        return scene.store

    scene = Scene()
    ledger = StandbyLedger(make, place="sqlite:///ledger.db", now=scene.clock, jitter=lambda: 1.0)
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(60))))
    assert ledger.lost
    broken.clear()
    scene.clock.now += 6
    ledger.settle("a", tokens(60))
    assert scene.balance("run").settled == tokens(60)
    broken.append(ConfigError("no such folder"))
    with pytest.raises(ConfigError):
        StandbyLedger(make, place="sqlite:///ledger.db").open("run", Limits())


def test_a_listener_that_fails_changes_nothing(scene):
    def tell(event, fields):
        raise RuntimeError(event)

    ledger = StandbyLedger(lambda: scene.store, place="", tell=tell, now=scene.clock, jitter=lambda: 1.0)
    scene.store.fail()
    run = ledger.open("run", Limits(tokens=10))
    granted(ledger.reserve(asking("a", run, tokens(10))))


# Those who wait


def test_who_waits_on_a_local_run_goes_on_waiting_in_order_without_the_store_and_with_it_again(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    for hold_id in ("a", "b"):
        granted(ledger.reserve(asking(hold_id, run, tokens(50))))
    first, second, third = (InQueue(ledger, asking(name, run, tokens(50))) for name in ("1", "2", "3"))
    scene.lose()
    assert all(queued.waits for queued in (first, second, third))
    assert refused(ledger.reserve(asking("late", run, tokens(50)))).ahead == 3
    ledger.settle("a", ZERO)
    granted(first.granted)
    assert second.waits
    scene.bring_back()
    assert second.waits
    assert third.waits
    assert (scene.balance("run").held, scene.balance("run").settled) == (tokens(100), ZERO)
    ledger.settle("b", ZERO)
    granted(second.granted)
    assert third.waits
    ledger.cancel(third.ticket)
    ledger.settle("1", tokens(50))
    ledger.settle("2", tokens(10))
    assert third.waits
    assert (scene.balance("run").held, scene.balance("run").settled) == (ZERO, tokens(60))


def test_a_grant_of_a_wait_is_taken_back_where_it_was_not_sent(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    for granted_while_lost in (False, True):
        for left_while_lost in (False, True):
            case = f"{granted_while_lost} {left_while_lost}"
            granted(ledger.reserve(asking(f"a {case}", run, tokens(100))))
            queued = InQueue(ledger, asking(f"b {case}", run, tokens(100)))
            if granted_while_lost:
                scene.lose()
            ledger.release(f"a {case}")
            granted(queued.granted)
            if left_while_lost and not ledger.lost:
                scene.lose()
            elif not left_while_lost and ledger.lost:
                scene.bring_back()
            ledger.cancel(queued.ticket)
            assert queued.ticket.result is None
            if ledger.lost:
                scene.bring_back()
            assert (scene.balance("run").held, scene.balance("run").settled) == (ZERO, ZERO)


def test_who_waits_for_what_is_shared_is_woken_without_a_result(scene, ledger):
    window = ledger.open_shared("window", Limits(tokens=100))
    granted(ledger.reserve(asking("a", window, tokens(100))))
    wakes = []
    ticket = ledger.wait(asking("b", window, tokens(50)), lambda: wakes.append(1))
    scene.lose()
    assert (wakes, ticket.result) == ([1], None)
    ledger.cancel(ticket)
    ledger.release("a")
    scene.bring_back()
    assert scene.balance("window").held == ZERO


@pytest.mark.parametrize("how", ["thread", "task"])
def test_a_wait_ends_where_its_store_is_lost(scene, ledger, how):
    window = ledger.open_shared("window", Limits(tokens=100))
    granted(ledger.reserve(asking("a", window, tokens(100))))
    waiting = Wait(ledger, asking("b", window, tokens(50)), None)
    swept = ledger.sweep

    def lose_soon():
        if not ledger.lost and ledger._tickets:
            scene.store.fail()
        return swept()

    ledger.sweep = lose_soon
    assert wait(waiting) is None if how == "thread" else asyncio.run(wait_async(waiting)) is None
    assert ledger.lost


def test_those_who_wait_bring_the_store_back_by_themselves(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(ledger.reserve(asking("a", run, tokens(100))))
    queued = InQueue(ledger, asking("b", run, tokens(50)))
    scene.lose()
    assert ledger.sweep() == pytest.approx(0.1)
    scene.store.mend()
    scene.clock.now += ledger.sweep()
    ledger.sweep()
    assert not ledger.lost
    assert queued.waits


# Tasks


async def test_the_life_of_a_hold_may_be_awaited_with_the_store_and_without(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    granted(await ledger.reserve_async(asking("a", run, tokens(60))))
    scene.lose()
    assert await ledger.dispatch_async("a", 60.0)
    refused(await ledger.reserve_async(asking("b", run, tokens(41))))
    assert (await ledger.settle_async("a", tokens(10))).known
    scene.store.mend()
    scene.clock.now += 6
    granted(await ledger.reserve_async(asking("c", run, tokens(90))))
    assert not ledger.lost
    assert (scene.balance("run").settled, scene.balance("run").held) == (tokens(10), tokens(90))


async def test_a_lost_store_is_tried_in_a_thread_and_never_on_the_event_loop(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    scene.lose()
    scene.clock.now += 6
    threads = []

    def fail(call: str) -> str:
        threads.append(threading.current_thread())
        return BEFORE

    scene.store.fate = fail
    granted(await ledger.reserve_async(asking("a", run, tokens(60))))
    assert threads
    assert threading.current_thread() not in threads


# Many at once


class Threads:
    """Threads that call on one run, and what they have held at the most and spent."""

    def __init__(self, ledger: StandbyLedger) -> None:
        self.ledger = ledger
        self.accounts = ledger.open("run", Limits(tokens=300)), ledger.open("outer", Limits())
        self.held = self.most = self.spent = 0
        self._lock = threading.Lock()

    def call(self, worker: int) -> None:
        for number in range(150):
            ask = asking(f"{worker}/{number}", self.accounts, tokens(100).plus(calls(1)))
            found = self.ledger.reserve(ask)
            if not isinstance(found, Grant) and found.can_wait:
                found = wait(Wait(self.ledger, ask, 5.0))
            if not isinstance(found, Grant) or found.spent:
                continue
            self._count(100, 0)
            sent = number % 5 and self.ledger.dispatch(ask.hold_id, 600.0)
            self._count(-100, int(bool(sent)))
            if sent:
                assert self.ledger.settle(ask.hold_id, calls(1)).known
            else:
                self.ledger.release(ask.hold_id)

    def _count(self, held: int, spent: int) -> None:
        with self._lock:
            self.held += held
            self.most = max(self.most, self.held)
            self.spent += spent


@pytest.mark.xfail(
    strict=False,
    reason="one of about ten runs fails: where every fifth operation fails and no back-off holds the threads apart, the "
    "hand-over between store and process has a race left (docs/explanation/limits.md)",
)
def test_threads_never_pass_the_limit_while_the_store_comes_and_goes_and_the_books_are_true():
    scene = Scene(jitter=lambda: 0.0)
    threads = Threads(scene.ledger)
    dice = random.Random(1)
    scene.store.fate = lambda call: WELL if dice.random() < 0.8 else dice.choice((BEFORE, AFTER))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(threads.call, worker) for worker in range(6)]:
                done.result()
    finally:
        sys.setswitchinterval(before)
    scene.store.mend()
    while scene.ledger.lost:
        scene.ledger.sweep()
    assert threads.most <= 300
    assert threads.spent > 300
    for scope in ("run", "outer"):
        assert (scene.balance(scope).held, scene.balance(scope).settled) == (ZERO, calls(threads.spent))


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_process_refuses_without_the_store_and_tells_nothing_that_is_its_parents(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    scene.lose()
    granted(ledger.reserve(asking("a", run, tokens(60))))
    ledger.settle("a", tokens(60))
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(StoreUnavailable):
                ledger.reserve(asking("b", run, tokens(1)))
            scene.bring_back()
            assert scene.balance("run").settled == ZERO
            granted(ledger.reserve(asking("b", run, tokens(1))))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    granted(ledger.reserve(asking("c", run, tokens(1))))
    scene.bring_back()
    assert scene.balance("run").settled == tokens(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_what_could_not_be_shared_before_a_fork_needs_the_store_on_both_sides(scene, ledger):
    run = ledger.open("run", Limits(tokens=100))
    scene.lose()
    with pytest.raises(StoreUnavailable):
        ledger.share(run)
    granted(ledger.reserve(asking("a", run, tokens(1))))
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(StoreUnavailable):
        ledger.reserve(asking("b", run, tokens(1)))
