"""`mas-guard suggest`: from recorded runs to limits of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import click

from mas_guard.cli._event_files import Reading, read_events
from mas_guard.cli._output import FORMAT, write_step_summary
from mas_guard.cli._recorded_runs import RecordedRuns
from mas_guard.cli._suggestion import LimitReport, as_environment, as_toml, limit_reports
from mas_guard.config import load_policy

_HEAD = ("limit", "p50", "p95", "p99", "max", "default", "runs it would have ended", "suggested")


@click.command()
@click.argument("events", nargs=-1, required=True, metavar="EVENTS…")
@FORMAT
def suggest(events: tuple[str, ...], output_format: str) -> None:
    """Read recorded EVENTS (JSON lines, `-` is standard input) and suggest limits.

    Says for each limit the p50, p95, p99 and maximum over all finished runs, how many runs the default would have
    ended, and settings to paste that would have ended none of them.
    """
    reading = Reading()
    runs = RecordedRuns(load_policy())
    for file, number, event in read_events(events, reading):
        problem = runs.take(event)
        if problem:
            reading.refuse(file, number, problem)
    if not runs.count:
        raise click.UsageError(_nothing_found(events, reading, runs))
    reports = limit_reports(runs)
    if output_format == "json":
        click.echo(json.dumps(_as_json(events, reading, runs, reports), indent=2))
    else:
        for line in (*_facts(events, reading, runs), "", *_table(reports), "", *_settings(runs, reports)):
            click.echo(line)
    write_step_summary("mas-guard suggest", _markdown(events, reading, runs, reports))


def _nothing_found(events: tuple[str, ...], reading: Reading, runs: RecordedRuns) -> str:
    seen = f"{reading.lines} lines"
    if reading.broken:
        seen += f", {reading.broken} of them broken ({reading.named[0]})"
    if runs.unfinished or runs.suspended:
        seen += f", {runs.unfinished + runs.suspended} runs without an end"
    return (
        f"No finished run in {', '.join(events)} ({seen}). Record some without changing what the app does: "
        "MAS_GUARD_MODE=observe MAS_GUARD_EVENTS=events.jsonl mas-guard run app.py"
    )


def _facts(events: tuple[str, ...], reading: Reading, runs: RecordedRuns) -> Iterator[str]:
    how = ", ".join(f"{count} {status}" for status, count in runs.statuses.items())
    files = events[0] if len(events) == 1 else f"{len(events)} files"
    yield f"{_counted(runs.count, 'finished run')} in {files} ({_counted(reading.lines, 'line')}): {how}"
    if reading.broken:
        yield f"⚠ left out {_counted(reading.broken, 'broken line')}:"
        yield from (f"    {line}" for line in reading.named)
        if reading.broken > len(reading.named):
            yield f"    and {reading.broken - len(reading.named)} more"
    if runs.would_stop:
        yield f"⚠ observe mode recorded that enforce would have ended: {_by_rule(runs.would_stop)}"
    if runs.ended_by:
        yield (
            f"⚠ the guard ended {_by_rule(runs.ended_by)}; what those would have needed is not known, so the settings "
            "below rest on the others"
        )
    if runs.suspended:
        yield f"⚠ left out {_counted(runs.suspended, 'run')} waiting for a human"
    if runs.unfinished:
        yield f"⚠ left out {_counted(runs.unfinished, 'run')} without an end in these records (still running, or lost)"
    if runs.unpriced:
        yield (
            f"⚠ no price is known for {', '.join(sorted(runs.unpriced)[:10])}: the USD figures are too low, and a "
            "limit in USD would refuse these models. Add [models.NAME] input_price and output_price to mas-guard.toml"
        )


def _by_rule(counts: dict[str, int]) -> str:
    return ", ".join(f"{_counted(count, 'run')} by {rule}" for rule, count in counts.items())


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count:,} {thing}s".replace(",", " ")


def _table(reports: list[LimitReport]) -> Iterator[str]:
    rows = [_HEAD, *map(_row, reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def _row(report: LimitReport) -> tuple[str, ...]:
    figures = (report.p50, report.p95, report.p99, report.most)
    return (
        report.figure.replace("_", " "),
        *(_number(report.figure, figure) for figure in figures),
        report.default,
        str(report.ended_by_default),
        report.suggested or "-",
    )


def _number(figure: str, value: float) -> str:
    if figure == "usd":
        return f"{value:.4f}"
    return f"{value:.1f}" if figure == "seconds" else f"{value:,.0f}".replace(",", " ")


def _settings(runs: RecordedRuns, reports: list[LimitReport]) -> Iterator[str]:
    if not any(report.suggested for report in reports):
        yield "No settings can be suggested: the guard ended every recorded run. Record some in observe mode."
        return
    yield f"These settings would have ended none of {_basis(runs)}; where a limit is missing, its default does."
    if any(report.figure == "repeats" and report.suggested for report in reports):
        yield "A tool that is meant to poll is better named in MAS_GUARD_POLL_TOOLS than let through by this."
    yield from ("", "# mas-guard.toml", *as_toml(reports), "", "# or as variables", *as_environment(reports))


def _basis(runs: RecordedRuns) -> str:
    free = len(runs.free_rows())
    if free == runs.count:
        return "these runs"
    return f"the {_counted(free, 'run')} that the guard did not end"


def _markdown(events: tuple[str, ...], reading: Reading, runs: RecordedRuns, reports: list[LimitReport]) -> list[str]:
    names = tuple(PurePath(event).name for event in events)
    lines = [f"- {line.strip()}" for line in _facts(names, reading, runs)]
    lines += ["", "| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    lines += ["| " + " | ".join(_row(report)) + " |" for report in reports]
    return [*lines, "", "```toml", *as_toml(reports), "```"]


def _as_json(
    events: tuple[str, ...], reading: Reading, runs: RecordedRuns, reports: list[LimitReport]
) -> dict[str, Any]:
    return {
        "version": 1,
        "files": list(events),
        "lines": reading.lines,
        "broken": {"count": reading.broken, "first": reading.named},
        "runs": {
            "finished": runs.count,
            "statuses": runs.statuses,
            "ended_by": runs.ended_by,
            "would_stop": runs.would_stop,
            "suspended": runs.suspended,
            "unfinished": runs.unfinished,
        },
        "unpriced_models": sorted(runs.unpriced),
        "limits": {
            report.figure: {
                "setting": report.key,
                "p50": report.p50,
                "p95": report.p95,
                "p99": report.p99,
                "max": report.most,
                "default": report.default,
                "ended_by_default": report.ended_by_default,
                "suggested": report.suggested or None,
            }
            for report in reports
        },
        "settings": {"toml": "\n".join(as_toml(reports)), "env": as_environment(reports)},
    }
