"""What every ledger must do for one who joins an account that somebody else has opened."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import pytest

from mas_guard.ledger import Ledger
from mas_guard.testing.ledger_steps import InQueue, LedgerFixtures, asking, granted, refused, tokens
from mas_guard.types import ZERO, Limits


class LedgerJoiningContract(LedgerFixtures):
    """Joining. Run as a part of `LedgerContract`."""

    def test_who_joins_finds_what_was_spent_and_may_leave_the_limits(self, ledger: Ledger, elsewhere: Ledger) -> None:
        mine = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", mine, tokens(60))))
        joined = elsewhere.open("run", Limits(tokens=5), keep_limits=True, origin=ledger.origin(mine))
        assert elsewhere.origin(joined) == ledger.origin(mine)
        assert elsewhere.read(joined).limits == ledger.read(mine).limits == Limits(tokens=100)
        assert refused(elsewhere.reserve(asking("b", joined, tokens(41)))).held == 60
        granted(elsewhere.reserve(asking("b", joined, tokens(40))))

    def test_an_account_that_is_new_gets_its_limits_all_the_same(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100), keep_limits=True, root="nightly")
        assert ledger.read(run).limits == Limits(tokens=100)

    def test_limits_that_are_set_in_joining_serve_those_who_wait(self, ledger: Ledger) -> None:
        run = ledger.open("run", Limits(tokens=100))
        granted(ledger.reserve(asking("a", run, tokens(100))))
        queued = InQueue(ledger, asking("b", run, tokens(50)))
        ledger.open("run", Limits(tokens=5), keep_limits=True, origin=ledger.origin(run))
        assert queued.waits
        ledger.open("run", Limits(tokens=150), origin=ledger.origin(run))
        granted(queued.granted)

    def test_an_account_that_was_closed_since_is_not_made_anew_for_who_joins(
        self, ledger: Ledger, elsewhere: Ledger
    ) -> None:
        run = ledger.open("run", Limits(tokens=100))
        origin = ledger.origin(run)
        ledger.charge((run,), tokens(90), "spent")
        ledger.close(run)
        with pytest.raises(elsewhere.driver_errors, match="'run'"):
            elsewhere.open("run", Limits(tokens=100), origin=origin)
        again = ledger.open("run", Limits(tokens=100))
        assert ledger.origin(again) != origin
        for store in (ledger, elsewhere):
            with pytest.raises(store.driver_errors, match="'run'"):
                store.open("run", Limits(tokens=7), origin=origin)
        assert ledger.read(again).limits == Limits(tokens=100)
        assert ledger.read(again).settled == ZERO

    @pytest.mark.parametrize("origin", ["1", "elsewhere", "another.store", "."])
    def test_what_another_store_called_an_origin_is_none_here(self, ledger: Ledger, origin: str) -> None:
        ledger.open("run", Limits(tokens=100))
        for scope in ("run", "new"):
            with pytest.raises(ledger.driver_errors, match=scope):
                ledger.open(scope, Limits(tokens=100), origin=origin)
