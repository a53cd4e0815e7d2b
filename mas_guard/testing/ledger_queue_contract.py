"""What every ledger's queue must do: who may wait, who comes first, and that no wait hangs."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import pytest

from mas_guard.ledger import Ledger
from mas_guard.testing.ledger_steps import (
    Clock,
    InQueue,
    LedgerFixtures,
    asking,
    calls,
    granted,
    refused,
    tokens,
    tool_calls,
)
from mas_guard.types import ZERO, Amounts, Limits


class LedgerQueueContract(LedgerFixtures):
    """Waiting. Run as a part of `LedgerContract`."""

    # Who may wait

    def test_tokens_of_a_live_hold_may_be_waited_for_sent_or_not(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(100)))
        assert refused(ledger.reserve(asking("b", run, tokens(1)))).can_wait
        ledger.dispatch("a", 10.0)
        assert refused(ledger.reserve(asking("b", run, tokens(1)))).can_wait
        ledger.settle("a", tokens(100))
        assert not refused(ledger.reserve(asking("b", run, tokens(1)))).can_wait

    @pytest.mark.parametrize("amounts", [calls(1), tool_calls(1)])
    def test_nobody_waits_for_a_call_that_was_sent(self, ledger: Ledger, amounts: Amounts) -> None:
        run = ledger.open("run", Limits(model_calls=1, tool_calls=1))
        ledger.reserve(asking("a", run, amounts))
        assert refused(ledger.reserve(asking("b", run, amounts))).can_wait
        ledger.dispatch("a", 10.0)
        assert not refused(ledger.reserve(asking("b", run, amounts))).can_wait

    def test_nobody_waits_for_more_than_can_come_back(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.charge((run,), tokens(40), "spent")
        ledger.reserve(asking("a", run, tokens(60)))
        assert refused(ledger.reserve(asking("b", run, tokens(60)))).can_wait
        assert not refused(ledger.reserve(asking("c", run, tokens(61)))).can_wait

    def test_nobody_waits_for_the_hold_of_a_call_around_it(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("outer", run, tokens(60)))
        ledger.reserve(asking("other", run, tokens(40)))
        inside = frozenset({"outer"})
        assert refused(ledger.reserve(asking("b", run, tokens(40), inside=inside))).can_wait
        assert not refused(ledger.reserve(asking("c", run, tokens(41), inside=inside))).can_wait

    def test_an_elastic_ask_may_wait_where_its_least_output_may_come(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.charge((run,), tokens(50), "spent")
        ledger.reserve(asking("a", run, tokens(30)))
        elastic = {"per_output": tokens(1), "output": 200}
        assert refused(ledger.reserve(asking("b", run, ZERO, least_output=50, **elastic))).can_wait
        assert not refused(ledger.reserve(asking("c", run, ZERO, least_output=51, **elastic))).can_wait

    # What a wait answers

    def test_a_wait_that_fits_is_granted_at_once(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        assert InQueue(ledger, asking("a", run, tokens(100))).granted.amounts == tokens(100)

    @pytest.mark.parametrize("end", ["settle", "release", "lapse", "crash", "top up", "reopen"])
    def test_a_wait_is_granted_when_what_it_needs_comes_back(self, ledger: Ledger, clock: Clock, end: str) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.charge((run,), tokens(20), "spent")
        ledger.reserve(asking("a", run, tokens(80)))
        queued = InQueue(ledger, asking("b", run, tokens(50)))
        assert queued.waits
        if end == "settle":
            ledger.settle("a", tokens(30))
        elif end == "release":
            ledger.release("a")
        elif end == "lapse":
            clock.now += 61
            ledger.sweep()
        elif end == "crash":
            ledger.dispatch("a", 600.0)
            clock.now += 601
            assert refused(InQueue(ledger, asking("c", run, tokens(1))).ticket.result)
            assert not queued.refused.can_wait
            return
        elif end == "top up":
            ledger.set_limits(run, Limits(tokens=150))
        else:
            ledger.open("run", Limits(tokens=150))
        assert queued.granted.amounts == tokens(50)

    def test_a_wait_takes_the_full_output_as_soon_as_it_fits(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(30)))
        ledger.reserve(asking("b", run, tokens(30)))
        elastic = {"per_output": tokens(1), "output": 60, "least_output": 1}
        queued = InQueue(ledger, asking("c", run, tokens(10), **elastic))
        assert queued.waits
        ledger.settle("a", ZERO)
        assert queued.granted.output == 60

    def test_a_wait_takes_the_largest_output_once_the_full_one_cannot_come(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(30)))
        ledger.reserve(asking("b", run, tokens(30)))
        elastic = {"per_output": tokens(2), "output": 45, "least_output": 5}
        queued = InQueue(ledger, asking("c", run, tokens(10), **elastic))
        ledger.settle("a", tokens(29))
        assert queued.waits
        ledger.settle("b", tokens(30))
        assert queued.granted.output == 15

    def test_a_wait_without_hope_is_refused_at_once(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        refusal = InQueue(ledger, asking("a", run, tokens(101))).refused
        assert not refusal.can_wait
        assert (refusal.limit, refusal.asked) == (100, 101)

    def test_a_wait_that_loses_its_hope_is_refused(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        queued = InQueue(ledger, asking("b", run, tokens(50)))
        ledger.settle("a", tokens(60))
        assert not queued.refused.can_wait
        assert ledger.read(run).held == ZERO

    def test_one_who_waits_for_a_call_is_refused_when_that_is_sent(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(model_calls=1))
        ledger.reserve(asking("a", run, calls(1)))
        queued = InQueue(ledger, asking("b", run, calls(1)))
        assert queued.waits
        ledger.dispatch("a", 10.0)
        assert not queued.refused.can_wait

    def test_a_wait_ends_with_the_lease_of_a_crashed_call(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        ledger.dispatch("a", 600.0)
        elastic = {"per_output": tokens(1), "output": 60, "least_output": 1}
        queued = InQueue(ledger, asking("b", run, ZERO, **elastic))
        assert queued.waits
        end = clock.now + 600
        while clock.now < end:
            assert queued.waits
            clock.now += ledger.sweep() or 0.0
        ledger.sweep()
        assert clock.now == end
        assert queued.granted.output == 20

    def test_the_lease_of_one_who_waited_begins_with_the_grant(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(100)))
        ledger.dispatch("a", 600.0)
        queued = InQueue(ledger, asking("b", run, tokens(100), lease=60.0))
        clock.now += 500
        ledger.settle("a", ZERO)
        assert queued.granted
        clock.now += 59
        assert ledger.dispatch("b", 10.0)

    # Who comes first

    def test_those_who_wait_are_served_in_order_of_arrival(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(100)))
        queue = [InQueue(ledger, asking(f"waits {n}", run, tokens(60))) for n in range(3)]
        ledger.settle("a", ZERO)
        assert [queued.waits for queued in queue] == [False, True, True]
        ledger.settle("waits 0", ZERO)
        assert [queued.waits for queued in queue] == [False, False, True]

    def test_a_small_ask_does_not_overtake_a_large_one(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(60)))
        large = InQueue(ledger, asking("large", run, tokens(100)))
        small = InQueue(ledger, asking("small", run, tokens(10)))
        assert large.waits
        assert small.waits
        refusal = refused(ledger.reserve(asking("plain", run, tokens(10))))
        assert (refusal.can_wait, refusal.ahead, refusal.account) == (True, 2, run)
        ledger.settle("a", ZERO)
        assert large.granted
        assert small.waits
        ledger.settle("large", ZERO)
        assert small.granted
        granted(ledger.reserve(asking("plain", run, tokens(10))))

    def test_who_is_behind_the_queue_and_has_no_hope_is_told_so(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(60)))
        InQueue(ledger, asking("large", run, tokens(100)))
        assert not refused(ledger.reserve(asking("plain", run, tokens(101)))).can_wait

    def test_a_wait_keeps_nobody_back_who_asks_for_other_units(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100, tool_calls=5))
        ledger.reserve(asking("a", run, tokens(100)))
        assert InQueue(ledger, asking("b", run, tokens(10))).waits
        granted(ledger.reserve(asking("tool", run, tool_calls(1))))

    def test_a_wait_for_ones_own_budget_keeps_no_other_run_of_the_group_back(self, ledger: Ledger) -> None:
        group = ledger.open("group", Limits(tokens=1_000))
        one, two = (ledger.open(name, Limits(tokens=100)) for name in ("one", "two"))
        ledger.reserve(asking("a", (one, group), tokens(100)))
        assert InQueue(ledger, asking("b", (one, group), tokens(100))).waits
        assert InQueue(ledger, asking("c", (two, group), tokens(100))).granted

    def test_a_wait_for_the_group_comes_before_later_runs(self, ledger: Ledger) -> None:
        group = ledger.open("group", Limits(tokens=100))
        one, two = (ledger.open(name, Limits(tokens=100)) for name in ("one", "two"))
        ledger.reserve(asking("a", (one, group), tokens(60)))
        first = InQueue(ledger, asking("b", (one, group), tokens(100)))
        second = InQueue(ledger, asking("c", (two, group), tokens(10)))
        assert second.waits
        ledger.settle("a", ZERO)
        assert first.granted
        assert second.waits
        ledger.settle("b", tokens(80))
        assert second.granted

    def test_an_ask_that_finds_a_second_level_short_keeps_its_place_there(self, ledger: Ledger) -> None:
        group = ledger.open("group", Limits(tokens=100))
        one, two = (ledger.open(name, Limits(tokens=100)) for name in ("one", "two"))
        ledger.reserve(asking("a", (one,), tokens(100)))
        first = InQueue(ledger, asking("b", (one, group), tokens(100)))
        ledger.reserve(asking("c", (two, group), tokens(50)))
        ledger.settle("a", ZERO)
        second = InQueue(ledger, asking("d", (two, group), tokens(50)))
        assert first.waits
        assert second.waits
        ledger.settle("c", ZERO)
        assert first.granted
        assert second.waits

    def test_a_nested_call_passes_those_who_wait_for_the_call_around_it(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("outer", run, tokens(60)))
        queued = InQueue(ledger, asking("b", run, tokens(100)))
        inside = frozenset({"outer"})
        granted(ledger.reserve(asking("nested", run, tokens(30), inside=inside)))
        later = InQueue(ledger, asking("later", run, tokens(40), inside=inside))
        assert later.waits
        ledger.settle("nested", ZERO)
        assert later.granted
        assert queued.waits

    def test_who_takes_what_fits_passes_those_who_wait(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(60)))
        assert InQueue(ledger, asking("b", run, tokens(100))).waits
        elastic = {"per_output": tokens(1), "output": 50, "least_output": 1}
        assert granted(ledger.reserve_fitting(asking("c", run, ZERO, **elastic))).output == 40

    def test_two_nested_calls_do_not_wait_for_each_other_for_ever(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        for outer in ("one", "two"):
            ledger.reserve(asking(outer, run, tokens(50)))
        first = InQueue(ledger, asking("in one", run, tokens(10), inside=frozenset({"one"})))
        assert first.waits
        second = InQueue(ledger, asking("in two", run, tokens(10), inside=frozenset({"two"})))
        assert not second.refused.can_wait
        ledger.settle("two", tokens(40))
        assert first.granted

    # Leaving

    def test_one_who_leaves_makes_way_and_is_not_woken(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(60)))
        large = InQueue(ledger, asking("large", run, tokens(100)))
        small = InQueue(ledger, asking("small", run, tokens(10)))
        ledger.cancel(large.ticket)
        ledger.cancel(large.ticket)
        assert small.granted
        ledger.settle("a", ZERO)
        ledger.settle("small", ZERO)
        assert large.waits
        assert ledger.read(run).held == ZERO

    def test_a_grant_that_nobody_takes_any_more_comes_back(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        queued = InQueue(ledger, asking("a", run, Amounts(100, 1)))
        assert queued.granted
        ledger.cancel(queued.ticket)
        assert queued.ticket.result is None
        assert ledger.read(run).held == ZERO

    def test_a_call_that_is_sent_is_not_taken_back_by_leaving_the_queue(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        queued = InQueue(ledger, asking("a", run, Amounts(100, 1)))
        assert ledger.dispatch("a", 10.0)
        ledger.cancel(queued.ticket)
        assert queued.granted
        assert ledger.read(run).held == Amounts(100, 1)

    def test_those_who_wait_on_a_closed_account_are_refused(self, ledger: Ledger) -> None:
        group = ledger.open("group", Limits(tokens=100))
        one, two = (ledger.open(name, Limits()) for name in ("one", "two"))
        ledger.reserve(asking("a", (one, group), tokens(60)))
        first = InQueue(ledger, asking("b", (one, group), tokens(100)))
        second = InQueue(ledger, asking("c", (two, group), tokens(40)))
        ledger.close(one)
        assert not first.refused.can_wait
        assert second.granted

    def test_a_wake_that_raises_harms_nobody_else(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(100)))

        def raises() -> None:
            raise RuntimeError("the event loop is closed")

        ticket = ledger.wait(asking("b", run, tokens(50)), raises)
        queued = InQueue(ledger, asking("c", run, tokens(50)))
        ledger.settle("a", ZERO)
        assert granted(ticket.result)
        assert queued.granted
