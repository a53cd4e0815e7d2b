"""The same promises through the drivers that apps use: tasks of asyncio, cancelled at any of their awaits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from mas_guard._boundary import run_flow
from mas_guard._drivers import drive_async, drive_stream_async
from mas_guard._effects import Answer
from mas_guard._flow import call_flow, handoff_flow, step_flow
from mas_guard._live_call import attempt, live_call
from mas_guard._run import Run
from mas_guard._step_scope import StepScope, current_step
from mas_guard.errors import GuardStopped
from mas_guard.types import Amounts, CallOutcome, Handoff, Step, Usage
from tests.simulation.scheduler import AppError
from tests.simulation.world import AGENTS, OWNER, World

FAULTS = (GuardStopped, AppError, TimeoutError)


class _Chunks:
    """Reads a stream whose last chunk is the outcome."""

    def __init__(self) -> None:
        self._last = CallOutcome()

    def add(self, chunk: Any) -> bool:
        if isinstance(chunk, CallOutcome):
            self._last = chunk
        return True

    def outcome(self) -> CallOutcome:
        return self._last


class AsyncioApp:
    """What all runs of one world do, as tasks of one event loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.errors = world.engine.plugins.errors
        self.tasks: list[asyncio.Task[Any]] = []

    async def run(self) -> None:
        """Start every run at once, cancel here and there, and wait for whoever is left."""
        for run in self.world.runs:
            self._spawn(self._boundary(run))
        cancelling = asyncio.create_task(self._cancel_here_and_there())
        done = 0
        while done < len(self.tasks):
            done = len(self.tasks)
            await asyncio.gather(*self.tasks, return_exceptions=True)
        cancelling.cancel()
        for task in self.tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, FAULTS):
                raise error
        self.world.books.check_at_the_end()

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    async def _cancel_here_and_there(self) -> None:
        """After so many turns of the loop, or so many seconds, somebody is cancelled where it stands."""
        while True:
            if self.random.random() < 0.5:
                for _ in range(self.random.randint(1, 40)):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(self.random.uniform(0.1, 6))
            # A task that never ran has no run to end yet; the first turn of the loop starts them all.
            going = [task for task in self.tasks if not task.done()]
            if going and self.random.random() < 0.4:
                self.random.choice(going).cancel()

    # -- a run -----------------------------------------------------------------------------------------

    async def _boundary(self, run: Run) -> None:
        await drive_async(run_flow(run), lambda: self._work(run), lambda _: CallOutcome(), self.errors)

    async def _work(self, run: Run) -> None:
        active = OWNER
        for _ in range(self.random.randint(1, 6)):
            with suppress(*FAULTS):
                await self._step(run, active, lambda agent=active: self._act(run, agent))  # type: ignore[misc]
            if run.stop is not None:
                break
            target = self.random.choice(AGENTS)
            if target != active and await self._hand_on(run, active, target):
                active = target
        stop = run.stop
        if stop is not None:
            if stop.action == "owner" and run.owner_can_answer and stop.begin_conclusion():
                await asyncio.sleep(0.1)
                with suppress(*FAULTS):
                    await self._step(run, run.owner, lambda: self._ask(run, run.owner))
                if stop.phase in ("concluding", "asked"):
                    stop.next_action("the owner's turn ended without an answer")
            if stop.action == "abort":
                raise run.raised()

    async def _hand_on(self, run: Run, source: str, target: str) -> bool:
        async def done() -> None:
            self.world.books.hops[run.id] += 1
            await asyncio.sleep(0)

        flow = handoff_flow(run, Handoff(source, (target,), known_targets=frozenset(AGENTS)))
        answer = await drive_async(flow, done, lambda _: CallOutcome(), self.errors)
        return not isinstance(answer, Answer)

    async def _step(self, run: Run, agent: str, act: Callable[[], Awaitable[Any]]) -> None:
        scope = StepScope(run, agent, outer=current_step.get())
        await drive_async(step_flow(run, Step(agent), scope), act, lambda _: CallOutcome(), self.errors)

    async def _act(self, run: Run, agent: str) -> None:
        for _ in range(self.random.randint(1, 3)):
            doing = self.random.choice(("ask", "stream", "use", "fan out", "fan out", "leave behind"))
            try:
                if doing == "fan out":
                    async with asyncio.TaskGroup() as group:
                        for _ in range(self.random.randint(2, 8)):
                            work = self.random.choice((self._ask, self._stream, self._use))
                            group.create_task(self._quietly(work(run, agent)))
                elif doing == "leave behind":
                    self._spawn(self._act(run, agent))
                else:
                    await {"ask": self._ask, "stream": self._stream, "use": self._use}[doing](run, agent)
            except FAULTS:
                if self.random.random() < 0.5:
                    raise

    @staticmethod
    async def _quietly(work: Awaitable[Any]) -> None:
        with suppress(*FAULTS):
            await work

    # -- calls -----------------------------------------------------------------------------------------

    async def _ask(self, run: Run, agent: str) -> Any:
        call = self.world.model_call(agent)
        bound = call.input_bound
        return await drive_async(call_flow(run, call), lambda: self._model(bound), lambda reply: reply, self.errors)

    async def _stream(self, run: Run, agent: str) -> None:
        call = self.world.model_call(agent)
        bound = call.input_bound
        chunks = drive_stream_async(call_flow(run, call), lambda: self._chunks(bound), _Chunks(), self.errors)
        patience = self.random.choice((1, 2, 100, 100))  # some readers leave early
        try:
            async for _ in chunks:
                patience -= 1
                if not patience:
                    break
                await asyncio.sleep(self.random.choice((0, 0.2)))
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]

    async def _use(self, run: Run, agent: str) -> Any:
        async def tool() -> CallOutcome:
            live = live_call.get()
            assert live is not None
            self.world.books.send(live)
            self.world.books.bill(live, None, Amounts(tool_calls=1))
            await asyncio.sleep(self.random.choice((0, 0.5)))
            if self.random.random() < 0.3:
                await self._ask(run, agent)
            return CallOutcome("a page")

        call = self.world.tool_call(agent)
        return await drive_async(call_flow(run, call), tool, lambda reply: reply, self.errors)

    async def _chunks(self, bound: int) -> AsyncIterator[Any]:
        usage, billed = self._sent(bound)
        live = live_call.get()
        try:
            for _ in range(self.random.randint(1, 4)):
                await asyncio.sleep(self.random.choice((0, 0.3, 2)))
                yield "a word"
        except BaseException:
            self.world.books.bill(live, None, billed)  # type: ignore[arg-type]
            raise
        self.world.books.bill(live, usage, billed)  # type: ignore[arg-type]
        yield self._reply(live, usage)

    async def _model(self, bound: int) -> CallOutcome:
        usage, billed = self._sent(bound)
        live = live_call.get()
        assert live is not None
        try:
            for _ in range(self.random.randint(0, 4)):
                await asyncio.sleep(self.random.choice((0, 0.3, 2)))
            if self.random.random() < 0.1:
                raise AppError(self.random.choice((None, 500)))
        except BaseException as error:
            refused = getattr(error, "status_code", None) is not None
            self.world.books.bill(live, Usage(0, 0) if refused else None, Amounts() if refused else billed)
            raise
        self.world.books.bill(live, usage, billed)
        return self._reply(live, usage)

    def _sent(self, bound: int) -> tuple[Usage, Amounts]:
        live = live_call.get()
        assert live is not None
        books, random, call = self.world.books, self.random, live.call
        books.send(live)
        for _ in range(call.requests):  # type: ignore[union-attr]
            attempt(live)
        most_in, most_out = books.largest_input(call, bound), books.largest_output(call, live.run)  # type: ignore[arg-type]
        usage = Usage(random.choice((most_in, random.randint(0, most_in))), random.choice((most_out, most_out // 3)))
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        return usage, Amounts(tokens, 0, 0, books.price(live.run, call, usage))

    def _reply(self, live: Any, usage: Usage) -> CallOutcome:
        if live.call.concluding:
            return CallOutcome(self.random.choice(("the owner's conclusion", "", "ABORT: no use")), (), usage)
        return CallOutcome(f"reply {self.random.randint(0, 9)}", (), usage)
