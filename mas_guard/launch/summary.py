"""The closing summary of a process under `mas-guard run`: what was armed, what not, and what each run came to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from mas_guard import __version__
from mas_guard._guard import Guard, shared_guard
from mas_guard.adapter import Adapter
from mas_guard.launch.recorder import Recorder, RunLine
from mas_guard.types import NANO_USD_PER_USD

__all__ = ["Recorder", "closing_summary"]

_COLOURS = {"✓": "32", "⚠": "33", "☐": "36"}
_ASCII = {"✓": "[ok]", "⚠": "[!]", "☐": "[ ]", "↳": "->", "…": "...", "≥": ">=", "·": "-"}
_LONGEST = 400  # characters of a reason


def closing_summary(recorder: Recorder, failure: str = "", guard: Guard | None = None) -> str:
    """The summary as text for standard error, in plain ASCII and without colour where that is called for."""
    guard = guard or shared_guard()
    lines = [f"mas-guard {__version__} · mode {guard.status()['mode']}"]
    if failure:
        lines.append(f"⚠ not armed: {failure}")
    lines += _adapter_lines(guard)
    lines += _run_lines(recorder)
    lines += _trouble_lines(recorder, guard)
    return "".join(_fit(line) + "\n" for line in lines)


def _adapter_lines(guard: Guard) -> Iterator[str]:
    armed, not_armed = guard.armed, guard.not_armed
    for adapter in guard.adapters():
        version = adapter.found_version()
        if adapter.name in armed:
            yield f"✓ {adapter.name}: armed ({adapter.target} {version})"
        elif guard.armed and (version is None or (adapter.name not in not_armed and not adapter.loaded())):
            continue  # the app does not use it
        elif version is None:
            yield f"☐ {adapter.name}: {adapter.target} is not installed; to guard it: {install_command(adapter)}"
        elif adapter.name in not_armed:
            yield f"⚠ {adapter.name}: NOT armed: {not_armed[adapter.name]}"
        elif adapter.loaded():
            yield f"⚠ {adapter.name}: NOT armed although {adapter.module} is loaded. Run mas-guard doctor."
        else:
            yield f"  {adapter.name}: {adapter.target} {version} is installed and was not imported"


def install_command(adapter: Adapter) -> str:
    """The command that installs a supported version of *adapter*'s framework."""
    return f'pip install "{adapter.target}{adapter.supports}"'


def _run_lines(recorder: Recorder) -> Iterator[str]:
    if not recorder.count:
        yield "  no guarded run in this process"
        return
    shown = recorder.lines()
    rows = [("run", "status", "hops", "model calls", "tool calls", "tokens", "USD"), *map(_row, shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for place, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()
        if place and shown[place - 1].ended_by:
            reason = " ".join(shown[place - 1].ended_by.split())
            yield "    ↳ " + (reason if len(reason) <= _LONGEST else reason[: _LONGEST - 1] + "…")
    if recorder.count > 1:
        how = ", ".join(f"{count} {status}" for status, count in sorted(recorder.statuses.items()))
        spent = recorder.spent
        hidden = recorder.count - len(shown)
        yield (
            f"  {recorder.count} runs ({how}): {_figure(spent.model_calls)} model calls, "
            f"{_figure(spent.tool_calls)} tool calls, {_figure(spent.tokens)} tokens, "
            f"{_usd(spent.nano_usd, bool(recorder.unpriced_models))} USD"
            + (f"; {hidden} of them not shown" if hidden else "")
        )


def _row(line: RunLine) -> tuple[str, ...]:
    spent = line.spent
    figures = (line.hops, spent.model_calls, spent.tool_calls, spent.tokens)
    name = line.name if len(line.name) <= 40 else line.name[:39] + "…"
    return (name, line.status, *map(_figure, figures), _usd(spent.nano_usd, line.unpriced))


def _trouble_lines(recorder: Recorder, guard: Guard) -> Iterator[str]:
    for model in sorted(recorder.unpriced_models):
        yield (
            f'⚠ no price is known for model {model!r}: its cost is missing above. Add [models."{model}"] input_price = '
            '"…" and output_price = "…" (USD per million tokens) to mas-guard.toml'
        )
    running = guard.status()["runs"]
    if running:
        yield f"⚠ {len(running)} runs had not ended when the process did; the figures leave them out"
    engine = guard.engine
    if engine.lost_events:
        yield f"⚠ {engine.lost_events} event lines were lost: set MAS_GUARD_EVENTS to a path that can be written"
    for name, error in engine.plugins.failed_entry_points.items():
        yield f"⚠ plugin {name!r} could not be loaded ({type(error).__name__}: {error}): fix or uninstall it"
    faults = engine.plugins.errors.count - len(engine.plugins.failed_entry_points)
    if faults > 0:
        yield f"⚠ {faults} internal errors; the app went on, each kind was logged once"


def _figure(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _usd(nano_usd: int, unpriced: bool) -> str:
    if unpriced and not nano_usd:
        return "unknown"
    amount = nano_usd / NANO_USD_PER_USD
    text = f"{amount:.2f}" if amount >= 1 else f"{amount:.4f}" if amount >= 0.0001 or not amount else f"{amount:.7f}"
    return f"≥ {text}" if unpriced else text


def _fit(line: str) -> str:
    stream = sys.stderr
    try:
        line.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        for mark, plain in _ASCII.items():
            line = line.replace(mark, plain)
    colour = _COLOURS.get(line[:1])
    if colour and stream.isatty() and not os.environ.get("NO_COLOR"):
        return f"\033[{colour}m{line[0]}\033[0m{line[1:]}"
    return line
