"""All that an app can see of its crew: results, callbacks, guardrails, pieces of a stream, events. For comparing a bare
crew with a guarded one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crewai import Crew
from crewai.events import crewai_event_bus
from crewai.events.types.llm_events import LLMCallCompletedEvent, LLMCallStartedEvent, LLMStreamChunkEvent
from crewai.types.streaming import CrewStreamingOutput

Heard = list[tuple[Any, ...]]


class Observed:
    """What one kickoff left.

    Attributes:
        result: CrewAI's result.
        outputs: The fields of each task's output.
        shown: The text of the stream, joined.
        started: Who asked which messages, by CrewAI's events; in no order.
        completed: Who was answered what; in no order.
        pieces: The text of the pieces that the events tell, by who said it.
    """

    def __init__(self, crew: Crew, result: Any, shown: str, heard: Heard) -> None:
        self.result = result
        self.shown = shown
        self.outputs = [output.model_dump() for output in result.tasks_output]
        self.left = [task.output.model_dump() if task.output else None for task in crew.tasks]
        self.final = (result.raw, result.pydantic, result.json_dict)
        self.started = sorted(str(event[1:]) for event in heard if event[0] == "started")
        self.completed = sorted(str(event[1:]) for event in heard if event[0] == "completed")
        said: dict[str, str] = {}
        for event in heard:
            if event[0] == "piece":
                said[event[1]] = said.get(event[1], "") + event[2]
        self.pieces = said

    def all(self) -> dict[str, Any]:
        """Everything that must be equal."""
        return {name: value for name, value in vars(self).items() if name != "result"}


@contextmanager
def listening() -> Iterator[Heard]:
    """A listener on CrewAI's own events, as a tracing tool has it."""
    heard: Heard = []
    with crewai_event_bus.scoped_handlers():

        @crewai_event_bus.on(LLMCallStartedEvent)
        def started(source: Any, event: Any) -> None:
            heard.append(("started", event.agent_role, event.messages))

        @crewai_event_bus.on(LLMCallCompletedEvent)
        def completed(source: Any, event: Any) -> None:
            heard.append(("completed", event.agent_role, event.response, event.messages))

        @crewai_event_bus.on(LLMStreamChunkEvent)
        def piece(source: Any, event: Any) -> None:
            heard.append(("piece", str(event.agent_role), event.chunk))

        try:
            yield heard
        finally:
            crewai_event_bus.flush()


def observe(crew: Crew, start: Callable[[Any], Any] = lambda crew: crew.kickoff()) -> Observed:
    """Kick *crew* off, and look at everything."""
    with listening() as heard:
        result, shown = start(crew), ""
        if isinstance(result, CrewStreamingOutput):
            shown = "".join(chunk.content for chunk in result)
            result = result.result
    return Observed(crew, result, shown, heard)
