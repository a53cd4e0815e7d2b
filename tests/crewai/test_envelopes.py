"""Envelopes are enforced in crews that answer in free text, and nothing that the app sees of them changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from crewai import Crew, Task
from crewai.tools import tool
from crewai.types.streaming import CrewStreamingOutput

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text
from tests.crewai.crews import (
    ANALYST,
    ANSWERS,
    APIS,
    CREWS,
    ENVELOPE,
    MANAGER,
    NOTE,
    REPORT,
    RESEARCHER,
    ROLES,
    WRITER,
    Report,
    Script,
    agent,
    charge_in_text,
    crew_of,
    giving,
    guarded_crew,
    heard_crew,
    kickoff,
    model,
    notes_of,
    one_task,
    own_messages,
    own_model,
    raws,
    report_crew,
    report_script,
    report_tasks,
    role_of,
    streaming_crew,
    typed_script,
    with_answers,
)
from tests.crewai.observing import Observed, observe

# LiteLLM's client carries neither tools nor types in these environments.
SHAPES = [(name, api) for name in CREWS for api in APIS if api != "litellm" or name not in ("typed", "hierarchical")]
shapes = pytest.mark.parametrize(("name", "api"), SHAPES)


def bare_and_guarded(
    make: Callable[[str], Crew], script: Script, start: Callable[[Any], Any] = lambda crew: crew.kickoff()
) -> tuple[Observed, Observed, list[Request]]:
    """What the same crew leaves bare, and where every worker is asked for an envelope; and the guarded one's requests."""
    with ModelServer(script) as server:
        bare, asked = observe(make(server.url), start), server.count
    with ModelServer(script) as server:
        guarded = observe(mas_guard.wrap(make(server.url), envelopes="require"), start)
        assert server.count == asked
        return bare, guarded, server.requests


@shapes
def test_everything_that_the_app_sees_is_as_in_the_bare_crew(name: str, api: str) -> None:
    make, script = CREWS[name]
    bare, guarded, _ = bare_and_guarded(lambda url: make(url, api), giving(script))
    assert guarded.all() == bare.all()
    assert NOTE not in str(guarded.all()) and "<<envelope" not in str(guarded.all())


@shapes
def test_every_task_has_an_envelope_for_one_model_call(name: str, api: str) -> None:
    make, script = CREWS[name]
    # The pieces of LiteLLM's streams, and a typed answer, have no line to spare: they are asked for none.
    silent = ROLES if (name, api) == ("streaming", "litellm") else (WRITER,) if name == "typed" else ()
    _, guarded, requests = bare_and_guarded(lambda url: make(url, api), giving(script))
    outcome = mas_guard.outcome(guarded.result)
    assert outcome.status == "completed"
    assert set(outcome.envelopes) == {*ROLES, *([MANAGER] if name == "hierarchical" else [])}
    for role, envelope in outcome.envelopes.items():
        said = (None, "") if role in silent else (0.9, "all sources agree")
        assert (envelope.status, envelope.confidence, envelope.reason) == ("success", *said)
    assert all(("<<envelope" in notes_of(one)) == (role_of(one) not in silent) for one in requests)


@shapes
def test_a_model_that_ignores_the_request_costs_one_call_more_for_each_agent(name: str, api: str) -> None:
    make, script = CREWS[name]
    with ModelServer(script) as server:
        bare, asked = observe(make(server.url, api)), server.count

    def ignores(request: Request) -> Reply:
        return text("I do not know that line.") if "was received, but" in notes_of(request) else script(request)

    with ModelServer(ignores) as server:
        guarded = observe(mas_guard.wrap(make(server.url, api), envelopes="require"))
        again = [role_of(request) for request in server.requests if "was received, but" in notes_of(request)]
        assert server.count == asked + len(again)
    assert len(again) == len(set(again)) <= len(ROLES) + (name == "hierarchical")
    assert bool(again) == ((name, api) != ("streaming", "litellm"))
    outcome = mas_guard.outcome(guarded.result)
    assert outcome.status == "completed"
    assert all(envelope == mas_guard.Envelope("success") for envelope in outcome.envelopes.values())
    assert (guarded.final, guarded.shown) == (bare.final, bare.shown)
    assert [output["raw"] for output in guarded.outputs] == [output["raw"] for output in bare.outputs]


@pytest.mark.parametrize("name", CREWS)
def test_by_default_a_crew_is_asked_for_nothing_and_sends_what_it_sent(name: str) -> None:
    make, script = CREWS[name]
    with ModelServer(script) as server:
        bare, sent = observe(make(server.url)), sorted(str(request.body) for request in server.requests)
    with ModelServer(script) as server:
        guarded = observe(mas_guard.wrap(make(server.url)))
        assert sorted(str(request.body) for request in server.requests) == sent
    assert guarded.all() == bare.all()
    assert guarded.result.token_usage == bare.result.token_usage
    assert mas_guard.outcome(guarded.result).status == "completed"


# Other ways to kick off.


async def kicked_off(crew: Crew, way: str) -> Any:
    result = await (crew.akickoff() if way == "akickoff" else crew.kickoff_async())
    if isinstance(result, CrewStreamingOutput):
        async for _ in result:
            pass
        return result.result
    return result


@pytest.mark.parametrize("way", ["akickoff", "kickoff_async"])
@pytest.mark.parametrize("name", CREWS)
async def test_awaited_crews_are_the_same(name: str, way: str) -> None:
    make, script = CREWS[name]
    left = []
    for guarded in (False, True):
        with ModelServer(giving(script)) as server:
            crew = make(server.url)
            result = await kicked_off(mas_guard.wrap(crew, envelopes="require") if guarded else crew, way)
            left.append((raws(crew), result.raw, result.pydantic, server.count))
    assert left[0] == left[1]
    outcome = mas_guard.outcome(result)
    assert outcome.status == "completed"
    assert all(envelope.confidence == 0.9 or name == "typed" for envelope in outcome.envelopes.values())


def test_a_second_kickoff_of_the_same_crew_is_as_the_first() -> None:
    with ModelServer(giving(report_script)) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require")
        seen = [observe(crew) for _ in range(2)]
        assert server.count == 6
    assert seen[0].all() == seen[1].all()
    outcomes = [mas_guard.outcome(one.result) for one in seen]
    assert outcomes[0].run_id != outcomes[1].run_id
    assert [outcome.envelopes for outcome in outcomes] == [outcomes[0].envelopes] * 2


def test_a_crew_that_failed_once_is_not_held_back_the_next_time() -> None:
    sorry: list[Reply] = [text("I'm sorry, I cannot access the internet.")]

    def script(request: Request) -> Reply:
        return sorry.pop() if sorry and role_of(request) == RESEARCHER else report_script(request)

    with ModelServer(giving(script)) as server:
        crew = mas_guard.wrap(report_crew(server.url), envelopes="require")
        assert [mas_guard.outcome(crew.kickoff()).status for _ in range(2)] == ["partial", "completed"]
    assert raws(crew) == list(ANSWERS.values())


# What the user's own code is given.


def test_callbacks_guardrails_and_steps_never_see_the_envelope() -> None:
    heard: list[tuple[str, str]] = []

    @tool("look_up")
    def look_up(question: str) -> str:
        """Look something up."""
        heard.append(("tool", question))
        return "High water at noon."

    def script(request: Request) -> Reply:
        if "look_up" in request.tool_names and own_messages(request)[-1]["role"] != "tool":
            return call("look_up", question="tides")
        return text(ANSWERS[RESEARCHER])

    for guarded in (False, True):
        with ModelServer(giving(script)) as server:
            worker = agent(RESEARCHER, model(server.url), tools=[look_up])
            task = Task(
                description="Find out when the tides come.",
                expected_output="Times",
                agent=worker,
                guardrail=lambda output: (heard.append(("guardrail", output.raw)) is None, output.raw),
                callback=lambda output: heard.append(("task", output.raw)),
            )
            crew = crew_of(
                [task], step_callback=lambda step: heard.append(("step", str(getattr(step, "output", step))))
            )
            kickoff(mas_guard.wrap(crew, envelopes="require") if guarded else crew)
            assert server.count == 2
    half = len(heard) // 2
    assert heard[:half] == heard[half:]
    assert {place for place, _ in heard} >= {"guardrail", "tool", "task", "step"}


@pytest.mark.parametrize("make", [heard_crew, guarded_crew], ids=["callbacks", "guardrails"])
def test_a_callback_and_a_guardrail_of_a_model_that_ignores_the_request_see_the_answer(make: Any) -> None:
    heard: list[tuple[str, str]] = []
    with ModelServer(report_script) as server:
        made = make(server.url, heard) if make is heard_crew else make(server.url)
        kickoff(mas_guard.wrap(made, envelopes="require"))
    assert NOTE not in str(heard) and raws(made)[:2] == [ANSWERS[RESEARCHER], ANSWERS[ANALYST]]


# Streams.

MISPLACED = [
    (f"One.{ENVELOPE}\nTwo.", "One.\nTwo."),
    (f"{ENVELOPE}\n{ANSWERS[WRITER]}", f"\n{ANSWERS[WRITER]}"),
    (f'{ANSWERS[WRITER]}\n<<envelope {{"status": "success"', ANSWERS[WRITER]),
    (f"{ANSWERS[WRITER]}{ENVELOPE}{ENVELOPE}", ANSWERS[WRITER]),
    ("One is <", "One is <"),
    ("One ends with a break\n", "One ends with a break\n"),
]


@pytest.mark.parametrize(
    ("said", "shown"), MISPLACED, ids=["middle", "first", "no end", "twice", "a beginning", "a break"]
)
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_misplaced_envelope_is_never_seen_in_a_stream(said: str, shown: str, api: str) -> None:
    def script(request: Request) -> Reply:
        return text(said, chunk_count=9) if role_of(request) == WRITER else giving(report_script)(request)

    with ModelServer(script) as server:
        crew = mas_guard.wrap(streaming_crew(server.url, api), envelopes="require")
        seen = observe(crew)
    assert seen.shown == ANSWERS[RESEARCHER] + ANSWERS[ANALYST] + shown
    assert seen.pieces[WRITER] == shown and seen.result.raw.strip() == shown.strip()
    assert "<<envelope" not in str(seen.all())


def test_what_is_streamed_before_a_tool_call_is_shown_whole() -> None:
    @tool("look_up")
    def look_up(page: int) -> str:
        """Look a page up."""
        return "80 EUR"

    def script(request: Request) -> Reply:
        if own_messages(request)[-1]["role"] == "tool":
            return giving(lambda request: text(ANSWERS[RESEARCHER]))(request)
        return Reply(text="I look it up.\n", tool_calls=call("look_up", page=1).tool_calls)

    def make(url: str) -> Crew:
        crew = one_task(url, tools=[look_up])
        crew.stream = True
        return crew

    bare, guarded, _ = bare_and_guarded(make, script)
    assert bare.pieces[RESEARCHER].startswith("I look it up.\n")
    assert guarded.all() == bare.all()


# Types.


@pytest.mark.parametrize("field", ["output_pydantic", "output_json"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_declared_type_is_filled_as_in_the_bare_crew(field: str, api: str) -> None:
    def typed(url: str) -> Crew:
        return crew_of(report_tasks(model(url, api), report={field: Report}))

    bare, guarded, _ = bare_and_guarded(typed, giving(typed_script))
    assert guarded.all() == bare.all()
    result = guarded.result
    assert (result.pydantic or result.json_dict) == (REPORT if field == "output_pydantic" else REPORT.model_dump())


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_typed_task_with_tools_says_how_sure_it_is(api: str) -> None:
    @tool("look_up")
    def look_up(question: str) -> str:
        """Look something up."""
        return "nothing"

    def make(url: str) -> Crew:
        return one_task(url, api, [look_up], task={"output_pydantic": Report})

    bare, guarded, _ = bare_and_guarded(make, giving(lambda request: text(REPORT.model_dump_json())))
    assert guarded.all() == bare.all() and guarded.result.pydantic == REPORT
    assert mas_guard.outcome(guarded.result).envelopes[RESEARCHER].confidence == 0.9


@pytest.mark.parametrize("envelopes", ["infer", "require"])
def test_a_declared_type_that_is_missed_is_a_failure_that_names_the_task(envelopes: str) -> None:
    script = with_answers({WRITER: text("Tides follow the moon.")})
    with ModelServer(giving(script)) as server:
        tasks = report_tasks(model(server.url), report={"output_pydantic": Report})
        crew = mas_guard.wrap(crew_of(tasks), envelopes=envelopes)
        if envelopes == "infer":
            with pytest.raises(Exception, match="Report"):
                crew.kickoff()
            outcome = mas_guard.last_outcome()
        else:
            outcome = mas_guard.outcome(crew.kickoff())
    assert outcome is not None
    assert outcome.status == ("aborted" if envelopes == "infer" else "partial")
    assert "ValidationError" in outcome.reason
    if envelopes == "require":
        assert outcome.envelopes[WRITER].status == "failed" and WRITER in outcome.reason


# Models without native tool calls, who write them as text.


def charging(url: str, charged: list[str]) -> Crew:
    @tool("charge")
    def charge(order: str) -> str:
        """Charge the card for an order."""
        charged.append(order)
        return f"order {order} was charged"

    worker = agent(RESEARCHER, own_model(url), tools=[charge])
    return crew_of([Task(description="Charge.", expected_output="Done", agent=worker)])


def test_a_tool_that_is_called_in_text_is_no_final_answer() -> None:
    charged: list[str] = []
    bare, guarded, _ = bare_and_guarded(lambda url: charging(url, charged), giving(charge_in_text))
    assert guarded.all() == bare.all() and charged == ["7", "7"]
    assert mas_guard.outcome(guarded.result).envelopes[RESEARCHER].confidence == 0.9


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, I cannot access the internet.", "an apology"),
        ("N/A", "is null"),
        ("Error: timed out", "of an error"),
    ],
)
def test_a_final_answer_is_looked_at_without_the_thoughts_before_it(answer: str, reason: str) -> None:
    with ModelServer(lambda request: text(f"Thought: I now know the final answer\nFinal Answer: {answer}")) as server:
        result = kickoff(mas_guard.wrap(charging(server.url, [])))
    assert result.raw == answer
    assert reason in mas_guard.outcome(result).envelopes[RESEARCHER].reason


# What the envelope says.


def test_a_partial_result_is_told_to_whoever_takes_it() -> None:
    said = '\n<<envelope {"status": "partial", "confidence": 0.8, "reason": "one port is missing"}>>'

    def script(request: Request) -> Reply:
        return giving(report_script, said if role_of(request) == RESEARCHER else ENVELOPE)(request)

    with ModelServer(script) as server:
        result = kickoff(mas_guard.wrap(report_crew(server.url), envelopes="require"))
        told = {role_of(request): notes_of(request) for request in server.requests}
    assert "'Researcher' has the status partial: one port is missing" in told[ANALYST]
    assert result.raw == ANSWERS[WRITER]
    assert mas_guard.outcome(result).status == "partial"


def test_an_envelope_that_stays_broken_is_a_failure() -> None:
    with ModelServer(giving(report_script, '\n<<envelope {"status": "done"}>>')) as server:
        result = kickoff(mas_guard.wrap(one_task(server.url), envelopes="require"))
        assert server.count == 2
    assert result.raw == ANSWERS[RESEARCHER]
    assert mas_guard.outcome(result).envelopes[RESEARCHER].status == "failed"


def test_a_repair_that_does_not_fit_or_fails_takes_nothing_away() -> None:
    def refuses(request: Request) -> Reply:
        return Reply(status=400, error_message="no") if request.index else text(ANSWERS[RESEARCHER])

    cases: tuple[tuple[Script, dict[str, Any]], ...] = ((report_script, {"budget": {"model_calls": 1}}), (refuses, {}))
    for script, settings in cases:
        with ModelServer(script) as server:
            result = kickoff(mas_guard.wrap(one_task(server.url), envelopes="require", **settings))
        assert result.raw == ANSWERS[RESEARCHER]
        assert mas_guard.outcome(result).status == "completed"


def test_in_observe_mode_nothing_is_asked() -> None:
    with ModelServer(report_script) as server:
        result = kickoff(mas_guard.wrap(report_crew(server.url), mode="observe", envelopes="require"))
        assert server.count == 3 and NOTE not in str([request.body for request in server.requests])
    assert result.raw == ANSWERS[WRITER]
