"""A worker fails silently: bare, its output is read as data; guarded, whoever delegated is told."""

from __future__ import annotations

from typing import Any

import pytest
from agents import Agent, Runner, RunResult, SQLiteSession, function_tool
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.openai_agents.apps import model
from tests.silent_failures import AT_THE_MODEL, STALE, SilentFailure

REPORT = "Here is the report on the harbour, as far as it could be written."
ENVELOPE = '\n<<envelope {"status": "success", "confidence": 0.9, "reason": "all sources agree"}>>'
APIS = ("chat", "responses")


class Findings(BaseModel):
    """What the worker declares to give."""

    harbour: str
    days: int


def newsroom(url: str, api: str = "chat", **worker: Any) -> Agent[Any]:
    """A writer that asks a researcher, an agent used as a tool."""
    chat = model(url, api)
    researcher = Agent[Any](name="researcher", instructions="You are the researcher.", model=chat, **worker)
    ask = researcher.as_tool("research", "Ask the researcher.")
    return Agent[Any](name="writer", instructions="You are the writer.", model=chat, tools=[ask])


def is_researcher(request: Request) -> bool:
    return "You are the researcher." in str(request.body.get("instructions") or request.messages[0].get("content"))


def newsroom_script(reply: Any) -> Any:
    """The writer asks once and then writes; the researcher says *reply*."""

    def script(request: Request) -> Reply:
        if is_researcher(request):
            return reply()  # type: ignore[no-any-return]
        return (
            text(REPORT)
            if "research" in str(request.body.get("messages", request.body.get("input"))[1:])
            else call("research", input="the harbour")
        )

    return script


def writers_last(server: ModelServer) -> str:
    """What the writer was sent last."""
    asked = (request for request in reversed(server.requests) if "was received, but" not in request.last_text)
    return str(next(request.body for request in asked if not is_researcher(request)))


def tells(words: str, failure: SilentFailure, api: str) -> bool:
    """True where *words* give the reason. Of an incomplete reply of the Responses API some versions of the SDK make an
    error."""
    return failure.reason in words or (api == "responses" and failure.name == "cut" and "ended in an error" in words)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("failure", AT_THE_MODEL, ids=lambda failure: failure.name)
def test_bare_a_silent_failure_is_handed_on_as_data(failure: SilentFailure, api: str) -> None:
    with ModelServer(newsroom_script(failure.reply)) as server:
        result = Runner.run_sync(newsroom(server.url, api), "Write about the harbour.")
        assert result.final_output == REPORT
        assert "failed" not in writers_last(server) and "partial" not in writers_last(server)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("failure", AT_THE_MODEL, ids=lambda failure: failure.name)
def test_by_default_what_is_proven_is_told_and_the_rest_stands_in_the_outcome(failure: SilentFailure, api: str) -> None:
    with ModelServer(newsroom_script(failure.reply)) as server:
        app = mas_guard.wrap(newsroom(server.url, api))
        result = Runner.run_sync(app, "Write about the harbour.")
        told = writers_last(server)
    outcome = mas_guard.outcome(result)
    assert result.final_output == REPORT
    assert (outcome.status, outcome.rule) == ("partial", "envelope")
    assert tells(outcome.envelopes["researcher"].reason, failure, api)
    assert tells(told, failure, api) == failure.proven
    assert "mas-guard" not in str(result.to_input_list())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("failure", AT_THE_MODEL, ids=lambda failure: failure.name)
def test_where_envelopes_are_required_every_failure_is_told(failure: SilentFailure, api: str) -> None:
    with ModelServer(newsroom_script(failure.reply)) as server:
        app = mas_guard.wrap(newsroom(server.url, api), envelopes="require")
        result = Runner.run_sync(app, "Write about the harbour.")
        told = writers_last(server)
    assert tells(told, failure, api)
    assert "status failed" in told or "status partial" in told
    assert mas_guard.outcome(result).status == "partial"


@pytest.mark.parametrize("envelopes", ["infer", "require"])
def test_a_worker_that_misses_its_declared_type_has_failed(envelopes: str) -> None:
    script = newsroom_script(lambda: text('{"harbour": 3}'))
    with ModelServer(script) as server:
        app = mas_guard.wrap(newsroom(server.url, output_type=Findings), envelopes=envelopes)
        result = Runner.run_sync(app, "Write about the harbour.")
        told = writers_last(server)
    assert "'researcher' has the status failed" in told
    assert mas_guard.outcome(result).envelopes["researcher"].status == "failed"


@pytest.mark.parametrize("envelopes", ["infer", "require"])
def test_an_exception_that_the_framework_turned_into_text_is_told(envelopes: str) -> None:
    with ModelServer(
        lambda request: (
            Reply(status=400, error_message="bad request")
            if is_researcher(request)
            else newsroom_script(lambda: text(""))(request)
        )
    ) as server:
        app = mas_guard.wrap(newsroom(server.url), envelopes=envelopes)

        @function_tool
        async def research(input: str) -> str:
            """Ask the researcher."""
            worker = Agent[Any](
                name="researcher", instructions="You are the researcher.", model=model(server.url), tools=[failing]
            )
            return str((await Runner.run(worker, input)).final_output)

        app.tools[:] = [research]
        result = Runner.run_sync(app, "Write about the harbour.")
        told = writers_last(server)
    assert result.final_output == REPORT
    assert "An error occurred" in told


@function_tool
def failing() -> str:
    """Never called."""
    return ""


def test_the_same_answer_to_another_question_is_stale() -> None:
    def script(request: Request) -> Reply:
        if is_researcher(request):
            return text(STALE)
        questions = ["the harbour in May", "the harbour in June"]
        done = sum(message["role"] == "tool" for message in request.messages)
        return call("research", input=questions[done]) if done < 2 else text(REPORT)

    with ModelServer(script) as server:
        app = mas_guard.wrap(newsroom(server.url), envelopes="require")
        result = Runner.run_sync(app, "Write about the harbour.")
        told = writers_last(server)
    assert "same as for an earlier, different request" in told
    assert mas_guard.outcome(result).envelopes["researcher"].status == "partial"


# -- envelopes that are asked for ---------------------------------------------------------------------


def with_envelope(reply: str, envelope: str = ENVELOPE) -> Any:
    """A model that gives the envelope wherever it is asked for one."""

    def script(request: Request) -> Reply:
        asked = "<<envelope" in str(request.body)
        answer = newsroom_script(lambda: text(reply))(request)
        return text(answer.text + envelope) if asked and answer.text else answer

    return script


def both(script: Any, api: str, run: Any) -> tuple[Any, Any, ModelServer]:
    """The bare app's result, the guarded one's, and the server of the guarded one."""
    with ModelServer(script) as server:
        bare = run(newsroom(server.url, api))
    with ModelServer(script) as server:
        guarded = run(mas_guard.wrap(newsroom(server.url, api), envelopes="require"))
    return bare, guarded, server


@pytest.mark.parametrize("api", APIS)
def test_required_envelopes_leave_texts_and_history_as_they_were(api: str) -> None:
    def run(app: Agent[Any]) -> RunResult:
        return Runner.run_sync(app, "Write about the harbour.")

    bare, guarded, server = both(with_envelope("The harbour was closed for three days."), api, run)
    assert guarded.final_output == bare.final_output == REPORT
    assert _without_ids(guarded.to_input_list()) == _without_ids(bare.to_input_list())
    assert server.count == 3
    outcome = mas_guard.outcome(guarded)
    assert outcome.status == "completed"
    assert outcome.envelopes["researcher"].confidence == 0.9
    assert outcome.envelopes["writer"].reason == "all sources agree"


@pytest.mark.parametrize("api", APIS)
async def test_required_envelopes_leave_streams_as_they_were(api: str) -> None:
    async def stream(app: Agent[Any]) -> tuple[str, Any]:
        result = Runner.run_streamed(app, "Write about the harbour.")
        said = ""
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                said += event.data.delta
        return said, result

    script = with_envelope("The harbour was closed for three days.")
    with ModelServer(script) as server:
        bare_text, bare = await stream(newsroom(server.url, api))
    with ModelServer(script) as server:
        text_, guarded = await stream(mas_guard.wrap(newsroom(server.url, api), envelopes="require"))
        assert server.count == 3
    assert text_ == bare_text == REPORT
    assert guarded.final_output == bare.final_output
    assert _without_ids(guarded.to_input_list()) == _without_ids(bare.to_input_list())
    assert mas_guard.outcome(guarded).envelopes["writer"].confidence == 0.9


@pytest.mark.parametrize("api", APIS)
def test_a_model_that_ignores_the_request_is_asked_once_more_and_no_oftener(api: str) -> None:
    with ModelServer(newsroom_script(lambda: text("The harbour was closed for three days."))) as server:
        app = mas_guard.wrap(newsroom(server.url, api), envelopes="require")
        result = Runner.run_sync(app, "Write about the harbour.")
        assert server.count == 3 + 2  # one more for each of the two agents
    outcome = mas_guard.outcome(result)
    assert result.final_output == REPORT
    assert outcome.envelopes["researcher"] == mas_guard.Envelope("success")
    assert outcome.status == "completed"


def test_an_envelope_that_does_not_hold_is_repaired() -> None:
    def script(request: Request) -> Reply:
        if "was received, but" in request.last_text:
            return text(ENVELOPE)
        return with_envelope("Three days.", '\n<<envelope {"status": "done", "confidence": 7}>>')(request)  # type: ignore[no-any-return]

    with ModelServer(script) as server:
        app = mas_guard.wrap(newsroom(server.url), envelopes="require")
        result = Runner.run_sync(app, "Write about the harbour.")
        assert server.count == 3 + 2
        problems = next(request.last_text for request in server.requests if "was received, but" in request.last_text)
    assert "`status` is none of success, partial, failed" in problems and "`confidence` is no number" in problems
    assert mas_guard.outcome(result).envelopes["researcher"].confidence == 0.9


def test_an_envelope_that_stays_broken_is_a_failure() -> None:
    script = with_envelope("Three days.", '\n<<envelope {"status": "done"}>>')
    with ModelServer(script) as server:
        app = mas_guard.wrap(newsroom(server.url), envelopes="require")
        result = Runner.run_sync(app, "Write about the harbour.")
    assert mas_guard.outcome(result).envelopes["researcher"].status == "failed"


async def test_a_session_never_holds_an_envelope() -> None:
    session = SQLiteSession("s")
    with ModelServer(with_envelope("Three days.")) as server:
        app = mas_guard.wrap(newsroom(server.url), envelopes="require")
        await Runner.run(app, "Write about the harbour.", session=session)
        assert "envelope" not in str(await session.get_items())


def test_what_a_worker_says_of_itself_reaches_whoever_delegated() -> None:
    said = '\n<<envelope {"status": "partial", "confidence": 0.4, "reason": "two sources are missing"}>>'
    with ModelServer(with_envelope("Three days, perhaps.", said)) as server:
        app = mas_guard.wrap(newsroom(server.url), envelopes="require")
        Runner.run_sync(app, "Write about the harbour.")
        assert "has the status partial: two sources are missing" in writers_last(server)


def _without_ids(items: Any) -> Any:
    return [
        {key: value for key, value in item.items() if key not in ("id", "call_id", "provider_data")} for item in items
    ]
