"""What every ledger must tell those who look on, and let them put right."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import pytest

from mas_guard.ledger import Balance, CrashedHold, Ledger
from mas_guard.testing.ledger_steps import Clock, LedgerFixtures, asking, granted, tokens
from mas_guard.types import ZERO, Amounts, Limits

_MANY = 450


class LedgerInspectionContract(LedgerFixtures):
    """Looking on. Run as a part of `LedgerContract`."""

    def test_the_balances_of_all_open_accounts_are_listed_without_opening_them(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        run, group = ledger.open("run:1", Limits(tokens=100)), ledger.open("group:1", Limits())
        ledger.close(ledger.open("run:closed", Limits()))
        ledger.charge((run,), Amounts(5, 0, 0, 7), "spent")
        granted(ledger.reserve(asking("a", (run, group), tokens(60))))
        ledger.halt(group)
        assert dict(elsewhere.balances()) == {
            "run:1": Balance(Limits(tokens=100), Amounts(5, 0, 0, 7), tokens(60), ZERO, ()),
            "group:1": Balance(Limits(), ZERO, tokens(60), ZERO, (), halted=True),
        }

    @pytest.mark.parametrize("scope", ["run:1", "run:[1]*?", "run:\\d", "run:ü"])
    def test_balances_are_listed_by_the_beginning_of_their_scope(self, ledger: Ledger, scope: str) -> None:
        for each in (scope, scope + ":more", "run:other", scope[:-1] + "x"):
            ledger.open(each, Limits())
        assert sorted(found for found, _ in ledger.balances(scope)) == sorted([scope, scope + ":more"])
        assert [found for found, _ in ledger.balances("nothing")] == []

    def test_each_of_many_accounts_is_listed_once(self, ledger: Ledger) -> None:
        scopes = [f"run:{number}" for number in range(_MANY)]
        for scope in scopes:
            ledger.open(scope, Limits())
        assert sorted(scope for scope, _ in ledger.balances("run:")) == sorted(scopes)

    def test_leases_that_are_over_have_ended_in_what_is_listed(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("unsent", run, tokens(10), lease=60.0)))
        granted(ledger.reserve(asking("sent", run, tokens(20))))
        assert ledger.dispatch("sent", 60.0)
        clock.now += 61
        assert dict(ledger.balances("r")) == {
            "run": Balance(Limits(tokens=100), tokens(20), ZERO, tokens(20), ()),
        }

    def test_crashed_holds_are_listed_in_every_process_and_others_are_not(
        self, ledger: Ledger, elsewhere: Ledger, clock: Clock
    ) -> None:
        run, group = ledger.open("run", Limits()), ledger.open("group", Limits())
        for hold_id in ("lives", "lapses", "crashes", "crashes too", "settled late"):
            granted(ledger.reserve(asking(hold_id, (run, group), Amounts(60, 1))))
        for hold_id in ("crashes", "crashes too", "settled late"):
            assert ledger.dispatch(hold_id, 5.0)
        assert ledger.dispatch("lives", 600.0)
        assert elsewhere.crashed_holds() == []
        clock.now += 61
        assert ledger.settle("settled late", Amounts(60, 1)).known
        for store in (ledger, elsewhere):
            assert sorted(store.crashed_holds(), key=lambda hold: hold.hold_id) == [
                CrashedHold("crashes", ("run", "group"), Amounts(60, 1)),
                CrashedHold("crashes too", ("run", "group"), Amounts(60, 1)),
            ]

    def test_an_operator_settles_a_crashed_hold_from_another_process(
        self, ledger: Ledger, elsewhere: Ledger, clock: Clock
    ) -> None:
        run, group = ledger.open("run", Limits(tokens=100)), ledger.open("group", Limits(tokens=100))
        for hold_id in ("a", "b"):
            granted(ledger.reserve(asking(hold_id, (run, group), tokens(40))))
            assert ledger.dispatch(hold_id, 5.0)
        clock.now += 6
        settlement = next(
            elsewhere.settle(hold.hold_id, tokens(15)) for hold in elsewhere.crashed_holds() if hold.hold_id == "a"
        )
        assert (settlement.known, settlement.late, settlement.breaches) == (True, True, ())
        assert [hold.hold_id for hold in elsewhere.crashed_holds()] == ["b"]
        for account in (run, group):
            balance = ledger.read(account)
            assert (balance.settled, balance.crashed, balance.held) == (tokens(55), tokens(40), ZERO)
        assert ledger.settle("a", tokens(40)) == settlement
        granted(ledger.reserve(asking("c", (run, group), tokens(45))))

    def test_an_operator_releases_a_crashed_hold_from_another_process(
        self, ledger: Ledger, elsewhere: Ledger, clock: Clock
    ) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, Amounts(40, 1))))
        assert ledger.dispatch("a", 5.0)
        clock.now += 6
        (crashed,) = elsewhere.crashed_holds()
        for _ in range(2):
            elsewhere.release(crashed.hold_id)
        assert elsewhere.crashed_holds() == ledger.crashed_holds() == []
        balance = ledger.read(run)
        assert (balance.settled, balance.crashed, balance.held) == (ZERO, ZERO, ZERO)
        assert not ledger.settle("a", tokens(1)).known

    def test_crashed_holds_go_with_the_account_that_remembers_them(self, ledger: Ledger, clock: Clock) -> None:
        run, group, other = (ledger.open(scope, Limits()) for scope in ("run", "group", "other"))
        for hold_id, accounts in (("a", (run, group)), ("b", (other, group, run))):
            granted(ledger.reserve(asking(hold_id, accounts, tokens(40))))
            assert ledger.dispatch(hold_id, 5.0)
        clock.now += 6
        assert len(ledger.crashed_holds()) == 2
        ledger.close(run)
        assert ledger.crashed_holds() == [CrashedHold("b", ("other", "group"), tokens(40))]
        ledger.release("b")
        assert ledger.crashed_holds() == []
        assert ledger.read(group).crashed == tokens(40)
