"""The app of a simulation: agents that call models and tools, fan out, nest, hand on, swallow errors, and conclude."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mas_guard._boundary import run_flow
from mas_guard._effects import Answer
from mas_guard._flow import call_flow, handoff_flow, step_flow
from mas_guard._live_call import attempt, live_call, lost_attempt
from mas_guard._run import Run
from mas_guard._step_scope import StepScope, current_step
from mas_guard._time_left import check_time
from mas_guard.errors import GuardStopped
from mas_guard.types import Amounts, CallOutcome, Handoff, Step, ToolCall, Usage
from tests.simulation.driving import Sending, guarded
from tests.simulation.scheduler import AppError, Joining, Pause, Scheduler
from tests.simulation.world import AGENTS, OWNER, World

Body = Generator[Any, Any, Any]
CONCLUSIONS = ("the owner's conclusion", "the owner's conclusion", "", "ABORT: no use", "calls a tool")


class App:
    """What all runs of one world do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.scheduler = Scheduler(world)
        self._unanswered: set[Any] = set()

    def run(self) -> None:
        """Start every run at once and go on to the end."""
        for run in self.world.runs:
            self.scheduler.spawn(self.boundary(run))
        self.scheduler.run()

    # -- a run -----------------------------------------------------------------------------------------

    def boundary(self, run: Run) -> Body:
        flow = run_flow(run, state=lambda: "the state so far")
        yield from guarded(self.world, flow, lambda: self._work(run))

    def _work(self, run: Run) -> Sending:
        active = OWNER if self.random.random() < 0.7 else self.random.choice(AGENTS)
        for _ in range(self.random.randint(1, 10)):
            try:
                yield from self.step(run, active)
            except GuardStopped as stop:
                if run.stop is None:  # the agent's own budget
                    run.envelopes.settle_stop(run, active, stop)
            except (AppError, TimeoutError):
                if self.random.random() < 0.2:
                    raise
            if run.stop is not None:
                break
            target = self.random.choice(AGENTS)
            if target != active and (yield from self._hand_on(run, active, target)):
                active = target
        stop_now = run.stop
        if stop_now is not None:
            yield from self._conclude(run)
            if stop_now.action == "abort":
                raise run.raised()
        return CallOutcome("the app's result")

    def _hand_on(self, run: Run, source: str, target: str) -> Generator[Any, Any, bool]:
        def done() -> Sending:
            if kind == "transfer":
                self.world.books.hops[run.id] += 1
            yield Pause()
            return CallOutcome()

        kind = self.random.choice(("transfer", "transfer", "transfer", "return", "sequence"))
        flow = handoff_flow(run, Handoff(source, (target,), kind, frozenset(AGENTS[:3])))
        answer = yield from guarded(self.world, flow, done)
        return not isinstance(answer, Answer)

    def _conclude(self, run: Run) -> Body:
        stop = run.stop
        assert stop is not None
        if stop.action != "owner" or not run.owner_can_answer or not stop.begin_conclusion():
            return
        yield Pause()
        try:
            yield from self._in_step(run, run.owner, lambda: self._ask(run, run.owner))
            if self.random.random() < 0.3:  # disobedient: it asks again
                yield from self._in_step(run, run.owner, lambda: self._ask(run, run.owner))
        except (GuardStopped, AppError):
            pass
        if stop.phase in ("concluding", "asked"):
            stop.next_action("the owner's turn ended without an answer")

    # -- an agent --------------------------------------------------------------------------------------

    def step(self, run: Run, agent: str) -> Body:
        yield from self._in_step(run, agent, lambda: self._act(run, agent))

    def _in_step(self, run: Run, agent: str, act: Any) -> Body:
        scope = StepScope(run, agent, outer=current_step.get())
        if self.random.random() < 0.1:
            scope.start_clock(self.random.uniform(0.5, 5))

        def send() -> Sending:
            yield from act()
            return CallOutcome("what the agent gave")

        yield from guarded(self.world, step_flow(run, Step(agent), scope), send)

    def _act(self, run: Run, agent: str) -> Body:
        for _ in range(self.random.randint(1, 4)):
            doing = self.random.choice(("ask", "use", "use", "fan out", "fan out", "delegate", "leave behind"))
            try:
                if doing == "ask":
                    yield from self._ask(run, agent)
                elif doing == "use":
                    yield from self._use(run, agent)
                elif doing == "delegate":
                    yield from self.step(run, self.random.choice(AGENTS))
                elif doing == "leave behind":
                    self.scheduler.spawn(self._act(run, agent))
                else:
                    yield from self._fan_out(run, agent)
            except Exception as error:
                # `except Exception: pass` in the app's code: the stop must hold all the same.
                if self.random.random() < 0.5:
                    raise
                assert isinstance(error, GuardStopped | AppError | TimeoutError), error
            yield Pause()

    def _fan_out(self, run: Run, agent: str) -> Body:
        children = [
            self.scheduler.spawn(self.random.choice((self._ask, self._use))(run, agent))
            for _ in range(self.random.randint(2, 8))
        ]
        yield Joining(children)

    # -- calls -----------------------------------------------------------------------------------------

    def _ask(self, run: Run, agent: str) -> Body:
        call = self.world.model_call(agent)
        bound = call.input_bound
        kind = self.random.choice(("sync", "async", "stream"))
        may_wait = self.random.random() < 0.8
        return (
            yield from guarded(self.world, call_flow(run, call), lambda: self._model(bound), kind, may_wait=may_wait)
        )

    def _use(self, run: Run, agent: str) -> Body:
        call = self.world.tool_call(agent)
        kind = self.random.choice(("sync", "async"))
        return (yield from guarded(self.world, call_flow(run, call), lambda: self._tool(run, agent), kind))

    def _tool(self, run: Run, agent: str) -> Sending:
        live = live_call.get()
        assert live is not None and isinstance(live.call, ToolCall)
        books = self.world.books
        books.send(live)
        books.bill(live, None, Amounts(tool_calls=1))
        for _ in range(self.random.randint(0, 2)):
            yield Pause()
        if self.random.random() < 0.3:
            yield from self._ask(run, agent)  # nested: it must not wait for what it is inside of
        if self.random.random() < 0.1:
            raise AppError
        return CallOutcome(f"page {self.random.choice((0, 0, 0, 0, 1))}")

    def _model(self, bound: int) -> Sending:
        """The scripted provider: a reply within the caps, a fault, or nothing known."""
        live = live_call.get()
        assert live is not None
        books, random, call = self.world.books, self.random, live.call
        books.send(live)
        most_in, most_out = books.largest_input(call, bound), books.largest_output(call, live.run)
        usage = Usage(random.choice((most_in, random.randint(0, most_in))), random.choice((most_out, 0, most_out // 3)))
        if not self.world.provider_keeps_caps and random.random() < 0.3:
            usage = Usage(most_in * 3, most_out * 2)
        billed = Amounts(
            (usage.input_tokens or 0) + (usage.output_tokens or 0), 0, 0, books.price(live.run, call, usage)
        )
        try:
            for _ in range(call.requests):
                attempt(live)
            for _ in range(random.randint(0, 4)):
                yield Pause()
            if random.random() < 0.05:  # made while this one's stream is open: it must not wait for its hold
                yield from self._ask(live.run, call.agent)
            while random.random() < 0.1:
                self._retry(live)
                yield Pause()
            dice = random.random()
            if dice < 0.08:
                raise AppError(random.choice((None, 429, 500)))
            if dice < 0.12:
                raise TimeoutError
        except BaseException as error:
            refused = getattr(error, "status_code", None) is not None or (
                isinstance(error, GuardStopped) and error.rule != "deadline" and live not in self._unanswered
            )
            books.bill(live, Usage(0, 0) if refused else None, Amounts() if refused else billed)
            raise
        if dice < 0.17:
            books.bill(live, None, billed)
            return CallOutcome("a reply without usage")
        books.bill(live, usage, billed)
        if call.concluding:
            text = random.choice(CONCLUSIONS)
            if text == "calls a tool":
                return CallOutcome("", ("fetch",), usage)
            return CallOutcome(text, (), usage)
        return CallOutcome(f"reply {random.randint(0, 9)}", (), usage)

    def _retry(self, live: Any) -> None:
        """The client tries again by itself, after an attempt that the provider refused or never answered."""
        books, held = self.world.books, live.booking.amounts
        requests = live.call.requests
        if self.random.random() < 0.5:
            self._unanswered.add(live)
            lost_attempt(live)
            self._unanswered.discard(live)
            books.charge(live.run, Amounts(tokens=-(-held.tokens // requests), nano_usd=-(-held.nano_usd // requests)))
        check_time(live.run, current_step.get(), concluding=live.call.concluding)
        attempt(live)
        assert live.run.stop is None or live.call.concluding, "tried again after the latch"
        books.count_requests(live, 1)
        books.charge(live.run, Amounts(model_calls=1))
