"""From files to reports: each value is told by its shape, and given to the reader that knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

from mas_guard.config import Policy
from mas_guard.diagnose._own_events import OwnEvents
from mas_guard.diagnose._spans import Spans, spans_in
from mas_guard.diagnose._traces import report_of_trace
from mas_guard.diagnose._values import Refuse, values_of
from mas_guard.diagnose.findings import Report

NOT_KNOWN = (
    "neither an event of mas-guard, nor a span of OpenTelemetry, nor a recorded run: an object with `id` and `events`"
)


class Replay:
    """Replays records against *policy*, one after the other; runs may go on from one file to the next.

    Memory holds the runs that have not ended, in compact form, and not what was read.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._events = OwnEvents(policy)
        self._spans = Spans(policy)

    def read(self, file: BinaryIO, refuse: Refuse) -> Iterator[Report]:
        """Yield a report for each run that ends in *file*; *refuse* is told of every line that cannot be used."""
        for number, value in values_of(file, refuse):
            yield from self._take(value, partial(refuse, number))

    def unfinished(self) -> Iterator[Report]:
        """Yield the reports of the runs whose end was not in the records."""
        yield from self._events.unfinished()
        yield from self._spans.unfinished()

    def _take(self, value: Any, refuse: Callable[[str], None]) -> Iterator[Report]:
        try:
            if not isinstance(value, dict):
                refuse(NOT_KNOWN)
            elif isinstance(value.get("event"), str):
                yield from self._events.take(value, refuse)
            elif isinstance(value.get("events"), list) and "id" in value:
                yield report_of_trace(value, self._policy)
            elif (spans := spans_in(value)) is not None:
                yield from self._spans.take(spans, refuse)
            else:
                refuse(NOT_KNOWN)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            refuse(f"a record whose content cannot be used ({type(error).__name__}: {error})")


def replay(file: BinaryIO, policy: Policy, refuse: Refuse = lambda line, problem: None) -> Iterator[Report]:
    """Yield the report of every run in *file*, those without an end last.

    Args:
        file: JSON lines or documents, plain or gzip'd: events of mas-guard, OpenTelemetry GenAI spans, or recorded runs.
        policy: The settings in force; `load_policy()` reads them as a guarded app would.
        refuse: Told the line number and the problem of each record that cannot be used.
    """
    replaying = Replay(policy)
    yield from replaying.read(file, refuse)
    yield from replaying.unfinished()
