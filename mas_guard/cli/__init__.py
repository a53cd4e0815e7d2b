"""The `mas-guard` command line. click is imported nowhere else.

Exit codes: 0 fine; 1 findings; 2 wrong usage or configuration; 3 stopped by the guard. `run` passes the app's own
code through.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from mas_guard import __version__
from mas_guard.cli._group import CommandGroup

__all__ = ["commands", "main"]


@click.group(
    "mas-guard",
    cls=CommandGroup,
    commands_at={
        "run": "mas_guard.cli.run:run",
        "doctor": "mas_guard.cli.doctor:doctor",
        "config": "mas_guard.cli.config:config",
        "suggest": "mas_guard.cli.suggest:suggest",
        "contracts": "mas_guard.cli.contracts:contracts",
        "replay": "mas_guard.cli.replay:replay",
        "reviews": "mas_guard.cli.reviews:reviews",
        "runs": "mas_guard.cli.runs:runs",
        "ledger": "mas_guard.cli.ledger:ledger",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mas-guard")
@click.pass_context
def commands(context: click.Context) -> None:
    """Guards multi-agent LLM apps: budgets, hops, owners and loop detection that hold.

    Exit codes: 0 fine; 1 findings; 2 wrong usage or configuration; 3 stopped by the guard.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    commands.main(args=None if arguments is None else list(arguments), prog_name="mas-guard")
