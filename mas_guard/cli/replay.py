"""`mas-guard replay`: what the guard would have done in recorded runs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import click

from mas_guard.cli._event_files import Reading
from mas_guard.cli._output import write_step_summary
from mas_guard.config import load_policy
from mas_guard.diagnose import MODES, NEEDS_A_JUDGE, Finding, Replay, Report

FINDINGS = 1
SHOWN = 20
"""Findings of one run that the text names one by one; the JSON lines hold all."""

_WOULD = {
    "stop": "would have been stopped",
    "block": "would have been blocked",
    "redirect": "would have been redirected",
    "warn": "would have been warned of",
}


@dataclass(slots=True)
class _Tally:
    """What came of all runs; `actions` and `modes` count runs, not findings."""

    runs: int = 0
    found: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)

    def count(self, report: Report) -> None:
        self.runs += 1
        self.found += bool(report.findings)
        self.actions.update({finding.action for finding in report.findings})
        self.modes.update({finding.mode for finding in report.findings if finding.mode})


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--format", "output_format", type=click.Choice(["text", "jsonl"]), default="text", show_default=True,
    help="Text for people, or one JSON object a run.",
)  # fmt: skip
@click.pass_context
def replay(context: click.Context, files: tuple[str, ...], output_format: str) -> None:
    """Read recorded runs from each FILE (`-` is standard input) and say what the guard would have done.

    FILE holds events of mas-guard, OpenTelemetry GenAI spans, or recorded runs, as JSON, gzip'd or not. Exit code 1
    where something was found; 2 where no run could be read.
    """
    reading, tally = Reading(), _Tally()
    for file, report in _reports(files, Replay(load_policy()), reading):
        tally.count(report)
        if output_format == "jsonl":
            click.echo(json.dumps(report.as_json(), ensure_ascii=True, default=str))
        elif report.findings:
            for line in _said(file, report):
                click.echo(line)
    if not tally.runs:
        raise click.UsageError(_nothing_found(files, reading))
    summary = list(_summary(tally, reading))
    for line in summary:
        click.echo(line, err=output_format == "jsonl")
    write_step_summary("mas-guard replay", [f"- {line.strip()}" for line in summary])
    context.exit(FINDINGS if tally.found else 0)


def _reports(files: tuple[str, ...], replaying: Replay, reading: Reading) -> Iterator[tuple[str, Report]]:
    file = ""
    for file in files:

        def refuse(line: int, problem: str, file: str = file) -> None:
            reading.refuse(file, line, problem)

        try:
            with _opened(file) as stream:
                for report in replaying.read(stream, refuse):
                    yield file, report
        except OSError as error:
            raise click.UsageError(
                f"{file} cannot be read ({error.strerror or error}). Give files of recorded runs: what "
                "MAS_GUARD_EVENTS named, or spans exported as JSON."
            ) from None
    for report in replaying.unfinished():
        yield file, report


def _opened(file: str) -> Any:
    return nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb")


def _said(file: str, report: Report) -> Iterator[str]:
    count = len(report.findings)
    yield f"{file}: run {report.run}: {count} finding{'' if count == 1 else 's'}"
    for finding in report.findings[:SHOWN]:
        yield f"  event {finding.event}: {_WOULD[finding.action]} by {finding.rule}{_mode(finding)}: {finding.summary}"
    if count > SHOWN:
        yield f"  and {count - SHOWN} more; --format jsonl names all"


def _mode(finding: Finding) -> str:
    return f" ({finding.mode} {MODES[finding.mode]})" if finding.mode else ""


def _summary(tally: _Tally, reading: Reading) -> Iterator[str]:
    yield (
        f"{tally.runs:,} run{'' if tally.runs == 1 else 's'}, {tally.found:,} with findings: "
        f"{tally.actions['warn']:,} warned of, {tally.actions['redirect']:,} redirected, "
        f"{tally.actions['block']:,} blocked, {tally.actions['stop']:,} stopped"
    )
    if tally.modes:
        yield "by mode: " + ", ".join(f"{mode} {MODES[mode]}: {count:,}" for mode, count in sorted(tally.modes.items()))
    yield f"not looked for, as they need a judge: {', '.join(sorted(NEEDS_A_JUDGE))}"
    if reading.broken:
        yield f"⚠ left out {reading.broken:,} broken record{'' if reading.broken == 1 else 's'}:"
        yield from (f"    {line}" for line in reading.named)
        if reading.broken > len(reading.named):
            yield f"    and {reading.broken - len(reading.named):,} more"


def _nothing_found(files: tuple[str, ...], reading: Reading) -> str:
    seen = f" ({reading.broken} broken records, the first: {reading.named[0]})" if reading.broken else ""
    return (
        f"No run in {', '.join(files)}{seen}. Record some without changing what the app does: "
        "MAS_GUARD_MODE=observe MAS_GUARD_EVENTS=events.jsonl mas-guard run app.py"
    )
