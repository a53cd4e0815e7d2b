"""What every ledger must do, as tests that any store runs.

A store supplies one fixture::

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def make_ledger(self):
            return lambda clock: MyLedger(clock=clock)

`clock` is a callable that returns seconds; the tests move it by hand. A store that several processes share also
supplies `elsewhere`: the ledger that another process has of the same store. The queue's part stands in
`ledger_queue_contract.py`, the one under threads and tasks in `ledger_crowd_contract.py`, that of halted accounts in
`ledger_halt_contract.py`, that of joining what another process has opened in `ledger_joining_contract.py`,
that of those who look on in `ledger_inspection_contract.py`;
`LedgerContract` runs all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mas_guard.ledger import REMEMBERED_IDS, Breach, Ledger
from mas_guard.testing.ledger_crowd_contract import LedgerCrowdContract
from mas_guard.testing.ledger_halt_contract import LedgerHaltContract
from mas_guard.testing.ledger_inspection_contract import LedgerInspectionContract
from mas_guard.testing.ledger_joining_contract import LedgerJoiningContract
from mas_guard.testing.ledger_queue_contract import LedgerQueueContract
from mas_guard.testing.ledger_steps import (
    Clock,
    LedgerFixtures,
    MakeLedger,
    asking,
    calls,
    granted,
    money,
    refused,
    tokens,
    tool_calls,
)
from mas_guard.types import ZERO, Amounts, Limits


class LedgerHoldContract(LedgerFixtures):
    """Levels, holds, refusals, ids and leases."""

    def test_a_hold_counts_until_it_is_settled_and_then_only_what_was_used(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(80))))
        assert ledger.read(run).held == tokens(80)
        ledger.dispatch("a", 10.0)
        assert not ledger.settle("a", tokens(30)).breach
        balance = ledger.read(run)
        assert (balance.settled, balance.held, balance.crashed) == (tokens(30), ZERO, ZERO)

    def test_the_limit_itself_may_be_reached_and_not_passed(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(60))))
        refused(ledger.reserve(asking("b", run, tokens(41))))
        granted(ledger.reserve(asking("c", run, tokens(40))))

    @pytest.mark.parametrize("amounts", [tokens(1), calls(1), tool_calls(1), money(1)])
    def test_each_unit_has_its_own_limit(self, ledger: Ledger, amounts: Amounts) -> None:
        run = ledger.open("run", Limits(*amounts))
        granted(ledger.reserve(asking("a", run, amounts)))
        refused(ledger.reserve(asking("b", run, amounts)))

    def test_a_unit_without_a_limit_is_counted_all_the_same(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits())
        granted(ledger.reserve(asking("a", run, Amounts(10**12, 1, 2, 10**15))))
        ledger.settle("a", Amounts(10**12, 1, 2, 10**15))
        balance = ledger.read(run)
        assert balance.limits == Limits()
        assert balance.settled == Amounts(10**12, 1, 2, 10**15)

    def test_a_refusal_states_level_unit_and_figures_apart(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=1_000))
        group = ledger.open("group", Limits(tokens=100))
        ledger.charge((run, group), tokens(30), "before")
        granted(ledger.reserve(asking("a", (run, group), tokens(50))))
        refusal = refused(ledger.reserve(asking("b", (run, group), tokens(25))))
        assert refusal.account is group
        assert (refusal.unit, refusal.limit, refusal.settled) == ("tokens", 100, 30)
        assert (refusal.held, refusal.asked, refusal.ahead) == (50, 25, 0)

    def test_all_levels_or_none(self, ledger: Ledger) -> None:
        levels = [ledger.open(f"level {n}", Limits(tokens=100, model_calls=9)) for n in range(3)]
        narrow = ledger.open("narrow", Limits(tokens=10))
        refused(ledger.reserve(asking("a", (*levels, narrow), Amounts(11, 1))))
        assert [ledger.read(level).held for level in (*levels, narrow)] == [ZERO] * 4
        granted(ledger.reserve(asking("b", (*levels, narrow), Amounts(10, 1))))
        assert [ledger.read(level).held for level in (*levels, narrow)] == [Amounts(10, 1)] * 4

    def test_two_runs_share_their_group(self, ledger: Ledger) -> None:
        group = ledger.open("group", Limits(model_calls=2))
        one, two = ledger.open("one", Limits(model_calls=2)), ledger.open("two", Limits())
        granted(ledger.reserve(asking("a", (one, group), calls(1))))
        granted(ledger.reserve(asking("b", (two, group), calls(1))))
        assert refused(ledger.reserve(asking("c", (one, group), calls(1)))).account is group

    def test_the_owners_share_is_withheld_on_the_first_level_alone(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits(tokens=100))
        keep = tokens(10)
        refusal = refused(ledger.reserve(asking("a", (run, group), tokens(91), keep=keep)))
        assert (refusal.account, refusal.limit) == (run, 90)
        granted(ledger.reserve(asking("b", (run, group), tokens(90), keep=keep)))
        granted(ledger.reserve(asking("owner", (run, group), tokens(10))))

    def test_an_overdrawn_unit_does_not_refuse_a_call_that_does_not_ask_for_it(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=10, tool_calls=5))
        ledger.charge((run,), tokens(50), "late")
        granted(ledger.reserve(asking("tool", run, tool_calls(1))))
        refused(ledger.reserve(asking("model", run, tokens(1))))

    def test_an_elastic_ask_is_granted_in_full_or_refused(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        elastic = {"per_output": tokens(2), "output": 45, "least_output": 5}
        refused(ledger.reserve(asking("a", run, tokens(11), **elastic)))
        grant = granted(ledger.reserve(asking("b", run, tokens(10), **elastic)))
        assert (grant.output, grant.amounts) == (45, tokens(100))

    def test_what_fits_is_the_largest_output_on_every_level_and_in_every_unit(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100, nano_usd=1_000))
        group = ledger.open("group", Limits(nano_usd=750))
        elastic = {"per_output": Amounts(1, 0, 0, 10), "output": 90, "least_output": 5}
        grant = granted(ledger.reserve_fitting(asking("a", (run, group), Amounts(10, 0, 0, 49), **elastic)))
        assert (grant.output, grant.amounts) == (70, Amounts(80, 0, 0, 749))

    def test_less_than_the_least_output_is_refused_when_taking_what_fits(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        elastic = {"per_output": tokens(1), "output": 90}
        refusal = refused(ledger.reserve_fitting(asking("a", run, tokens(80), least_output=21, **elastic)))
        assert (refusal.asked, refusal.limit) == (101, 100)
        assert granted(ledger.reserve_fitting(asking("b", run, tokens(80), least_output=20, **elastic))).output == 20

    def test_a_call_that_used_more_than_it_held_is_booked_and_recorded_as_a_breach(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits())
        ledger.reserve(asking("a", (run, group), Amounts(100, 1)))
        ledger.dispatch("a", 10.0)
        settlement = ledger.settle("a", Amounts(130, 1))
        assert settlement.breach
        assert settlement.breaches == (Breach("a", "tokens", 100, 130),)
        for level in (run, group):
            assert ledger.read(level).settled == Amounts(130, 1)
            assert ledger.read(level).breaches == settlement.breaches
        refused(ledger.reserve(asking("b", run, tokens(1))))

    def test_a_released_hold_comes_back_sent_or_not(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(model_calls=1))
        for hold_id, sent in (("a", False), ("b", True)):
            granted(ledger.reserve(asking(hold_id, run, calls(1))))
            assert not sent or ledger.dispatch(hold_id, 10.0)
            ledger.release(hold_id)
            ledger.release(hold_id)
        assert ledger.read(run).held == ledger.read(run).settled == ZERO

    def test_a_charge_is_booked_once_and_may_pass_the_limit(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits())
        for _ in range(2):
            ledger.charge((run, group), tokens(130), "resumed")
        assert ledger.read(run).settled == ledger.read(group).settled == tokens(130)
        assert ledger.read(run).breaches == ()

    def test_a_top_up_makes_room_and_reopening_keeps_what_was_spent(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=10))
        ledger.charge((run,), tokens(10), "spent")
        refused(ledger.reserve(asking("a", run, tokens(5))))
        ledger.set_limits(run, Limits(tokens=15))
        granted(ledger.reserve(asking("b", run, tokens(5))))
        again = ledger.open("run", Limits(tokens=16))
        balance = ledger.read(again)
        assert (balance.limits, balance.settled, balance.held) == (Limits(tokens=16), tokens(10), tokens(5))
        granted(ledger.reserve(asking("c", run, tokens(1))))
        refused(ledger.reserve(asking("d", run, tokens(1))))

    # Ids

    def test_reserving_a_live_id_again_answers_the_same_grant(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        first = granted(ledger.reserve(asking("a", run, tokens(80))))
        again = granted(ledger.reserve(asking("a", run, tokens(80))))
        assert (again.amounts, again.spent) == (first.amounts, False)
        assert ledger.read(run).held == tokens(80)

    @pytest.mark.parametrize("way", ["settled", "released"])
    def test_reserving_an_ended_id_holds_nothing_and_says_so(self, ledger: Ledger, way: str) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        if way == "settled":
            ledger.settle("a", tokens(7))
        else:
            ledger.release("a")
        again = granted(ledger.reserve(asking("a", run, tokens(80))))
        assert (again.spent, again.amounts) == (True, ZERO)
        assert not ledger.dispatch("a", 10.0)
        assert ledger.read(run).held == ZERO

    def test_settling_twice_books_once_and_answers_the_same(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        assert ledger.settle("a", tokens(90)) == ledger.settle("a", tokens(50))
        ledger.release("a")
        assert ledger.read(run).settled == tokens(90)
        assert len(ledger.read(run).breaches) == 1

    def test_settling_what_was_released_or_never_held_books_nothing(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        ledger.release("a")
        assert not ledger.settle("a", tokens(50)).known
        assert not ledger.settle("nobody", tokens(50)).known
        assert ledger.read(run).settled == ZERO

    def test_the_last_ten_thousand_ids_of_an_account_are_remembered(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits())
        for number in range(REMEMBERED_IDS):
            ledger.reserve(asking(f"a {number}", run, tokens(1)))
            ledger.settle(f"a {number}", tokens(1))
        assert granted(ledger.reserve(asking("a 0", run, tokens(1)))).spent
        assert ledger.settle("a 0", tokens(1)).known
        assert ledger.read(run).settled == tokens(REMEMBERED_IDS)

    # Leases

    def test_an_unsent_hold_comes_back_when_its_lease_ends(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(model_calls=1))
        ledger.reserve(asking("a", run, calls(1), lease=60.0))
        clock.now += 59.9
        refused(ledger.reserve(asking("b", run, calls(1))))
        clock.now += 0.1
        granted(ledger.reserve(asking("c", run, calls(1))))
        assert not ledger.dispatch("a", 10.0)

    def test_a_lapsed_id_may_be_reserved_anew(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(model_calls=1))
        ledger.reserve(asking("a", run, calls(1), lease=60.0))
        clock.now += 61
        assert not ledger.dispatch("a", 10.0)
        assert not granted(ledger.reserve(asking("a", run, calls(1)))).spent
        assert ledger.dispatch("a", 10.0)
        ledger.settle("a", calls(1))
        assert ledger.read(run).settled == calls(1)

    def test_a_sent_hold_whose_lease_ends_is_charged_in_full_and_marked(self, ledger: Ledger, clock: Clock) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits())
        ledger.reserve(asking("a", (run, group), Amounts(80, 1)))
        assert ledger.dispatch("a", 600.0)
        clock.now += 600
        for level in (run, group):
            balance = ledger.read(level)
            assert (balance.settled, balance.held) == (Amounts(80, 1), ZERO)
            assert balance.crashed == Amounts(80, 1)
        assert granted(ledger.reserve(asking("a", (run, group), tokens(1)))).spent

    def test_a_late_settle_gives_the_unspent_part_back_once(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, Amounts(80, 1)))
        ledger.dispatch("a", 600.0)
        clock.now += 601
        ledger.read(run)
        settlement = ledger.settle("a", Amounts(30, 1))
        assert settlement.late
        assert not settlement.breach
        assert ledger.settle("a", Amounts(10, 1)) == settlement
        balance = ledger.read(run)
        assert (balance.settled, balance.held, balance.crashed) == (Amounts(30, 1), ZERO, ZERO)

    def test_a_crashed_call_that_proves_unsent_costs_nothing(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, Amounts(80, 1)))
        ledger.dispatch("a", 600.0)
        clock.now += 601
        ledger.read(run)
        ledger.release("a")
        ledger.release("a")
        balance = ledger.read(run)
        assert (balance.settled, balance.held, balance.crashed) == (ZERO, ZERO, ZERO)

    def test_a_settle_after_an_unsent_lease_ended_books_the_truth_as_a_breach(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80), lease=60.0))
        clock.now += 61
        ledger.read(run)
        settlement = ledger.settle("a", tokens(30))
        assert settlement.late
        assert settlement.breaches == (Breach("a", "tokens", 0, 30),)
        assert ledger.read(run).settled == tokens(30)

    def test_dispatching_again_renews_the_lease(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        for _ in range(3):
            assert ledger.dispatch("a", 10.0)
            clock.now += 9
        assert ledger.read(run).held == tokens(80)
        clock.now += 1
        assert not ledger.dispatch("a", 10.0)

    def test_a_clock_that_jumps_ahead_charges_what_was_sent_and_returns_the_rest(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("sent", run, tokens(30)))
        ledger.dispatch("sent", 600.0)
        ledger.reserve(asking("unsent", run, tokens(70)))
        clock.now += 10**7
        balance = ledger.read(run)
        assert (balance.settled, balance.held) == (tokens(30), ZERO)

    def test_a_clock_that_jumps_back_makes_no_lease_longer(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80), lease=60.0))
        ledger.read(run)
        clock.now -= 5_000
        assert ledger.read(run).held == tokens(80)
        clock.now += 60
        assert ledger.read(run).held == ZERO

    def test_sweep_names_the_seconds_until_it_is_needed_again(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        assert ledger.sweep() is None
        ledger.reserve(asking("a", run, tokens(80), lease=60.0))
        clock.now += 15
        assert ledger.sweep() == pytest.approx(45.0)
        clock.now += 45
        assert ledger.sweep() is None
        assert ledger.read(run).held == ZERO

    # Closing

    def test_a_closed_account_is_new_when_it_is_opened_again(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        ledger.reserve(asking("a", run, tokens(80)))
        ledger.settle("a", tokens(80))
        ledger.close(run)
        ledger.close(run)
        again = ledger.open("run", Limits(tokens=100))
        assert ledger.read(again).settled == ZERO
        assert not granted(ledger.reserve(asking("a", again, tokens(100)))).spent

    def test_a_hold_of_a_closed_account_is_still_paid_by_the_levels_that_are_open(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits()), ledger.open("group", Limits(tokens=100))
        ledger.reserve(asking("a", (run, group), tokens(80)))
        ledger.dispatch("a", 10.0)
        ledger.close(run)
        assert ledger.read(group).held == tokens(80)
        ledger.settle("a", tokens(30))
        assert not ledger.settle("a", tokens(50)).known
        balance = ledger.read(group)
        assert (balance.settled, balance.held) == (tokens(30), ZERO)

    def test_a_charge_on_a_closed_account_is_booked_on_the_levels_that_are_open(self, ledger: Ledger) -> None:
        run, group = ledger.open("run", Limits()), ledger.open("group", Limits())
        ledger.close(run)
        for _ in range(2):
            ledger.charge((run, group), tokens(30), "late")
        assert ledger.read(group).settled == tokens(30)

    def test_nothing_can_be_reserved_on_a_closed_account_or_on_none(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits())
        ledger.close(run)
        acts: tuple[Callable[[], object], ...] = (
            lambda: ledger.reserve(asking("a", run, tokens(1))),
            lambda: ledger.reserve_fitting(asking("a", run, tokens(1))),
            lambda: ledger.wait(asking("a", run, tokens(1)), lambda: None),
            lambda: ledger.reserve(asking("a", (), tokens(1))),
            lambda: ledger.read(run),
            lambda: ledger.set_limits(run, Limits()),
        )
        for act in acts:
            with pytest.raises(ValueError, match="account"):
                act()


class LedgerContract(
    LedgerHoldContract,
    LedgerQueueContract,
    LedgerHaltContract,
    LedgerJoiningContract,
    LedgerInspectionContract,
    LedgerCrowdContract,
):
    """All that a ledger must do."""


__all__ = ["Clock", "LedgerContract", "MakeLedger"]
