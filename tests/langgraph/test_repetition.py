"""The same call with the same result: the model is told first, then it is not made, then the run ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, call, text
from tests.langgraph.apps import OWNER_ANSWER, QUESTION, toolbox, two_with_tools

LOOK_UP = Reply(tool_calls=(ToolCallReply("look_up", {"order": "7"}),))


class Tool:
    """A tool that counts how often it really ran."""

    def __init__(self, answer: Callable[[int], str] | None = None) -> None:
        self.times = 0
        self._answer = answer

    def look_up(self, order: str) -> str:
        """Look an order up."""
        self.times += 1
        return self._answer(self.times) if self._answer is not None else "nothing found"


def for_ever(request: Request) -> Reply:
    """The model repeats itself as long as it may call a tool."""
    return text(OWNER_ANSWER) if request.body.get("tool_choice") == "none" else LOOK_UP


def times(number: int) -> Callable[[Request], Reply]:
    """The model repeats itself *number* times, then answers."""

    def script(request: Request) -> Reply:
        asked = sum(len(message.get("tool_calls", ())) for message in request.messages)
        return LOOK_UP if asked < number else text("Nothing was found about order 7.")

    return script


def told(server: ModelServer) -> list[str]:
    """What the model was told as tool results in the last request, in order."""
    return [str(message["content"]) for message in server.requests[-1].messages if message["role"] == "tool"]


def test_bare_the_same_call_is_made_until_the_server_gives_up() -> None:
    tool = Tool()
    with ModelServer(for_ever, max_requests=30) as server, pytest.raises(Exception, match="gave.up"):
        toolbox(server.url, tool.look_up).invoke(QUESTION)
    assert tool.times == 30


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_it_is_redirected_at_three_blocked_at_four_and_stopped_at_six(asynchronous: bool) -> None:
    tool = Tool()
    with ModelServer(for_ever) as server:
        app = mas_guard.wrap(toolbox(server.url, tool.look_up))
        with pytest.raises(mas_guard.RepetitionDetected) as caught:
            asyncio.run(app.ainvoke(QUESTION)) if asynchronous else app.invoke(QUESTION)
        assert (server.count, tool.times) == (6, 2)
        results = told(server)
    assert results[:2] == ["nothing found", "nothing found"]
    assert "not called: look_up" in results[2] and "change the arguments" in results[2]
    assert results[3].startswith("blocked: look_up") and results[4].startswith("blocked: look_up")
    assert caught.value.evidence["times"] == 6
    assert "MAS_GUARD_POLL_TOOLS=look_up" in str(caught.value)
    assert caught.value.outcome.spent.tool_calls == 2


def test_a_model_that_takes_the_redirection_goes_on_and_the_run_completes() -> None:
    tool = Tool()
    with ModelServer(times(3)) as server:
        state = mas_guard.wrap(toolbox(server.url, tool.look_up)).invoke(QUESTION)
    assert tool.times == 2
    assert state["messages"][-1].content == "Nothing was found about order 7."
    assert mas_guard.outcome(state).status == "completed"


def test_where_there_is_an_owner_it_concludes_instead() -> None:
    tool = Tool()

    def script(request: Request) -> Reply:
        if "transfer_to_bob" in request.tool_names:
            return text(OWNER_ANSWER) if request.body.get("tool_choice") == "none" else call("transfer_to_bob")
        return LOOK_UP

    with ModelServer(script) as server:
        state = mas_guard.wrap(two_with_tools(server.url, tool.look_up)).invoke(QUESTION)
        assert (server.count, tool.times) == (8, 2)
    outcome = mas_guard.outcome(state)
    assert (outcome.status, outcome.rule) == ("partial", "repetition")
    assert state["messages"][-1].content == OWNER_ANSWER


@pytest.mark.parametrize(
    "settings",
    [{"poll_tools": "look_up"}, {"tools": {"look_up": {"repeat": 50}}}],
    ids=["POLL_TOOLS", "tools.NAME.repeat"],
)
def test_a_polling_tool_with_its_allowance_is_not_touched(settings: dict[str, Any]) -> None:
    tool = Tool()
    with ModelServer(times(40)) as server:
        state = mas_guard.wrap(toolbox(server.url, tool.look_up), **settings).invoke(QUESTION)
        assert set(told(server)) == {"nothing found"}
    assert tool.times == 40
    assert mas_guard.outcome(state).status == "completed"


def test_the_allowance_itself_is_a_limit() -> None:
    tool = Tool()
    with ModelServer(for_ever) as server, pytest.raises(mas_guard.RepetitionDetected):
        mas_guard.wrap(toolbox(server.url, tool.look_up), tools={"look_up": {"repeat": 10}}).invoke(QUESTION)
    assert tool.times == 10


def test_a_result_that_changes_is_no_repetition() -> None:
    tool = Tool(lambda times: f"{times} of 40 done")
    with ModelServer(times(40)) as server:
        state = mas_guard.wrap(toolbox(server.url, tool.look_up)).invoke(QUESTION)
    assert tool.times == 40
    assert mas_guard.outcome(state).status == "completed"


def test_equal_calls_that_one_reply_asks_for_are_not_repeats() -> None:
    tool = Tool()
    eight = Reply(tool_calls=tuple(ToolCallReply("look_up", {"order": "7"}) for _ in range(8)))
    with ModelServer([eight, text("Nothing.")]) as server:
        state = mas_guard.wrap(toolbox(server.url, tool.look_up)).invoke(QUESTION)
    assert tool.times == 8
    assert mas_guard.outcome(state).status == "completed"


def test_the_rule_can_be_observed_alone() -> None:
    tool = Tool()
    with ModelServer(times(9)) as server:
        app = mas_guard.wrap(toolbox(server.url, tool.look_up), rules={"repetition": {"mode": "observe"}})
        assert mas_guard.outcome(app.invoke(QUESTION)).status == "completed"
    assert tool.times == 9


def test_another_set_of_limits_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_REPETITION__REDIRECT", "none")
    monkeypatch.setenv("MAS_GUARD_REPETITION__BLOCK", "none")
    monkeypatch.setenv("MAS_GUARD_REPETITION__STOP", "9")
    tool = Tool()
    with ModelServer(for_ever) as server, pytest.raises(mas_guard.RepetitionDetected):
        mas_guard.wrap(toolbox(server.url, tool.look_up)).invoke(QUESTION)
    assert tool.times == 8


def test_the_same_tests_run_after_each_edit_are_progress() -> None:
    def run_tests(suite: str) -> str:
        """Run the tests."""
        return "2 failed"

    def edit(line: int) -> str:
        """Edit a line."""
        return f"line {line} edited"

    def script(request: Request) -> Reply:
        if request.index >= 20:
            return text("I could not make them pass.")
        return call("run_tests", suite="all") if request.index % 2 else call("edit", line=request.index)

    with ModelServer(script) as server:
        app = mas_guard.wrap(toolbox(server.url, run_tests, edit))
        state = app.invoke(QUESTION, {"recursion_limit": 100})
        assert server.count == 21
    assert mas_guard.outcome(state).status == "completed"


def test_two_calls_that_take_turns_without_anything_new_are_a_loop() -> None:
    def first(number: int) -> str:
        """Ask the first."""
        return "nothing"

    def second(number: int) -> str:
        """Ask the second."""
        return "nothing either"

    with ModelServer(lambda request: call("first" if request.index % 2 else "second", number=1)) as server:
        with pytest.raises(mas_guard.RepetitionDetected):
            mas_guard.wrap(toolbox(server.url, first, second)).invoke(QUESTION, {"recursion_limit": 100})
        assert server.count <= 14
