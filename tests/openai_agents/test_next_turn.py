"""Wherever a run is stopped, the conversation takes the next message: every tool call in it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import RunHooks, Runner, SQLiteSession
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import mas_guard
from mas_guard._engine import Engine
from mas_guard.testing import ModelServer, Request
from mas_guard_openai_agents import _owed
from tests.openai_agents.apps import OWNER_ANSWER, QUESTION, model
from tests.openai_agents.more_apps import CONCLUSIONS, HERE, NEXT, SECONDS, Move, Play, Stage, Where, pair

HELD = ("conversation", "previous")  # the provider keeps the history


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


async def run(way: str, agent: Any, task: Any, **options: Any) -> Any:
    if way == "run":
        return await Runner.run(agent, task, **options)
    result = Runner.run_streamed(agent, task, **options)
    async for _ in result.stream_events():
        pass
    return result


class LastReply(RunHooks[Any]):
    """An app's own note of the reply to go on from."""

    reply: str | None = None

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.reply = response.response_id


class Talk:
    """Two messages of one conversation, kept in one of the ways that the SDK has."""

    def __init__(
        self,
        stage: Stage,
        play: Play,
        *,
        way: str,
        kept: str,
        on_limit: str,
        api: str = "chat",
        path: str = ":memory:",
        tool: Any = None,
    ) -> None:
        self.stage = stage
        self.play = play
        self.way = way
        self.kept = kept
        self.first: Any = None
        self.stop: Any = None
        self.outcomes: list[mas_guard.Outcome] = []
        self.before = stage.server.count
        self.session = SQLiteSession("7", path) if kept == "session" else None
        self.hooks = LastReply()
        self.between = lambda: None
        self.guard = mas_guard.Guard(engine=Engine(mas_guard.load_policy(), now=play.clock))
        self.guard.register(play)
        stage.script = play.script
        agent = pair(stage.model("responses" if kept in HELD else api), tool or play.look_up)
        self.agent = self.guard.wrap(agent, on_limit=on_limit, on_outcome=self.outcomes.append, **play.where.settings)

    async def both(self) -> None:
        """Send the first message, which is stopped somewhere, and then the next one."""
        options: dict[str, Any] = {"max_turns": self.play.where.number if self.play.where.kind == "turns" else 200}
        if self.session is not None:
            options["session"] = self.session
        elif self.kept == "conversation":
            options["conversation_id"] = (await self.stage.client.conversations.create()).id
        elif self.kept == "previous":
            options |= {"auto_previous_response_id": True, "hooks": self.hooks}
        try:
            self.first = await run(self.way, self.agent, QUESTION, **options)
        except Exception as error:
            self.stop = error
        self.play.over = True
        self.between()
        self.stopped_at = self.stage.server.count
        message: Any = NEXT
        if self.kept == "list":
            message = [*self.so_far(), {"role": "user", "content": NEXT}]
        elif self.kept == "previous":
            del options["auto_previous_response_id"]
            options["previous_response_id"] = (
                self.first.last_response_id if self.first is not None else self.hooks.reply
            )
        self.second = await run(self.way, self.agent, message, **{**options, "max_turns": 200})

    def first_requests(self) -> list[Request]:
        return self.stage.server.requests[self.before : self.stopped_at]

    def so_far(self) -> list[Any]:
        if self.first is not None:
            return list(self.first.to_input_list())
        return list(self.outcomes[0].partial)

    async def history(self) -> list[Any]:
        """The conversation after the second message, whoever keeps it."""
        if self.session is not None:
            return list(await self.session.get_items())
        if self.kept == "list":
            return list(self.second.to_input_list())
        requests = [r for r in self.stage.server.requests[self.before :] if r.index not in self.play.broken_off]
        if self.kept == "previous":
            requests = chained(requests)
        sent: list[Any] = []
        for request in requests:
            items = request.body["input"]
            sent += [{"role": "user", "content": items}] if isinstance(items, str) else items
        return sent

    def close(self) -> None:
        self.guard.uninstrument()
        if self.session is not None:
            self.session.close()


def chained(requests: list[Request]) -> list[Request]:
    """Those that led to the last one; a reply that the app never saw leads nowhere."""
    by_reply = {f"resp_{request.index}": request for request in requests}
    chain = [requests[-1]]
    while previous := chain[0].body.get("previous_response_id"):
        chain.insert(0, by_reply[previous])
    return chain


def check(talk: Talk, history: list[Any]) -> None:
    """The conversation is one that the provider takes, and holds what the first turn has learned."""
    play, (first, second) = talk.play, talk.outcomes
    assert (talk.second.final_output, second.status) == (HERE, "completed")
    assert first.run_id != second.run_id
    assert not any("[mas-guard]" in str(item) for item in history), "what the guard told a model is in the history"
    said = [item["content"] for item in history if item.get("role") == "user"]
    reached = any(request.index not in play.broken_off for request in talk.first_requests())
    assert said == ([QUESTION, NEXT] if reached or talk.kept not in HELD else [NEXT])
    outputs = [item for item in history if item.get("type") == "function_call_output"]
    answered = [item["call_id"] for item in outputs]
    assert len(answered) == len(set(answered)), "a call was answered twice"
    if talk.kept not in HELD:  # else the server has refused what is not answered
        assert {item["call_id"] for item in history if item.get("type") == "function_call"} == set(answered)
    results = [item["output"] for item in outputs]
    for order in play.ran:
        assert f"order {order}: nothing found" in results, "what a tool has found is lost"


def check_first(talk: Talk, on_limit: str) -> None:
    """The first turn ended as its settings say."""
    play, first = talk.play, talk.outcomes[0]
    if first.status == "completed":
        assert play.replies > len(play.moves), "the run was not stopped"
        return
    assert first.rule == play.where.rule
    concluding = [r for r in talk.first_requests() if r.body.get("tool_choice") == "none"]
    for request in concluding if talk.kept in HELD else ():
        assert "[mas-guard]" in request.body["instructions"]
    if on_limit == "owner,abort" and concluding and play.conclusion == "answers":
        assert (first.status, talk.first.final_output, talk.first.last_agent) == ("partial", OWNER_ANSWER, talk.agent)
    elif talk.first is None:
        assert isinstance(talk.stop, mas_guard.GuardStopped)
        assert (first.status, talk.stop.rule, talk.stop.outcome) == ("aborted", play.where.rule, first)
    else:
        assert (on_limit, first.status) == ("partial", "partial")


def play_out(
    stage: Stage, play: Play, *, way: str, kept: str, on_limit: str, api: str = "chat", path: str = ":memory:"
) -> Talk:
    play.takes = SECONDS * (0.95 if on_limit == "owner,abort" else 1)  # a share is kept for the owner
    talk = Talk(stage, play, api=api, way=way, kept=kept, on_limit=on_limit, path=path)
    try:
        stage.play(talk.both())
        check(talk, stage.play(talk.history()))
        check_first(talk, on_limit)
    finally:
        talk.close()
    return talk


WHERE = (
    Where("model_calls", 2),
    Where("tool_calls", 2),
    Where("tokens", 2),
    Where("hops", 1),
    Where("turns", 2),
    Where("model takes long", 2),
    Where("tool takes long", 2),
    Where("before model", 2),
    Where("before tool", 2),
    Where("before handoff", 1),
)
MOVES: tuple[Move, ...] = (("look", "look", "look"), ("say", "hand"), ("look", "look", "hand"), ("look",), ("hand",))


@pytest.mark.parametrize(
    ("way", "on_limit"),
    [("run", "owner,abort"), ("run_streamed", "owner,abort"), ("run_streamed", "abort"), ("run", "partial")],
)
@pytest.mark.parametrize("kept", ["session", "list", "conversation", "previous"])
@pytest.mark.parametrize("where", WHERE, ids=lambda where: where.kind)
def test_the_next_message_is_accepted(
    stage: Stage, tmp_path: Path, where: Where, kept: str, way: str, on_limit: str
) -> None:
    if where.kind == "turns" and on_limit != "owner,abort":
        pytest.skip("MaxTurnsExceeded is the app's own then")
    talk = play_out(stage, Play(where, MOVES), kept=kept, way=way, on_limit=on_limit, path=str(tmp_path / "s.sqlite"))
    assert talk.outcomes[0].status != "completed"


@pytest.mark.parametrize("kept", ["session", "list", "conversation", "previous"])
@pytest.mark.parametrize("way", ["run", "run_streamed"])
@pytest.mark.parametrize("conclusion", [how for how in CONCLUSIONS if how != "answers"])
def test_the_next_message_is_accepted_after_a_conclusion_that_failed(
    stage: Stage, conclusion: str, way: str, kept: str
) -> None:
    play = Play(Where("tool_calls", 2), MOVES, conclusion=conclusion)
    talk = play_out(stage, play, way=way, kept=kept, on_limit="owner,abort")
    assert (talk.outcomes[0].status, talk.stop.rule) == ("aborted", "budget")


PARTS = st.sampled_from(["look", "look", "hand", "say"])
ANY_MOVES = st.lists(
    st.lists(PARTS, min_size=1, max_size=4).map(tuple).filter(lambda move: set(move) != {"say"}), min_size=1, max_size=6
).map(tuple)
ANY_WHERE = st.builds(Where, st.sampled_from([where.kind for where in WHERE]), st.integers(1, 5))


GENERATED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
DRAWN = {
    "where": ANY_WHERE,
    "moves": ANY_MOVES,
    "conclusion": st.sampled_from(list(CONCLUSIONS)),
    "way": st.sampled_from(["run", "run_streamed"]),
    "on_limit": st.sampled_from(["owner,abort", "abort", "partial"]),
}


@GENERATED
@given(kept=st.sampled_from(["session", "list"]), api=st.sampled_from(["chat", "responses"]), **DRAWN)
def test_whatever_was_going_on_the_next_message_is_accepted(
    stage: Stage, where: Where, moves: tuple[Move, ...], conclusion: str, **how: Any
) -> None:
    assume(where.kind != "turns" or how["on_limit"] == "owner,abort")  # else MaxTurnsExceeded is the app's own
    play_out(stage, Play(where, moves, conclusion=conclusion), **how)


@GENERATED
@given(kept=st.sampled_from(HELD), **DRAWN)
def test_whatever_was_going_on_the_provider_that_keeps_the_history_accepts_the_next_message(
    stage: Stage, where: Where, moves: tuple[Move, ...], conclusion: str, **how: Any
) -> None:
    assume(where.kind != "turns" or how["on_limit"] == "owner,abort")
    play_out(stage, Play(where, moves, conclusion=conclusion), **how)


@pytest.mark.parametrize("on_limit", ["owner,abort", "abort"])
@pytest.mark.parametrize("way", ["run", "run_streamed"])
def test_tools_that_are_cut_at_the_deadline_are_answered_and_finished_ones_keep_their_result(
    stage: Stage, way: str, on_limit: str
) -> None:
    play = Play(Where("tool takes long", 99), (("look",), ("look", "look", "look")))
    share = 0.9 if on_limit == "owner,abort" else 1.0

    async def look_up(order: str) -> str:
        """Look an order up."""
        if order == "1-0":
            play.clock.advance(SECONDS * share - 0.3)
        if order == "2-2":
            play.clock.advance(1)
            await asyncio.Event().wait()
        play.ran.append(order)
        return f"order {order}: nothing found"

    talk = Talk(stage, play, way=way, kept="session", on_limit=on_limit, tool=look_up)
    try:
        stage.play(talk.both())
        history = stage.play(talk.history())
        check(talk, history)
    finally:
        talk.close()
    assert talk.outcomes[0].rule == "deadline"
    results = [item["output"] for item in history if item.get("type") == "function_call_output"]
    assert ["nothing found" in result for result in results] == [True, True, True, False]
    assert "before it had a result" in results[3]


@pytest.mark.parametrize("kept", HELD)
def test_with_a_shared_store_another_process_sends_the_answers_that_are_owed(
    stage: Stage, kept: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAS_GUARD_STORE", f"sqlite:///{tmp_path}/ledger.db")
    talk = Talk(stage, Play(Where("tool_calls", 2), MOVES), way="run", kept=kept, on_limit="abort")
    talk.between = _owed._owed.clear  # as another process, which has seen nothing of the first turn
    try:
        stage.play(talk.both())
        check(talk, stage.play(talk.history()))
    finally:
        talk.close()
    assert any("go out with the next request to it" in note for note in talk.outcomes[0].notes)
    assert not any("this process" in note for note in talk.outcomes[0].notes)


@pytest.mark.parametrize("way", ["run", "run_streamed"])
def test_a_conclusion_that_begins_a_chain_of_replies_leaves_no_brief_in_it(stage: Stage, way: str) -> None:
    talk = Talk(stage, Play(Where("before model", 1), ()), way=way, kept="previous", on_limit="owner,abort")

    async def both() -> None:
        first = await run(way, talk.agent, QUESTION, auto_previous_response_id=True)
        talk.play.over = True
        await run(way, talk.agent, NEXT, previous_response_id=first.last_response_id)

    try:
        stage.play(both())
        concluding, following = stage.server.requests[talk.before :]
    finally:
        talk.close()
    assert following.body["previous_response_id"] == f"resp_{concluding.index}"
    assert "[mas-guard]" not in str(concluding.body["input"])
    assert "[mas-guard]" in concluding.body["instructions"]


@pytest.mark.parametrize("mode", ["immediate", "after_turn"])
def test_a_stream_may_be_cancelled_anywhere_and_the_next_message_is_accepted(stage: Stage, mode: Any) -> None:
    async def cancel_after(events: int) -> bool:
        """Whether there were so many."""
        play = Play(Where("tool_calls", 99), (("look", "look"), ("hand",), ("look",)))
        talk = Talk(stage, play, way="run_streamed", kept="session", on_limit="abort")
        try:
            result = Runner.run_streamed(talk.agent, QUESTION, session=talk.session)
            seen = 0
            async for _ in result.stream_events():
                seen += 1
                if seen == events:
                    result.cancel(mode=mode)
            assert talk.outcomes[0].status == "aborted" or mode == "after_turn" or seen < events
            second = await Runner.run(talk.agent, NEXT, session=talk.session)
        finally:
            talk.close()
        assert second.final_output == HERE
        return seen >= events

    events = 1
    while stage.play(cancel_after(events)):
        events += 3
    assert events > 30


def test_run_sync_leaves_a_session_that_takes_the_next_message() -> None:
    play = Play(Where("tool_calls", 2), MOVES)
    session = SQLiteSession("7")
    with ModelServer(play.script) as server:
        agent = mas_guard.wrap(pair(model(server.url), play.look_up), budget={"tool_calls": 2})
        assert Runner.run_sync(agent, QUESTION, session=session).final_output == OWNER_ANSWER
        assert Runner.run_sync(agent, NEXT, session=session).final_output == HERE
    items = asyncio.run(session.get_items())
    assert sum(item.get("type") == "function_call_output" for item in items) == 3
    assert "[mas-guard]" not in str(items)


def test_a_stop_at_the_first_call_keeps_the_question() -> None:
    """`outcome.partial` is what an app without a session goes on from."""
    with ModelServer([]) as server:
        agent = mas_guard.wrap(pair(model(server.url), Play.look_up), budget={"tokens": 20}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            Runner.run_sync(agent, QUESTION)
    assert caught.value.outcome.partial == [{"role": "user", "content": QUESTION}]


@pytest.mark.parametrize("way", ["run", "run_streamed"])
def test_a_stop_carries_the_runs_data_as_the_frameworks_own_errors_do(stage: Stage, way: str) -> None:
    play = Play(Where("tool_calls", 1), (("look",), ("look",)))
    talk = Talk(stage, play, way=way, kept="session", on_limit="abort")
    try:
        with pytest.raises(mas_guard.BudgetExceeded) as caught:
            stage.play(run(way, talk.agent, QUESTION))
    finally:
        talk.close()
    data = caught.value.run_data
    assert (data.input, len(data.raw_responses), data.last_agent) == (QUESTION, 2, talk.agent)
