"""What every ledger must do about an account that is halted."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable

import pytest

from mas_guard.ledger import Account, Grant, Ledger, Refusal
from mas_guard.testing.ledger_steps import Clock, InQueue, LedgerFixtures, asking, calls, granted, refused, tokens
from mas_guard.types import ZERO, Amounts, Limits


class LedgerHaltContract(LedgerFixtures):
    """Halting. Run as a part of `LedgerContract`."""

    @pytest.mark.parametrize("way", ["reserve", "take what fits", "wait"])
    def test_a_halted_account_refuses_whatever_is_left_there_and_says_so(self, ledger: Ledger, way: str) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("before", run, tokens(30))))
        ledger.charge((run,), tokens(20), "spent")
        ledger.halt(run)
        refusal = refused(_ask(ledger, way, run))
        assert (refusal.halted, refusal.can_wait, refusal.account.scope) == (True, False, "run")
        assert (refusal.unit, refusal.limit, refusal.settled) == ("tokens", 100, 20)
        assert (refusal.held, refusal.asked) == (30, 10)
        balance = ledger.read(run)
        assert (balance.halted, balance.held, balance.limits) == (True, tokens(30), Limits(tokens=100))

    def test_any_level_that_is_halted_refuses_and_nothing_is_held_on_the_others(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits())
        ledger.halt(group)
        refusal = refused(ledger.reserve(asking("a", (run, group), tokens(60))))
        assert (refusal.account, refusal.halted) == (group, True)
        assert (refusal.limit, refusal.settled, refusal.held) == (0, 0, 0)  # nothing more is given out
        assert ledger.read(run).held == ledger.read(group).held == ZERO
        granted(ledger.reserve(asking("b", run, tokens(100))))

    def test_a_halt_is_told_before_a_shortage_that_could_be_waited_for(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits())
        granted(ledger.reserve(asking("a", (run, group), tokens(100))))
        ledger.halt(group)
        refusal = refused(ledger.reserve(asking("b", (run, group), tokens(50))))
        assert (refusal.halted, refusal.can_wait) == (True, False)

    @pytest.mark.parametrize("way", ["reserve", "take what fits", "wait"])
    def test_the_concluding_call_passes_a_halt_and_no_limit(self, ledger: Ledger, way: str) -> None:
        run = ledger.open("run", Limits(tokens=20))
        ledger.halt(run)
        granted(_ask(ledger, way, run, passes_halt=True))
        refusal = refused(ledger.reserve(asking("more", run, tokens(11), passes_halt=True)))
        assert not refusal.halted

    def test_what_is_live_goes_on_to_its_end(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        for hold_id in ("sent", "unsent", "released", "crashed"):
            granted(ledger.reserve(asking(hold_id, run, tokens(10))))
        assert ledger.dispatch("crashed", 5.0)
        ledger.halt(run)
        assert ledger.dispatch("sent", 60.0)
        assert not ledger.settle("sent", tokens(7)).breach
        ledger.release("released")
        ledger.charge((run,), tokens(1), "late")
        clock.now += 6
        balance = ledger.read(run)
        assert (balance.settled, balance.crashed, balance.held) == (tokens(18), tokens(10), tokens(10))
        assert ledger.settle("crashed", tokens(2)).late
        assert ledger.dispatch("unsent", 60.0)
        ledger.settle("unsent", tokens(3))
        balance = ledger.read(run)
        assert (balance.settled, balance.held, balance.halted) == (tokens(13), ZERO, True)

    def test_an_id_that_is_known_is_answered_as_ever(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        for hold_id in ("live", "ended"):
            granted(ledger.reserve(asking(hold_id, run, tokens(10))))
        ledger.settle("ended", tokens(10))
        ledger.halt(run)
        for way in ("reserve", "take what fits", "wait"):
            live, ended = (granted(_ask(ledger, way, run, hold_id)) for hold_id in ("live", "ended"))
            assert (live.spent, live.amounts) == (False, tokens(10))
            assert (ended.spent, ended.amounts) == (True, ZERO)

    def test_those_who_wait_are_refused_when_their_account_is_halted(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits(tokens=100))
        granted(ledger.reserve(asking("a", (run, group), tokens(100))))
        first = InQueue(ledger, asking("first", (run, group), tokens(60)))
        second = InQueue(ledger, asking("second", (run, group), tokens(30)))
        nested = InQueue(ledger, asking("nested", (run, group), tokens(30), inside=frozenset({"elsewhere"})))
        other = InQueue(ledger, asking("other", group, tokens(90)))
        ledger.halt(run)
        for queued in (first, second, nested):
            assert (queued.refused.halted, queued.refused.can_wait) == (True, False)
        assert other.waits
        ledger.settle("a", ZERO)
        granted(other.granted)

    def test_who_waits_for_one_level_is_refused_when_another_of_its_levels_is_halted(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits())
        granted(ledger.reserve(asking("a", run, tokens(100))))
        first = InQueue(ledger, asking("first", run, tokens(60)))
        behind = InQueue(ledger, asking("behind", (run, group), tokens(60)))
        elsewhere.halt(elsewhere.open("group", Limits()))
        until_answered(ledger, behind)
        assert behind.refused.halted
        assert first.waits
        ledger.halt(run)
        assert first.refused.halted

    def test_the_concluding_call_waits_in_a_halted_account_and_keeps_no_refusal_back(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(100))))
        concluding = InQueue(ledger, asking("concluding", run, tokens(60), passes_halt=True))
        behind = InQueue(ledger, asking("behind", run, tokens(30)))
        ledger.halt(run)
        assert concluding.waits
        assert behind.refused.halted
        assert InQueue(ledger, asking("late", run, tokens(10))).refused.halted
        ledger.settle("a", tokens(10))
        granted(concluding.granted)

    def test_new_limits_and_opening_again_do_not_lift_a_halt(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.halt(run)
        ledger.set_limits(run, Limits(tokens=1_000))
        assert refused(ledger.reserve(asking("a", run, tokens(10)))).halted
        run = ledger.open("run", Limits())
        assert refused(ledger.reserve(asking("a", run, tokens(10)))).halted

    def test_a_halt_that_is_lifted_leaves_the_account_as_it_was(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.halt(run)
        ledger.halt(run)
        ledger.halt(run, False)
        ledger.halt(run, False)
        granted(ledger.reserve(asking("a", run, tokens(100))))
        assert not ledger.read(run).halted
        queued = InQueue(ledger, asking("b", run, tokens(100)))
        ledger.settle("a", ZERO)
        granted(queued.granted)

    def test_a_halted_account_may_be_closed_and_is_new_afterwards(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.halt(run)
        ledger.close(run)
        for halted in (True, False):
            with pytest.raises(ValueError, match="closed"):
                ledger.halt(run, halted)
        again = ledger.open("run", Limits(tokens=100))
        assert not ledger.read(again).halted
        granted(ledger.reserve(asking("a", again, tokens(100))))

    def test_a_halt_refuses_the_next_reserve_of_every_other_process(self, ledger: Ledger, elsewhere: Ledger) -> None:
        mine, theirs = ledger.open("run", Limits(model_calls=9)), elsewhere.open("run", Limits(model_calls=9))
        granted(elsewhere.reserve(asking("a", theirs, calls(1))))
        ledger.halt(mine)
        for way in ("reserve", "take what fits", "wait"):
            refusal = refused(_ask(elsewhere, way, theirs, base=calls(1)))
            assert (refusal.halted, refusal.can_wait, refusal.held) == (True, False, 1)
        assert elsewhere.read(theirs).halted
        elsewhere.halt(theirs, False)
        granted(ledger.reserve(asking("b", mine, calls(1))))

    def test_those_who_wait_in_other_processes_hear_of_a_halt(self, ledger: Ledger, elsewhere: Ledger) -> None:
        mine, theirs = ledger.open("run", Limits(tokens=100)), elsewhere.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", mine, tokens(100))))
        concluding = InQueue(elsewhere, asking("concluding", theirs, tokens(60), passes_halt=True))
        queued = [InQueue(elsewhere, asking(f"{n}", theirs, tokens(60))) for n in range(3)]
        ledger.halt(mine)
        until_answered(elsewhere, *queued)
        assert all(each.refused.halted and not each.refused.can_wait for each in queued)
        assert concluding.waits
        ledger.settle("a", ZERO)
        until_answered(elsewhere, concluding)
        granted(concluding.granted)


def until_answered(ledger: Ledger, *queued: InQueue) -> None:
    """Sweep *ledger* as those who wait there do, until all of *queued* are answered."""
    for _ in range(1_000_000):
        if not any(each.waits for each in queued):
            return
        ledger.sweep()
    raise AssertionError("they still wait")


def _ask(
    ledger: Ledger, way: str, run: Account, hold_id: str = "", base: Amounts | None = None, passes_halt: bool = False
) -> Grant | Refusal | None:
    ask = asking(hold_id or f"by {way}", run, base or tokens(10), passes_halt=passes_halt)
    if way == "wait":
        return InQueue(ledger, ask).ticket.result
    act: Callable[..., Grant | Refusal] = ledger.reserve if way == "reserve" else ledger.reserve_fitting
    return act(ask)
