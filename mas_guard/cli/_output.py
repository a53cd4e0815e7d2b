"""What commands print: findings with their marks, and GitHub's step summary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from mas_guard.adapter import Finding

MARKS = {"ok": ("✓", "green"), "warning": ("⚠", "yellow"), "error": ("✗", "red")}

FORMAT = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Text for people, or one JSON object.",
)  # fmt: skip


def line_of(finding: Finding) -> str:
    """A finding as one line that ends with its fix."""
    return f"{finding.text} → {finding.fix}" if finding.fix else finding.text


def echo_findings(findings: Iterable[Finding]) -> None:
    """Print findings, one a line, coloured where the terminal and NO_COLOR allow."""
    for finding in findings:
        mark, colour = MARKS[finding.mark]
        click.echo(f"{click.style(mark, fg=colour)} {line_of(finding)}")


def write_step_summary(title: str, lines: Sequence[str]) -> None:
    """Append Markdown *lines* to the summary of a GitHub workflow's step, where one is running."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as summary:
            summary.write("\n".join([f"### {title}", "", *lines, ""]) + "\n")
    except OSError as error:
        click.echo(f"mas-guard: GITHUB_STEP_SUMMARY cannot be written ({error}); nothing else is affected", err=True)


def findings_as_markdown(findings: Iterable[Finding]) -> list[str]:
    """Findings as a Markdown list."""
    return [f"- {MARKS[finding.mark][0]} {line_of(finding)}" for finding in findings]
