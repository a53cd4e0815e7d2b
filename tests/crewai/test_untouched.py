"""What is put into CrewAI shows the original's face, is taken back whole, and leaves crews what they are."""

from __future__ import annotations

import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.agents.cache.cache_handler import CacheHandler
from crewai.flow.runtime import Flow
from crewai.llms.base_llm import BaseLLM
from crewai.tools import BaseTool
from crewai.tools.base_tool import Tool
from crewai.tools.structured_tool import CrewStructuredTool

import mas_guard
from mas_guard.testing import ModelServer, text
from tests.crewai.crews import (
    ANSWERS,
    CONCLUSION,
    agent,
    charge_for_ever,
    charging_crew,
    crew_of,
    delegate_for_ever,
    endless_manager,
    kickoff,
    one_task,
    raws,
    report_crew,
    report_script,
)
from tests.crewai.endings import crew_ended
from tests.crewai.more_crews import topic_crew

ROOT = Path(__file__).parents[2]
SEAMS: list[tuple[Any, str]] = [
    *((Crew, name) for name in ("kickoff", "akickoff", "kickoff_for_each", "kickoff_for_each_async", "copy")),
    *((Crew, name) for name in ("kickoff_async", "akickoff_for_each", "train", "test", "replay")),
    *((Agent, name) for name in ("execute_task", "aexecute_task", "kickoff", "kickoff_async")),
    *((Flow, name) for name in ("kickoff", "kickoff_async", "resume", "resume_async", "from_pending")),
    *((Task, name) for name in ("_execute_core", "_aexecute_core")),
    *((BaseTool, name) for name in ("run", "arun")),
    *((Tool, name) for name in ("run", "arun")),
    *((CrewStructuredTool, name) for name in ("invoke", "ainvoke")),
    (CacheHandler, "read"),
]


def classes() -> Iterator[type]:
    """Every class of CrewAI's, and of models, that anything is put into."""
    yield from {owner for owner, _ in SEAMS}
    yield BaseLLM
    yield from below(BaseLLM)
    yield from below(BaseTool)


def below(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def faces() -> dict[tuple[str, str], Any]:
    """What stands in every one of these classes now."""
    return {
        (f"{kind.__module__}.{kind.__qualname__}", name): found
        for kind in classes()
        for name, found in vars(kind).items()
        if callable(found) or isinstance(found, classmethod | staticmethod)
    }


# -- what is put in and taken back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "name"), SEAMS, ids=lambda value: getattr(value, "__name__", value))
def test_a_patched_method_shows_the_originals_signature_and_kind(owner: Any, name: str) -> None:
    def face(method: Any) -> tuple[Any, ...]:
        return inspect.signature(method), inspect.iscoroutinefunction(method), method.__doc__, method.__name__

    bare = face(getattr(owner, name))
    mas_guard.instrument()
    assert face(getattr(owner, name)) == bare


def test_everything_is_taken_back() -> None:
    report_crew("http://127.0.0.1:1/v1")
    before = faces()
    mas_guard.instrument()
    assert faces() != before
    assert mas_guard.uninstrument() == []
    assert faces() == before


def local_class(asked: list[Any]) -> type[BaseLLM]:
    """A class of models that sends nothing anywhere, and one below it that calls its parent."""

    class Local(BaseLLM):
        def call(self, messages: Any, *arguments: Any, **keywords: Any) -> Any:
            asked.append(messages)
            return "Done."

    class Below(Local):
        def call(self, messages: Any, *arguments: Any, **keywords: Any) -> Any:
            return super().call(messages, *arguments, **keywords)

    return Below


def test_classes_of_models_made_before_and_after_are_guarded_and_left_as_they_were() -> None:
    asked: list[Any] = []
    before = local_class(asked)
    bare = [vars(kind)["call"] for kind in before.__mro__[:2]]
    mas_guard.instrument(budget={"model_calls": 1}, on_limit="abort")
    after = local_class(asked)
    for place, kind in enumerate((before, after), 1):
        ending = crew_ended(two_tasks(kind(model="mine")))
        assert isinstance(ending.error, mas_guard.BudgetExceeded)
        assert len(asked) == place  # one that calls its parent is one call
    assert mas_guard.uninstrument() == []
    assert [vars(kind)["call"] for kind in before.__mro__[:2]] == bare
    for kind in (before, after):
        assert kickoff(two_tasks(kind(model="mine"))).raw == "Done."
    assert len(asked) == 2 + 4


def two_tasks(chat: Any) -> Crew:
    worker = agent("Worker", chat)
    return crew_of([Task(description=f"Step {at}.", expected_output="Done", agent=worker) for at in range(2)])


def test_a_foreign_wrapper_on_top_is_left_alone_and_named() -> None:
    bare = Crew.kickoff
    mas_guard.instrument()
    ours = Crew.kickoff

    def theirs(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return ours(self, *arguments, **keywords)

    Crew.kickoff = theirs  # type: ignore[method-assign]
    try:
        assert mas_guard.uninstrument() == ["crewai.crew:Crew.kickoff"]
        assert Crew.kickoff is theirs
        with ModelServer(report_script) as server:
            assert one_task(server.url).kickoff().raw
        mas_guard.instrument()  # armed again, ours stands twice
        with ModelServer(report_script) as server:
            result = kickoff(report_crew(server.url))
            assert server.count == 3
        assert len(mas_guard.outcome(result).envelopes) == 3
        mas_guard.uninstrument()
    finally:
        Crew.kickoff = bare  # type: ignore[method-assign]


def test_mode_off_patches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAS_GUARD_MODE", "off")
    before = faces()
    mas_guard.wrap(report_crew("http://127.0.0.1:1/v1"))
    mas_guard.instrument()
    assert faces() == before


def test_an_unsupported_version_is_refused_with_the_command_that_fixes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from mas_guard_crewai._adapter import CrewAIAdapter

    monkeypatch.setattr(CrewAIAdapter, "found_version", lambda self: "1.14.0")
    with pytest.raises(mas_guard.UnsupportedVersion, match="pip install") as caught:
        mas_guard.wrap(report_crew("http://127.0.0.1:1/v1"))
    assert (caught.value.found, caught.value.target) == ("1.14.0", "crewai")


# -- a wrapped crew is itself --------------------------------------------------------------------------------------


def test_wrap_returns_the_same_object_unchanged() -> None:
    crew = report_crew("http://127.0.0.1:1/v1")
    tasks, agents, dumped = list(crew.tasks), list(crew.agents), crew.model_dump_json(exclude={"id"})
    assert mas_guard.wrap(crew) is crew
    assert all(now is then for now, then in zip(crew.tasks + crew.agents, tasks + agents, strict=True))
    assert crew.model_dump_json(exclude={"id"}) == dumped
    (worker,) = one_task("http://127.0.0.1:1/v1").agents
    assert mas_guard.wrap(worker) is worker


def test_a_copy_of_a_wrapped_crew_is_guarded_and_a_copy_of_a_bare_one_is_not() -> None:
    with ModelServer(delegate_for_ever) as server:
        copy = mas_guard.wrap(endless_manager(server.url), max_hops=2).copy()
        ending = crew_ended(copy)
    assert (ending.outcome.rule, ending.outcome.hops) == ("hops", 2)
    with ModelServer(report_script) as server:
        copy = report_crew(server.url).copy()
        assert kickoff(copy).raw and server.count == 3
        with pytest.raises(LookupError):
            mas_guard.outcome(copy.tasks[-1].output)


def test_a_crew_that_was_wrapped_twice_keeps_the_narrower_limit() -> None:
    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(mas_guard.wrap(report_crew(server.url), budget={"model_calls": 2}, on_limit="abort"))
        assert isinstance(crew_ended(crew).error, mas_guard.BudgetExceeded)
        assert server.count == 2


def test_a_wrapped_crew_is_not_kept_alive() -> None:
    import gc
    import weakref

    with ModelServer(report_script) as server:
        crew = mas_guard.wrap(report_crew(server.url))
        kickoff(crew)
        seen = weakref.ref(crew.agents[0])
    from crewai.events import crewai_event_bus

    crewai_event_bus.flush() if hasattr(crewai_event_bus, "flush") else None
    adapter = next(one for one in _adapters() if one.name == "crewai")
    assert adapter.mark_of(crew) is not None
    del crew
    gc.collect()
    assert seen() is None or not any("mas_guard" in type(one).__module__ for one in gc.get_referrers(seen()))


def _adapters() -> list[Any]:
    from mas_guard_crewai import mas_guard_adapters

    return mas_guard_adapters()


def test_crewais_own_test_of_a_crew_goes_on_as_bare() -> None:
    seen = []
    for wrap in (lambda app: app, mas_guard.wrap):
        with ModelServer(
            lambda request: text('{"quality": 7}' if "quality" in str(request.body) else "Done.")
        ) as server:
            crew = wrap(report_crew(server.url))
            crew.test(n_iterations=1, eval_llm=crew.agents[0].llm)
            seen.append(server.count)
    assert seen[0] == seen[1]


# -- the whole process ---------------------------------------------------------------------------------------------


def test_instrument_guards_crews_that_nobody_wrapped() -> None:
    with ModelServer(delegate_for_ever) as server:
        mas_guard.instrument(max_hops=3)
        ending = crew_ended(endless_manager(server.url))
    assert (ending.raw, ending.outcome.rule, ending.outcome.hops) == (CONCLUSION, "hops", 3)


def test_instrument_guards_each_item_flow_and_agent() -> None:
    with ModelServer(charge_for_ever) as server:
        mas_guard.instrument(budget={"model_calls": 2}, on_limit="abort")
        with pytest.raises(mas_guard.BudgetExceeded):
            topic_crew(server.url).kickoff_for_each([{"topic": "a"}, {"topic": "b"}])
        (worker,) = charging_crew(server.url, []).agents
        with pytest.raises(mas_guard.BudgetExceeded):
            worker.kickoff("Charge.")


def test_an_unwrapped_crew_beside_a_wrapped_one_is_reported_once_and_not_guarded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ModelServer(report_script) as server:
        guarded = mas_guard.wrap(report_crew(server.url))
        bare = report_crew(server.url, name="apart")
        with caplog.at_level(logging.WARNING, "mas_guard"):
            for _ in range(2):
                kickoff(bare)
                kickoff(guarded)
    assert raws(bare) == list(ANSWERS.values())
    assert sum("'apart'" in record.getMessage() for record in caplog.records) == 1


# -- fresh processes -----------------------------------------------------------------------------------------------


def fresh(
    code: str, *, url: str = "", arguments: tuple[str, ...] = ("-c",), **env: str
) -> subprocess.CompletedProcess[str]:
    """Run *code* in a Python of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAS_GUARD_")}
    return subprocess.run(
        [sys.executable, *arguments, *([dedent(code)] if arguments == ("-c",) else [])],
        cwd=ROOT,
        env={**clean, "MODEL_URL": url, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_arming_does_not_import_crewai() -> None:
    done = fresh(
        """
        import sys, mas_guard
        mas_guard.instrument()
        import mas_guard_crewai
        print("crewai" in sys.modules)
        """
    )
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


def test_crews_of_a_crewai_that_is_imported_later_are_guarded() -> None:
    with ModelServer(delegate_for_ever) as server:
        done = fresh(
            """
            import os, mas_guard
            mas_guard.instrument(budget={"model_calls": 5}, on_limit="abort")
            from tests.crewai.crews import endless_manager
            try:
                endless_manager(os.environ["MODEL_URL"]).kickoff()
            except mas_guard.BudgetExceeded as stop:
                print("stopped at", stop.outcome.spent.model_calls)
            """,
            url=server.url,
        )
        assert server.count == 5, done.stderr
    assert "stopped at 5" in done.stdout


SCRIPT = """
import os
from crewai import LLM, Agent, Crew, Process, Task

model = LLM(model="openai/gpt-4o-mini", base_url=os.environ["MODEL_URL"], api_key="unused")
worker = Agent(role="Researcher", goal="Find out.", backstory="You are thorough.", llm=model)
task = Task(description="Find out when the tides come.", expected_output="Times", agent=worker)
crew = Crew(agents=[worker], tasks=[task], process=Process.hierarchical, manager_llm=model)

if __name__ == "__main__":
    print("answer:", crew.kickoff().raw)
"""


def test_mas_guard_run_guards_a_script_of_which_no_line_was_changed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    with ModelServer(delegate_for_ever, max_requests=60) as server:
        done = fresh("", url=server.url, arguments=("-m", "mas_guard.cli", "run", str(tmp_path / "script.py")))
        assert server.count == 26, done.stderr
    assert done.returncode == 0 and f"answer: {CONCLUSION}" in done.stdout
    assert "crewai: armed" in done.stderr
    assert "partial" in done.stderr and "made 12 hops" in done.stderr


def test_doctor_knows_a_crew(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = fresh(
        "", url="http://127.0.0.1:9/v1", arguments=("-m", "mas_guard.cli", "doctor", f"{tmp_path / 'script.py'}:crew")
    )
    assert "Researcher" in done.stdout and "owner: Crew Manager" in done.stdout
    assert "crewai" in done.stdout and "every seam is there" in done.stdout
    assert "model gpt-4o-mini: price and largest output are known" in done.stdout
