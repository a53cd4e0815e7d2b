"""How a call meets the ledger: what it asks for, what it waits for, and what is booked in the end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from mas_guard._effects import Book, Effect, Wait
from mas_guard._run import Run
from mas_guard._step_scope import StepScope
from mas_guard.errors import BudgetExceeded
from mas_guard.ledger import Account, Ask, Grant, Refusal
from mas_guard.prices import ModelFacts, cost, input_bound, model_facts
from mas_guard.types import ZERO, Amounts, Call, CallOutcome, Limits, ModelCall, ToolCall, Usage
from mas_guard.windows import (
    accounts_of,
    is_over,
    look_at_windows,
    refusing_window,
    seconds_until_over,
    tell_of_refusal,
)
from mas_guard.windows.wording import NAME, begins_anew, figure, level_of, setting_of

OUTPUT_FLOOR = 1024  # tokens; a smaller share of what is left is not worth a call while more is to be had
LEAST_OUTPUT = 16  # tokens; some interfaces refuse a smaller cap
OUTPUT_SHARE = 4  # a call's output may hold a quarter of what is not yet settled
UNDISPATCHED_LEASE = 60.0  # seconds from grant to sending
DISPATCHED_LEASE = 900.0  # seconds until a call that nobody settled is charged in full
PER_NOTE = 16  # tokens; role and delimiters around a message that the guard adds
MILLION = 1_000_000
NO_LIMITS = Limits()
ONE_TOOL_CALL = Amounts(tool_calls=1)
LONG_WAIT = 1.0  # seconds; a longer wait is an event


class Booking:
    """A grant and what is needed to settle it.

    Attributes:
        unanswered: True where an attempt was sent, never answered, and not charged by itself.
        waited: True where it was not granted at once.
    """

    __slots__ = ("amounts", "call", "facts", "hold_id", "run", "unanswered", "waited")

    def __init__(self, run: Run, call: Call, facts: ModelFacts | None, grant: Grant, *, waited: bool) -> None:
        self.run = run
        self.call = call
        self.facts = facts
        self.hold_id = grant.hold_id
        self.amounts = grant.amounts
        self.unanswered = False
        self.waited = waited

    def dispatch(self) -> Generator[Effect, Any, bool]:
        """The call is about to be sent; False where the hold is gone and must be asked for anew."""
        return (yield from _booked(self.run, "dispatch", self.hold_id, DISPATCHED_LEASE))  # type: ignore[no-any-return]

    def release(self) -> None:
        """The call was not sent."""
        self.run.ledger.release(self.hold_id)

    def settle(self, outcome: CallOutcome) -> Generator[Effect, Any, None]:
        """Book what the call used; what is unknown is charged as held and said to be estimated."""
        if outcome.cached:
            self.run.ledger.release(self.hold_id)
            return
        actual = self._actual(outcome)
        settlement = yield from _booked(self.run, "settle", self.hold_id, actual)
        if settlement.breach:
            self.run.note(
                f"a reply of {getattr(self.call, 'model', '')} used more than was held for it and was booked in full"
            )
            self.run.engine.event(self.run, "breach", rule="budget", held=list(self.amounts), actual=list(actual))
        look_at_windows(self.run)

    def _actual(self, outcome: CallOutcome) -> Amounts:
        if isinstance(self.call, ToolCall):
            return ONE_TOOL_CALL
        usage = outcome.usage
        if usage.known and not self.unanswered:
            tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            nano = price_of(self.run, self.call, self.facts, usage)
            return Amounts(tokens, self.call.requests, 0, self.amounts.nano_usd if nano is None else nano)
        self.run.note("the usage of at least one call is estimated: the provider did not say it")
        return Amounts(self.amounts.tokens, self.call.requests, 0, self.amounts.nano_usd)


def _booked(run: Run, method: str, hold_id: str, *more: Any) -> Generator[Effect, Any, Any]:
    """What the ledger answers; asked for by way of the driver where the ledger can be awaited."""
    if run.store.awaited:
        return (yield Book(run.ledger, method, hold_id, (hold_id, *more)))
    return getattr(run.ledger, method)(hold_id, *more)


def price_of(run: Run, call: ModelCall, facts: ModelFacts | None, usage: Usage) -> int | None:
    """What *usage* costs in nano-USD; a plugin's word stands above the table's, `None` is unknown."""
    if run.engine.plugins.has_price_hook:
        said = run.engine.plugins.price(call.model, usage)
        if said is not None:
            return said
    if usage.cost_nano_usd is not None:
        return usage.cost_nano_usd
    return cost(facts, usage) if facts is not None else None


def book_observed(run: Run, call: Call, outcome: CallOutcome) -> None:
    """In observe mode nothing is held; the spend is booked past the limit in a scope of its own."""
    if outcome.cached:
        return
    if isinstance(call, ToolCall):
        amounts = ONE_TOOL_CALL
    else:
        facts = model_facts(call.model, run.policy)
        usage = outcome.usage
        if usage.known:
            tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        else:
            run.note("the usage of at least one call is estimated: the provider did not say it")
            tokens = call.input_bound + len(outcome.text.encode("utf-8", "replace"))
            usage = Usage(call.input_bound, len(outcome.text.encode("utf-8", "replace")), estimated=True)
        amounts = Amounts(tokens, call.requests, 0, price_of(run, call, facts, usage) or 0)
    run.ledger.charge((run.account,), amounts, run.next_hold())
    spent = run.spent()
    for unit, used, limit in zip(Amounts._fields, spent, run.policy.budget.limits, strict=True):
        if limit is not None and used > limit:
            run.engine.would_stop(run, "budget", f"{used} of {limit} {unit}")


def reserve(
    run: Run, call: Call, scope: StepScope | None, inside: frozenset[str], concluding: bool, keep: Amounts
) -> Generator[Effect, Any, Booking | Refusal]:
    """Hold an upper bound of *call* on every level, or return the refusal. *keep* is what must be left to the owner."""
    found = yield from _reserve(run, call, scope, inside, concluding, keep)
    while isinstance(found, Refusal) and is_over(run, found):  # the window began anew while the call waited
        found = yield from _reserve(run, call, scope, inside, concluding, keep)
    if isinstance(found, Refusal):
        tell_of_refusal(run, found)
    return found


def _reserve(
    run: Run, call: Call, scope: StepScope | None, inside: frozenset[str], concluding: bool, keep: Amounts
) -> Generator[Effect, Any, Booking | Refusal]:
    accounts = _accounts(run, scope, concluding)
    if isinstance(call, ToolCall):
        ask = Ask(run.next_hold(), accounts, ONE_TOOL_CALL, ZERO, 0, 0, keep, UNDISPATCHED_LEASE, inside)
        return (yield from _hold(run, call, None, ask))
    facts = model_facts(call.model, run.policy)
    rates = _rates(run, call, facts)
    levels = [run.ledger.spent(account) for account in accounts]
    if rates is None and any(limits.nano_usd is not None for limits, _ in levels):
        return Refusal(accounts[0], "nano_usd", 0, 0, 0, -1, False)
    wanted = _output_wanted(run, call, facts, rates, levels)
    told = _notes_bound(call)
    found = yield from _hold(
        run, call, facts, _ask(run, call, rates, accounts, keep, inside, wanted, call.input_bound + told)
    )
    if isinstance(found, Refusal) and found.unit in ("tokens", "nano_usd") and call.count_exactly is not None:
        exact = call.count_exactly()
        if exact is not None and exact < call.input_bound:
            call.input_bound = exact
            found = yield from _hold(
                run, call, facts, _ask(run, call, rates, accounts, keep, inside, wanted, exact + told)
            )
    return found


def _notes_bound(call: ModelCall) -> int:
    """An upper bound, in tokens, of what the guard itself adds to the request: briefs and redirects."""
    if not call.notes:
        return 0
    return call.requests * sum(input_bound(note) + PER_NOTE for note in call.notes)


def _accounts(run: Run, scope: StepScope | None, concluding: bool) -> tuple[Account, ...]:
    every = run.accounts + accounts_of(run)
    if scope is None or concluding:
        return every
    if scope.account is None:
        limits = run.policy.agent_limits(scope.agent)
        if limits != NO_LIMITS:
            scope.account = run.open_inner(f"agent:{run.id}:{scope.agent}:{scope.identity}", limits)
    return every + scope.accounts()


def _ask(
    run: Run,
    call: ModelCall,
    rates: _Rates | None,
    accounts: tuple[Account, ...],
    keep: Amounts,
    inside: frozenset[str],
    output: int,
    input_tokens: int,
) -> Ask:
    answers = call.choices * call.requests
    base = Amounts(
        input_tokens,
        call.requests,
        0,
        rates.input_cost(input_tokens) if rates is not None else 0,
    )
    per_output = Amounts(answers, 0, 0, rates.per_output * answers if rates is not None else 0)
    return Ask(
        run.next_hold(),
        accounts,
        base,
        per_output,
        output,
        min(output, LEAST_OUTPUT),
        keep,
        UNDISPATCHED_LEASE,
        inside,
        call.concluding,
    )


def _hold(run: Run, call: Call, facts: ModelFacts | None, ask: Ask) -> Generator[Effect, Any, Booking | Refusal]:
    ledger = run.ledger
    found = (yield Book(ledger, "reserve", ask.hold_id, (ask,))) if run.store.awaited else ledger.reserve(ask)
    at_once = not isinstance(found, Refusal)
    if isinstance(found, Refusal):
        waited = None
        if found.can_wait:
            began = run.engine.now()
            waited = yield Wait(ledger, ask, _longest_wait(run, found))
            if run.engine.now() - began > LONG_WAIT:
                seconds = round(run.engine.now() - began, 3)
                run.engine.event(run, "budget_wait", rule="budget", seconds=seconds)
            if waited is None and is_over(run, found):
                return found
        # Where nothing can come back, or this caller may not wait, what fits now is taken.
        found = waited if waited is not None else ledger.reserve_fitting(ask)
    if isinstance(found, Refusal):
        return found
    if isinstance(call, ModelCall):
        call.output_cap = _cap_to_send(run, call, facts, found.output)
    return Booking(run, call, facts, found, waited=not at_once)


def _longest_wait(run: Run, refusal: Refusal) -> float | None:
    bounds = (run.time_left(), run.policy.budget_wait, seconds_until_over(run, refusal))
    return min((bound for bound in bounds if bound is not None), default=None)


def model_maximum(run: Run, facts: ModelFacts | None) -> tuple[int, bool]:
    """The model's largest output in tokens, and whether it is known."""
    if facts is not None and facts.max_output is not None:
        return facts.max_output, True
    return run.policy.unknown_max_output, False


class _Rates(NamedTuple):
    """The most that a call may cost: for its input, in nano-USD, by tokens; and for one output token."""

    input_cost: Callable[[int], int]
    per_output: int


def _rates(run: Run, call: ModelCall, facts: ModelFacts | None) -> _Rates | None:
    """What *call* may cost; a plugin's prices stand above the table's, `None` where nobody knows one."""
    if run.engine.plugins.has_price_hook:
        price = run.engine.plugins.price
        output = price(call.model, Usage(0, MILLION))
        if output is not None and price(call.model, Usage(MILLION, 0)) is not None:
            return _Rates(lambda tokens: price(call.model, Usage(tokens, 0)) or 0, -(-output // MILLION))
    if facts is None or not facts.priced:
        return None
    return _Rates(facts.input_cost, facts.per_output_nano)


def _output_wanted(
    run: Run,
    call: ModelCall,
    facts: ModelFacts | None,
    rates: _Rates | None,
    levels: list[tuple[Limits, Amounts]],
) -> int:
    maximum, _ = model_maximum(run, facts)
    wanted = maximum if call.max_output is None else min(call.max_output, maximum)
    per_output = rates.per_output if rates is not None else 0
    for limits, spent in levels:
        for limit, settled, price in (
            (limits.tokens, spent.tokens, 1),
            (limits.nano_usd, spent.nano_usd, per_output),
        ):
            if limit is None or not price:
                continue
            share = max(0, limit - settled) // (OUTPUT_SHARE * price * call.choices * call.requests)
            wanted = min(wanted, max(share, OUTPUT_FLOOR))
    return wanted


def _cap_to_send(run: Run, call: ModelCall, facts: ModelFacts | None, granted: int) -> int | None:
    maximum, _ = model_maximum(run, facts)
    own = maximum if call.max_output is None else call.max_output
    return granted if granted < min(own, maximum) else None


def refused_by(scope: StepScope | None, refusal: Refusal) -> StepScope | None:
    """The activation whose own budget refused; `None` where it was the run's or a group's."""
    if scope is None:
        return None
    return next((bound for bound in scope.binding() if bound.account is refusal.account), None)


def refusal_error(run: Run, call: Call, refusal: Refusal, scope: StepScope | None) -> BudgetExceeded:
    """Say what was spent, held by others, asked for and allowed, apart, and what raises the limit."""
    unit = refusal.unit
    if refusal.asked < 0:
        model = getattr(call, "model", "")
        return BudgetExceeded(
            f"Run {run.id} or what it is paid from has a limit in USD, and the price of model {model!r} is unknown: nothing was sent. "
            f'Add [models."{model}"] input_price = "…" and output_price = "…" (USD per million tokens) to '
            "mas-guard.toml, name its base model there, or set MAS_GUARD_UNKNOWN_PRICE to a price per million tokens.",
            unit=unit,
        )
    level, setting = "Run " + run.id, "MAS_GUARD_BUDGET__" + _SETTING[unit]
    bound = refused_by(scope, refusal)
    if bound is not None:
        level, setting = f"Agent {bound.agent!r} of run {run.id}", "MAS_GUARD_AGENT_BUDGET__" + _SETTING[unit]
    for group in run.groups:
        if refusal.account is group.account:
            level, setting = f"Group {group.name!r}", f"group({group.name!r}, {_GROUP_SETTING[unit]}=…)"
    raised_by = f"Raise {setting} or split the run.{_chat_hint(run)}"
    fields: dict[str, Any] = {}
    window = refusing_window(run, refusal)
    if window is not None:
        level, setting = level_of(window), setting_of(window, unit)
        raised_by = f"It begins anew at {begins_anew(window)}; raise {setting} to go on sooner."
        fields = {"window": window.settings.name, "begins_anew": window.period.end}
    share = getattr(run.owner_share(), unit) if refusal.account is run.account and run.stop is None else 0
    kept = f" ({figure(unit, share)} more are kept for the owner)" if share else ""
    return BudgetExceeded(
        f"{level}: {figure(unit, refusal.settled)} spent, {figure(unit, refusal.held)} held by calls under "
        f"way, {figure(unit, refusal.asked)} asked for, limit {figure(unit, refusal.limit)} {NAME[unit]}{kept}. "
        + raised_by,
        unit="usd" if unit == "nano_usd" else unit,
        used=refusal.settled,
        held=refusal.held,
        asked=refusal.asked,
        limit=refusal.limit,
        **fields,
    )


def _chat_hint(run: Run) -> str:
    if not run.took_input:
        return ""
    return (
        " The run was resumed with a human's input: where each of these is a message of a chat, set "
        "MAS_GUARD_RESUME=new_run, which gives each its own limits."
    )


_SETTING = {"tokens": "TOKENS", "model_calls": "MODEL_CALLS", "tool_calls": "TOOL_CALLS", "nano_usd": "USD"}
_GROUP_SETTING = {
    "tokens": "tokens",
    "model_calls": "model_calls",
    "tool_calls": "tool_calls",
    "nano_usd": "usd",
}
