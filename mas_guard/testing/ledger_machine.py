"""A state machine that does to a ledger whatever may happen to it, and compares it with the truth after each step.

A store runs it with `run_ledger_machine(make_ledger, steps=20_000)`. Four levels: two runs and their group, and
an agent inside the first. Steps: reserve, take what fits, wait, leave the queue, send, settle (also twice, and
late), release, lease ends, clock jumps both ways, top-ups, charges, halting, closing and opening again; asks that are
nested in live calls, and such that a halted level lets through. With `breaches=True` calls also use more than they hold and charges pass the limit.
"""

# ruff: noqa: D102 - a step's name is its sentence

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mas_guard.ledger import Account, Ask, Grant, Ledger, Refusal, Settlement
from mas_guard.testing.ledger_model import Level, TrueHold, Truth, cost
from mas_guard.testing.ledger_steps import Clock, InQueue, MakeLedger, granted
from mas_guard.testing.ledger_strategies import Wish, amounts, fractions, limits, paths, picks, seldom, whiches, wishes
from mas_guard.types import ZERO, Amounts, Limits

STEPS_IN_A_STORY = 100


@dataclass(eq=False)
class Waits:
    """One who waits: its arrival, and where it was short then and after each step since."""

    number: int
    ask: Ask
    queued: InQueue
    short: set[tuple[Level, int]] | None = None


class LedgerMachine(RuleBasedStateMachine):
    """See the module. `make_ledger` and `breaches` are set by `run_ledger_machine`."""

    make_ledger: ClassVar[MakeLedger]
    breaches: ClassVar[bool] = False
    steps_done: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ledger: Ledger = type(self).make_ledger(self.clock)
        self.truth = Truth()
        self.open: dict[str, Account] = {}
        self.waiting: list[Waits] = []
        self.ids = 0

    @initialize(all_limits=st.tuples(limits, limits, limits, limits))
    def open_levels(self, all_limits: tuple[Limits, ...]) -> None:
        for scope, some in zip(("group", "one", "two", "agent"), all_limits, strict=True):
            self._open(scope, some)

    # Taking

    @rule(wish=wishes)
    def reserve(self, wish: Wish) -> None:
        self._reserve(self._ask(wish), fitting=False)

    @rule(wish=wishes)
    def take_what_fits(self, wish: Wish) -> None:
        self._reserve(self._ask(wish), fitting=True)

    @rule(wish=wishes)
    def wait(self, wish: Wish) -> None:
        ask = self._ask(wish)
        self.waiting.append(Waits(self.ids, ask, InQueue(self.ledger, ask)))

    def _ask(self, wish: Wish) -> Ask:
        self.ids += 1
        sent = [hold.hold_id for hold in self.truth.live() if hold.sent]
        return Ask(
            f"hold {self.ids}",
            tuple(self.open[scope] for scope in wish.path),
            wish.base,
            wish.per_output,
            wish.output,
            max(0, wish.output - wish.slack),
            wish.keep,
            float(wish.lease),
            frozenset({sent[wish.nested % len(sent)]} if wish.nested % 3 == 0 and sent else ()),
            wish.passes_halt,
        )

    def _reserve(self, ask: Ask, fitting: bool) -> None:
        now, ever = self.truth.largest(ask), self.truth.largest(ask, back=True)
        result = self.ledger.reserve_fitting(ask) if fitting else self.ledger.reserve(ask)
        if isinstance(result, Grant):
            assert not result.spent
            assert not self.truth.halts(ask), "a halted level has granted"
            assert result.output == (now if fitting else ask.output) == now
            assert fitting or ask.inside or not self._overtakes(ask), "somebody who waits was overtaken"
            self._note(ask, result)
            return
        assert self._figures_are_true(result, ask)
        assert result.halted == self.truth.halts(ask)
        if result.halted:
            assert not result.can_wait
            return
        queues = not fitting and not ask.inside
        may_be_kept_back = queues and self._may_be_kept_back(ask)
        assert now < (ask.least_output if fitting else ask.output) or may_be_kept_back
        if ever < 0:
            assert not result.can_wait
        elif now >= ever:
            assert may_be_kept_back or not result.can_wait
            assert result.can_wait or not (queues and self._overtakes(ask))
        else:
            assert result.can_wait or ask.inside  # the nested one who would close a ring may not wait

    @precondition(lambda self: self.truth.holds)
    @rule(pick=picks)
    def ask_again(self, pick: int) -> None:
        hold = self._pick(pick, "any")
        if hold is None or hold.state == "lapsed" or not hold.remembered or any(level.closed for level in hold.levels):
            return
        again = granted(self.ledger.reserve(Ask(hold.hold_id, tuple(level.account for level in hold.levels), ZERO)))
        assert again.spent == (hold.state != "live")
        assert again.amounts == (ZERO if again.spent else hold.amounts)

    @precondition(lambda self: self.waiting)
    @rule(pick=picks)
    def leave_the_queue(self, pick: int) -> None:
        waits = self.waiting.pop(pick % len(self.waiting))
        self.ledger.cancel(waits.queued.ticket)
        self.ledger.cancel(waits.queued.ticket)
        assert waits.queued.waits

    # Sending and ending

    @precondition(lambda self: self.truth.holds)
    @rule(pick=picks, lease=st.integers(1, 90), which=whiches)
    def send(self, pick: int, lease: int, which: str) -> None:
        hold = self._pick(pick, which)
        if hold is None:
            return
        assert self.ledger.dispatch(hold.hold_id, float(lease)) == (hold.state == "live")
        if hold.state == "live":
            hold.sent, hold.ends = True, self.truth.time + lease

    @precondition(lambda self: self.truth.holds)
    @rule(
        pick=picks,
        parts=st.tuples(fractions, fractions, fractions, fractions),
        more=amounts,
        which=whiches,
    )
    def settle(self, pick: int, parts: tuple[float, ...], more: Amounts, which: str) -> None:
        hold = self._pick(pick, which)
        if hold is None:
            return
        actual = Amounts(*(int(part * held) for part, held in zip(parts, hold.amounts, strict=True)))
        if self.breaches:
            actual = actual.plus(more)
        elif hold.state == "lapsed":
            actual = ZERO
        self._settle(hold, actual)

    def _settle(self, hold: TrueHold, actual: Amounts) -> None:
        settlement = self.ledger.settle(hold.hold_id, actual)
        if hold.state != "live" and not hold.remembered:
            assert not settlement.known
        elif hold.state == "settled":
            assert settlement == hold.settlement
        elif hold.state == "released":
            assert not settlement.known
        else:
            late = hold.state != "live"
            assert settlement == Settlement(late=late, breaches=self.truth.settle(hold, actual))
            hold.settlement = settlement

    @precondition(lambda self: self.truth.holds)
    @rule(pick=picks, which=whiches)
    def release(self, pick: int, which: str) -> None:
        hold = self._pick(pick, which)
        if hold is None:
            return
        self.ledger.release(hold.hold_id)
        if hold.state == "live" or hold.remembered:
            self.truth.release(hold)

    # Time

    @rule(seconds=st.sampled_from((1, 5, 10, 20, 40, -1, -30)), jump=seldom)
    def clock_moves(self, seconds: int, jump: bool) -> None:
        seconds *= 10_000 if jump else 1
        self.clock.now += seconds
        self.truth.pass_time(seconds)
        self.ledger.sweep()

    # Levels

    @rule(scope=st.sampled_from(("group", "one", "two", "agent")), new=limits, reopen=st.booleans())
    def limits_change(self, scope: str, new: Limits, reopen: bool) -> None:
        level = self.truth.levels[self.open[scope]]
        used = level.settled.plus(self.truth.held(level))
        level.limits = Limits(*(most if most is None else max(most, had) for most, had in zip(new, used, strict=True)))
        if reopen:
            assert self.ledger.open(scope, level.limits) is level.account
        else:
            self.ledger.set_limits(level.account, level.limits)

    @rule(scope=st.sampled_from(("group", "one", "two", "agent")), halted=seldom)
    def halt_or_lift(self, scope: str, halted: bool) -> None:
        level = self.truth.levels[self.open[scope]]
        if halted == level.halted and not halted:
            return
        self.ledger.halt(level.account, halted)
        level.halted = halted
        for waits in [waits for waits in self.waiting if self.truth.halts(waits.ask)]:
            assert waits.queued.refused.halted
            self.waiting.remove(waits)

    @rule(path=paths, spent=amounts, twice=st.booleans(), really=seldom)
    def charge(self, path: tuple[str, ...], spent: Amounts, twice: bool, really: bool) -> None:
        if not really:
            return
        levels = [self.truth.levels[self.open[scope]] for scope in path]
        if not self.breaches:
            for level in levels:
                room = self.truth.room(level)
                spent = Amounts(
                    *(want if most is None else min(want, most) for want, most in zip(spent, room, strict=True))
                )
        self.ids += 1
        for _ in range(1 + twice):
            self.ledger.charge(tuple(level.account for level in levels), spent, f"charge {self.ids}")
        for level in levels:
            level.settled = level.settled.plus(spent)

    @rule(scope=st.sampled_from(("one", "two", "agent")), new=limits, really=seldom)
    def close(self, scope: str, new: Limits, really: bool) -> None:
        if not really:
            return
        account = self.open[scope]
        refused = [waits for waits in self.waiting if account in waits.ask.accounts]
        self.ledger.close(account)
        for waits in refused:
            assert not waits.queued.refused.can_wait
            self.waiting.remove(waits)
        self.truth.levels.pop(account).closed = True
        self._open(scope, new)

    # What holds after every step

    @invariant()
    def hears_the_answers(self) -> None:
        type(self).steps_done += 1
        answered = [waits for waits in self.waiting if not waits.queued.waits]
        self.waiting = [waits for waits in self.waiting if waits.queued.waits]
        for waits in answered:
            result = waits.queued.ticket.result
            if isinstance(result, Grant):
                assert not self.truth.halts(waits.ask), "a halted level has granted"
                assert waits.ask.least_output <= result.output <= waits.ask.output
                self._note(waits.ask, result)
                if not waits.ask.inside:
                    assert not self._overtakes(waits.ask, waits.number), "somebody who waits was overtaken"
            else:
                assert isinstance(result, Refusal)
                assert result.halted == self.truth.halts(waits.ask)
                assert not result.can_wait
        for waits in self.waiting:
            short = self.truth.short(waits.ask, waits.ask.output)
            waits.short = short if waits.short is None else waits.short & short

    @invariant()
    def keeps_the_books_truly(self) -> None:
        for account, level in self.truth.levels.items():
            balance = self.ledger.read(account)
            held = self.truth.held(level)
            assert balance.limits == level.limits
            assert balance.halted == level.halted
            assert (balance.settled, balance.held, balance.crashed) == (level.settled, held, level.crashed)
            assert list(balance.breaches) == level.breaches
            if not self.breaches:
                for most, settled, keeps in zip(level.limits, level.settled, held, strict=True):
                    assert most is None or settled + keeps <= most, "overspent"

    @invariant()
    def keeps_nobody_waiting_in_vain(self) -> None:
        for number, waits in enumerate(self.waiting):
            if number == 0 or waits.ask.inside:  # nobody is before these
                assert self.truth.may_come(waits.ask), f"{waits.ask.hold_id} waits for nothing"

    def teardown(self) -> None:
        """Let everything end as it must: the calls around a waiting one only after that."""
        while self.open and (live := self.truth.live()):
            around = {hold_id for waits in self.waiting for hold_id in waits.ask.inside}
            free = [hold for hold in live if hold.hold_id not in around]
            assert free, "waiting calls keep one another waiting for ever"
            self._settle(free[0], free[0].amounts)
            self.hears_the_answers()
            self.keeps_nobody_waiting_in_vain()
        self.keeps_the_books_truly()
        assert not self.waiting, "nothing is held, and somebody still waits"
        assert all(self.ledger.read(account).held == ZERO for account in self.truth.levels)

    # Helpers

    def _open(self, scope: str, some: Limits) -> None:
        account = self.ledger.open(scope, some)
        self.open[scope] = account
        self.truth.levels[account] = Level(account, some)

    def _note(self, ask: Ask, grant: Grant) -> None:
        assert grant.amounts == cost(ask, grant.output)
        self.truth.take(ask, grant.output)

    def _overtakes(self, ask: Ask, number: int | None = None) -> bool:
        """True where *ask* takes units that one who arrived before it has found short ever since, and which have a limit."""
        full = cost(ask, ask.output)
        return any(
            full[unit] and level.limits[unit] is not None and level.account in ask.accounts
            for waits in self.waiting
            if number is None or waits.number < number
            for level, unit in waits.short or ()
        )

    def _may_be_kept_back(self, ask: Ask) -> bool:
        """True where somebody waits who asks for the same unit on the same level."""
        full = cost(ask, ask.output)
        return any(
            set(waits.ask.accounts) & set(ask.accounts)
            and any(mine and theirs for mine, theirs in zip(full, cost(waits.ask, waits.ask.output), strict=True))
            for waits in self.waiting
        )

    def _pick(self, pick: int, which: str) -> TrueHold | None:
        holds = list(self.truth.holds.values())
        if which != "any":
            states = ("live",) if which == "live" else ("crashed", "lapsed")
            holds = [hold for hold in holds if hold.state in states]
        return holds[pick % len(holds)] if holds else None

    def _figures_are_true(self, refusal: Refusal, ask: Ask) -> bool:
        level = self.truth.levels[refusal.account]
        keep = getattr(ask.keep, refusal.unit) if refusal.account is ask.accounts[0] else 0
        limit = getattr(level.limits, refusal.unit)
        used = refusal.settled + refusal.held
        return (
            refusal.limit == (used if limit is None and refusal.halted else limit - keep)
            and refusal.settled == getattr(level.settled, refusal.unit)
            and refusal.held == getattr(self.truth.held(level), refusal.unit)
            and refusal.asked
            in {
                getattr(cost(ask, ask.output), refusal.unit),
                getattr(cost(ask, ask.least_output), refusal.unit),
            }
        )


def run_ledger_machine(make_ledger: MakeLedger, *, steps: int, breaches: bool = False, repeatable: bool = True) -> int:
    """Run the machine for about *steps* steps; return how many were done.

    Args:
        make_ledger: Makes an empty ledger on a given clock.
        steps: Steps over all stories, each of `STEPS_IN_A_STORY` from an empty ledger.
        breaches: Let calls use more than they hold, and charges pass the limit.
        repeatable: The same stories each time; otherwise new ones, and a failure prints how to repeat it.
    """
    machine = type("LedgerMachine", (LedgerMachine,), {"make_ledger": staticmethod(make_ledger), "breaches": breaches})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(1, steps * 10 // (STEPS_IN_A_STORY * 8)),  # some stories end early
            stateful_step_count=STEPS_IN_A_STORY,
            deadline=None,
            database=None,
            derandomize=repeatable,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return int(vars(machine).get("steps_done", 0))
