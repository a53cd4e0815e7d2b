"""Reads files of events line by line; a line that is broken is counted and named, and never the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import click

from mas_guard.records import EVENT_VERSION

NAMED = 10
"""Broken lines that are named one by one; the rest are only counted."""


@dataclass(slots=True)
class Reading:
    """What came of reading.

    Attributes:
        lines: Lines that were not empty.
        broken: Lines that are no event.
        named: The first broken ones, with file, line and what is wrong.
    """

    lines: int = 0
    broken: int = 0
    named: list[str] = field(default_factory=list)

    def refuse(self, file: str, number: int, problem: str) -> None:
        """Count a broken line, and name it while there is room."""
        self.broken += 1
        if len(self.named) < NAMED:
            self.named.append(f"{file}:{number}: {problem}")


def read_events(files: Sequence[str], reading: Reading) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield every event with its file and line; `-` is standard input.

    Raises:
        click.UsageError: Where a file cannot be opened or read.
    """
    for file in files:
        try:
            with _opened(file) as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        reading.lines += 1
                        event = _event(line, file, number, reading)
                        if event is not None:
                            yield file, number, event
        except OSError as error:
            raise click.UsageError(
                f"{file} cannot be read ({error.strerror}). Give the files that MAS_GUARD_EVENTS named."
            ) from None


def _opened(file: str) -> Any:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    return open(file, "rb")


def _event(line: bytes, file: str, number: int, reading: Reading) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:  # UnicodeDecodeError is one, too
        reading.refuse(file, number, "no JSON (cut off, or written by something else)")
        return None
    except RecursionError:
        reading.refuse(file, number, "JSON nested too deep")
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        reading.refuse(file, number, "no event: an object with the key `event` was expected")
        return None
    if event.get("v") != EVENT_VERSION:
        reading.refuse(file, number, f"schema version {event.get('v')!r}, this mas-guard reads {EVENT_VERSION}")
        return None
    return event
