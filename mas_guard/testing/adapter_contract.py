"""What every adapter must hold, as tests. An adapter supplies apps and a way to run them; the promises are the same.

    class TestMyAdapter(AdapterContract):
        def looping_app(self, url): ...
        ...

The apps are a user's: they know nothing of the guard and talk to the local model server at *url*.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import mas_guard
from mas_guard.reviews import Desk
from mas_guard.testing import ModelServer, Reply, Request, call, text

ANSWER = "This is what is known so far; the rest is still open."
WORKER = "You are the worker."
DOUBT = '\n<<envelope {"status": "success", "confidence": 0.4, "reason": "one source only"}>>'
HOP_CAP = 12
REFUSAL = Reply(refusal="I cannot.")


def hands_on_for_ever(request: Request) -> Reply:
    """Every agent passes control on, until it may not choose a tool any more."""
    if not request.tool_names or request.body.get("tool_choice") == "none":
        return text(ANSWER)
    return call(request.tool_names[0])


def hands_on_once(request: Request) -> Reply:
    """The first agent passes control on and says nothing with it, unless it is refused."""
    return call(request.tool_names[0]) if request.index == 0 else text(ANSWER)


def doubtful(request: Request) -> Reply:
    """An answer with its envelope where one is asked for."""
    return text(ANSWER + DOUBT if "<<envelope" in str(request.body) else ANSWER)


def is_workers(request: Request) -> bool:
    """True where the worker of the delegating app asks its model."""
    return WORKER in request.system


def delegates(worker: Callable[[Request], Reply], times: int = 1) -> Callable[[Request], Reply]:
    """The front asks its worker the same thing up to so many times, or something else where it is told to; then it
    answers."""

    def script(request: Request) -> Reply:
        if is_workers(request):
            return worker(request)
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        if len(results) >= times or (results and results[-1] == "done"):
            return text(ANSWER)
        return call("ask", input="plan B" if results and "not delegated again" in results[-1] else "plan A")

    return script


class AdapterContract(ABC):
    """One suite over every adapter. Apps take their task as a text and give one back.

    Attributes:
        polls: How often a tool may give the same result before the framework itself ends the run.
    """

    polls = 20

    @abstractmethod
    def looping_app(self, url: str) -> Any:
        """Three agents, the first of which is the entry; each has one tool: handing on to the next."""

    @abstractmethod
    def answering_app(self, url: str) -> Any:
        """One agent that asks its model once and answers."""

    @abstractmethod
    def fan_out_app(self, url: str, width: int) -> Any:
        """*width* model calls at once, as `fan_out_reply` asks for them where the entry has a model itself."""

    def fan_out_reply(self, request: Request, width: int) -> Reply:
        """What the model server answers to a request of the fan-out app."""
        return text("done")

    @abstractmethod
    def tool_app(self, url: str) -> Any:
        """One agent with a tool `look_up(page)` that answers `nothing new` whatever the page."""

    @abstractmethod
    def delegating_app(self, url: str) -> Any:
        """One agent with a tool `ask(input)` that puts the input to another agent, `worker`, whose instructions are
        `WORKER`, and gives its answer back."""

    def asked_of(self, request: Request) -> str:
        """What the delegating app's worker was asked, where its framework puts more around it."""
        return str(request.last_text)

    @abstractmethod
    def run(self, app: Any, task: str) -> str:
        """Run *app* on *task* and return its answer."""

    @abstractmethod
    async def run_async(self, app: Any, task: str) -> str:
        """Run *app* on an event loop."""

    @abstractmethod
    def bodies_differ_by(self) -> frozenset[str]:
        """Top-level request fields that differ between two runs of the bare app (ids, say); usually none."""

    @pytest.fixture(autouse=True)
    def unguarded_process(self) -> Iterator[None]:
        """Start and end unguarded."""
        mas_guard.uninstrument()
        yield
        mas_guard.uninstrument()

    # -- it stops -----------------------------------------------------------------------------------

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
    def test_a_handoff_loop_ends_with_the_owners_answer(self, asynchronous: bool) -> None:
        """Twelve hops, one concluding call, a normal result."""
        with ModelServer(hands_on_for_ever) as server:
            app = mas_guard.wrap(self.looping_app(server.url))
            answer = asyncio.run(self.run_async(app, "settle it")) if asynchronous else self.run(app, "settle it")
            assert server.count == HOP_CAP + 2
        outcome = mas_guard.last_outcome()
        assert answer == ANSWER
        if not asynchronous:  # an event loop of its own has a context of its own
            assert outcome is not None
            assert (outcome.status, outcome.rule, outcome.hops) == ("partial", "hops", HOP_CAP)

    def test_with_abort_the_boundary_raises_the_rules_own_error(self) -> None:
        """`ON_LIMIT=abort` sends no concluding call."""
        with ModelServer(hands_on_for_ever) as server:
            app = mas_guard.wrap(self.looping_app(server.url), on_limit="abort")
            with pytest.raises(mas_guard.HopLimitExceeded) as caught:
                self.run(app, "settle it")
            assert server.count == HOP_CAP + 1
        assert caught.value.outcome.status == "aborted"

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
    def test_a_budget_of_calls_holds_under_fan_out(self, asynchronous: bool) -> None:
        """The server sees exactly as many calls as the budget has."""
        with ModelServer(lambda request: self.fan_out_reply(request, 50)) as server:
            app = mas_guard.wrap(self.fan_out_app(server.url, 50), budget={"model_calls": 8}, on_limit="abort")
            with pytest.raises(mas_guard.BudgetExceeded):
                if asynchronous:
                    asyncio.run(self.run_async(app, "fifty parts"))
                else:
                    self.run(app, "fifty parts")
            assert server.count == 8

    def test_a_stop_leaves_nothing_held(self) -> None:
        """What was reserved is settled or given back."""
        with ModelServer(lambda request: self.fan_out_reply(request, 20)) as server:
            app = mas_guard.wrap(self.fan_out_app(server.url, 20), budget={"model_calls": 8}, on_limit="abort")
            with pytest.raises(mas_guard.BudgetExceeded) as caught:
                self.run(app, "twenty parts")
        run = caught.value.run
        assert not any(run.ledger.read(run.account).held)
        assert caught.value.outcome.spent.model_calls == 8

    def test_the_same_call_with_the_same_result_is_redirected_then_blocked_then_stopped(self) -> None:
        """Redirect at 3, block at 4, stop at 6."""
        with ModelServer(lambda request: call("look_up", page=1) if request.tool_names else text(ANSWER)) as server:
            app = mas_guard.wrap(self.tool_app(server.url))
            with pytest.raises(mas_guard.RepetitionDetected):
                self.run(app, "look it up")
            told = [request.last_text for request in server.requests]
        assert told[1] == told[2] == "nothing new"
        assert "Do not repeat it" in told[3]
        assert told[4].startswith("blocked") and told[5].startswith("blocked")
        assert len(told) == 6

    def test_a_polling_tool_has_its_allowance(self) -> None:
        """`[tools.NAME] repeat` lets equal results pass."""

        def script(request: Request) -> Reply:
            return call("look_up", page=1) if request.index < self.polls else text(ANSWER)

        with ModelServer(script) as server:
            app = mas_guard.wrap(self.tool_app(server.url), tools={"look_up": {"repeat": 50}})
            assert self.run(app, "wait for it") == ANSWER
            assert server.count == self.polls + 1

    # -- its agents know what the others' outputs are worth ------------------------------------------

    def test_a_worker_that_was_cut_off_is_told_to_whoever_asked_it(self) -> None:
        """At the model seam: the answer is the app's own."""
        script = delegates(lambda request: text("The harbour was", finish_reason="length"))
        with ModelServer(script) as server:
            assert self.run(mas_guard.wrap(self.delegating_app(server.url)), "report") == ANSWER
            told = ["'worker' has the status" in str(request.body) for request in server.requests]
        assert told == [False, False, True]
        outcome = mas_guard.last_outcome()
        assert outcome is not None
        assert (outcome.status, outcome.rule) == ("partial", "envelope")
        assert outcome.envelopes["worker"].status in ("partial", "failed")

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
    def test_envelopes_that_are_required_leave_the_answer_as_it_was(self, asynchronous: bool) -> None:
        """Asked for, taken off, and no call more where the model gives them."""
        with ModelServer(doubtful) as server:
            app = mas_guard.wrap(self.answering_app(server.url), envelopes="require")
            answer = asyncio.run(self.run_async(app, "hello")) if asynchronous else self.run(app, "hello")
            assert server.count == 1
            assert "<<envelope" in str(server.requests[0].body)
        assert answer == ANSWER

    def test_a_handoff_that_carries_nothing_is_refused_where_packets_are_required(self) -> None:
        """The sender is told what is missing, and goes on."""
        with ModelServer(hands_on_once) as server:
            assert self.run(mas_guard.wrap(self.looping_app(server.url), handoffs="require"), "settle it") == ANSWER
            assert server.count == 2
            told = str(server.requests[1].body)
        assert "not transferred: say before you hand over" in told and "what is known so far" in told
        outcome = mas_guard.last_outcome()
        assert outcome is not None
        assert (outcome.status, outcome.hops) == ("completed", 0)

    def test_what_a_handoff_lacks_is_shown_to_its_receiver_where_packets_are_completed(self) -> None:
        """The run's own task, and what to do where it fails."""
        with ModelServer(hands_on_once) as server:
            app = mas_guard.wrap(self.looping_app(server.url), handoffs="complete", handoff_on_failure="tell alice")
            assert self.run(app, "settle invoice 1042") == ANSWER
            first, second = (str(request.body) for request in server.requests[:2])
        _, packet = second.split("You have been handed this task")
        assert "settle invoice 1042" in packet and "tell alice" in packet
        assert "mas-guard" not in first

    def test_a_delegation_that_failed_is_not_repeated_and_a_changed_one_passes(self) -> None:
        """Re-plan, not retry."""
        script = delegates(lambda request: text("done") if "plan B" in str(request.body) else REFUSAL, times=5)
        with ModelServer(script) as server:
            assert self.run(mas_guard.wrap(self.delegating_app(server.url)), "report") == ANSWER
            asked = [self.asked_of(request) for request in server.requests if is_workers(request)]
        assert asked == ["plan A", "plan B"]

    # -- its result is judged before it leaves -------------------------------------------------------

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
    def test_a_result_that_a_validator_rejects_does_not_leave(self, asynchronous: bool) -> None:
        """The validator sees the answer; the boundary raises."""

        @mas_guard.validator
        def check(envelope: mas_guard.Envelope, run: Any) -> str | None:
            return "no source is named" if envelope.result == ANSWER else None

        try:
            with ModelServer(lambda request: text(ANSWER)) as server:
                app = mas_guard.wrap(self.answering_app(server.url))
                with pytest.raises(mas_guard.ResultRejected, match="no source is named") as caught:
                    asyncio.run(self.run_async(app, "hello")) if asynchronous else self.run(app, "hello")
        finally:
            mas_guard.unregister(check)
        assert caught.value.outcome.status == "aborted"

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
    def test_a_doubtful_result_is_put_to_a_person_and_nobody_waits(self, asynchronous: bool) -> None:
        """The stop names the review; what is decided can be asked for."""
        settings = {"channel": "queue", "fallback": "We will come back to you."}
        with ModelServer(doubtful) as server:
            app = mas_guard.wrap(self.answering_app(server.url), envelopes="require", review=settings)
            with pytest.raises(mas_guard.EscalationRequired) as caught:
                asyncio.run(self.run_async(app, "hello")) if asynchronous else self.run(app, "hello")
        assert caught.value.outcome.status == "escalated"
        assert mas_guard.reviewed(caught.value.review, review=settings) is None
        Desk(mas_guard.load_policy({"review": settings})).reject(caught.value.review, by="anna")
        assert mas_guard.reviewed(caught.value.review, review=settings).result == "We will come back to you."

    # -- it stays out of the way --------------------------------------------------------------------

    def test_under_the_defaults_the_requests_equal_the_bare_apps(self) -> None:
        """Nothing is added to, or taken from, what the app sends."""
        assert self._bodies() == self._bodies(guarded=True)

    def test_observe_mode_takes_no_action_and_records_what_enforce_would_have_done(self) -> None:
        """The same requests, the same end."""
        with ModelServer(hands_on_for_ever, max_requests=30) as server:
            with suppress(Exception):
                self.run(self.looping_app(server.url), "settle it")
            bare = [self._comparable(request.body) for request in server.requests]
        events: list[Any] = []

        class Listener:
            @mas_guard.hookimpl
            def mas_guard_on_event(self, event: Any) -> None:
                events.append(event)

        listener = Listener()
        mas_guard.register(listener)
        try:
            with ModelServer(hands_on_for_ever, max_requests=30) as server:
                with suppress(Exception):
                    self.run(mas_guard.wrap(self.looping_app(server.url), mode="observe"), "settle it")
                observed = [self._comparable(request.body) for request in server.requests]
        finally:
            mas_guard.unregister(listener)
        assert len(observed) == len(bare)
        stops = [event["rule"] for event in events if event["event"] == "would_stop"]
        # A framework that tries again when the server gives up meets the budget as well.
        assert stops[0] == "hops" and set(stops) <= {"hops", "budget"}

    def test_in_observe_mode_no_envelope_is_asked_for(self) -> None:
        """The same requests, and no more of them, also where envelopes are required."""
        observed = self._bodies(guarded=True, mode="observe", envelopes="require", handoffs="require")
        assert observed == self._bodies()

    def test_with_mode_off_nothing_is_patched(self) -> None:
        """The very same object comes back."""
        with ModelServer(lambda request: text("done")) as server:
            app = self.answering_app(server.url)
            assert mas_guard.wrap(app, mode="off") is app

    def test_a_rule_that_raises_leaves_the_app_running(self) -> None:
        """A plugin's fault is logged, not passed on."""

        class Broken:
            @mas_guard.hookimpl
            def mas_guard_before_call(self, call: Any, run: Any) -> None:
                raise ZeroDivisionError("a bug in a rule")

        broken = Broken()
        mas_guard.register(broken)
        try:
            with ModelServer(lambda request: text("done")) as server:
                assert self.run(mas_guard.wrap(self.answering_app(server.url)), "hello") == "done"
        finally:
            mas_guard.unregister(broken)
        assert mas_guard.status()["internal_errors"] > 0

    def test_uninstrument_leaves_the_process_as_it_was(self) -> None:
        """After it, the wrapped app runs bare."""
        with ModelServer(hands_on_for_ever, max_requests=20) as server:
            app = mas_guard.wrap(self.looping_app(server.url))
            assert mas_guard.uninstrument() == []
            with suppress(Exception):
                self.run(app, "settle it")
            assert server.count > HOP_CAP + 2

    def test_many_runs_in_one_group_share_its_budget(self) -> None:
        """When it is gone, a run that has not begun is refused before its first call."""
        with ModelServer(lambda request: text("done")) as server:
            app = mas_guard.wrap(self.answering_app(server.url))
            with mas_guard.group("nightly", model_calls=3) as group:
                for _ in range(5):
                    with suppress(mas_guard.BudgetExceeded):
                        self.run(app, "hello")
            assert server.count == 3
        assert [outcome.status for outcome in group.outcomes] == ["completed"] * 3 + ["aborted"] * 2

    def test_a_user_message_is_a_new_run_with_new_limits(self) -> None:
        """A stop in one latches nothing for the next."""
        with ModelServer(hands_on_for_ever) as server:
            app = mas_guard.wrap(self.looping_app(server.url), max_hops=2)
            assert [self.run(app, "settle it") for _ in range(3)] == [ANSWER] * 3
            assert server.count == 3 * 4

    def _bodies(self, *, guarded: bool = False, **settings: Any) -> list[Any]:
        with ModelServer(lambda request: text("done")) as server:
            app = self.answering_app(server.url)
            self.run(mas_guard.wrap(app, **settings) if guarded else app, "hello")
            return [self._comparable(request.body) for request in server.requests]

    def _comparable(self, body: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in body.items() if key not in self.bodies_differ_by()}
