"""`mas-guard doctor`: what is installed, supported, armed, and what is missing, each with its fix."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from mas_guard import __version__
from mas_guard._guard import shared_guard
from mas_guard.adapter import Finding
from mas_guard.cli import _checks
from mas_guard.cli._app_object import load_app
from mas_guard.cli._models_of import models_of
from mas_guard.cli._output import FORMAT, echo_findings, findings_as_markdown, write_step_summary
from mas_guard.cli._store_checks import store_findings
from mas_guard.config import load_policy

FINDINGS = 1

Sections = dict[str, list[Finding]]


@click.command()
@click.argument("app", required=False, metavar="[APP.PY:GRAPH | MODULE:ATTRIBUTE]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Look up this model's price and largest output.")
@FORMAT
@click.pass_context
def doctor(context: click.Context, app: str | None, models: tuple[str, ...], output_format: str) -> None:
    """Check the installation, the settings and, where one is named, an APP. Importing it runs its module.

    Exit code 1 where an error (✗) was found; each ends with the command or line that fixes it.
    """
    sections = dict(_sections(app, models))
    everything = [finding for findings in sections.values() for finding in findings]
    errors = sum(finding.mark == "error" for finding in everything)
    if output_format == "json":
        click.echo(json.dumps(_as_json(sections, errors), indent=2))
    else:
        for title, findings in sections.items():
            click.echo(click.style(title, bold=True))
            echo_findings(findings)
        warnings = sum(finding.mark == "warning" for finding in everything)
        click.echo(f"{errors} errors, {warnings} warnings")
    write_step_summary("mas-guard doctor", findings_as_markdown(everything))
    context.exit(FINDINGS if errors else 0)


def _sections(app: str | None, models: tuple[str, ...]) -> Iterator[tuple[str, list[Finding]]]:
    policy = load_policy()
    guard = shared_guard()
    yield "Python", list(_checks.python_findings())
    yield "Settings", list(_checks.settings_findings(policy))
    yield "Store", list(store_findings(policy))
    yield "Coordination", list(_checks.coordination_findings(policy))
    yield "Plugins", list(_checks.plugin_findings(guard))
    names = list(models)
    about_app: list[Finding] = []
    found = load_app(app) if app is not None else None
    yield "Adapters", list(_checks.adapter_findings(guard, policy))
    if app is not None:
        about_app = list(_checks.app_findings(found, app, guard, policy))
        names += [name for name in models_of(found) if name not in names]
        yield "App", about_app
    if names:
        yield "Models", list(_checks.model_findings(names, policy))


def _as_json(sections: Sections, errors: int) -> dict[str, object]:
    return {
        "version": 1,
        "mas_guard": __version__,
        "errors": errors,
        "findings": [
            {"section": title.lower(), "mark": finding.mark, "text": finding.text, "fix": finding.fix}
            for title, findings in sections.items()
            for finding in findings
        ],
    }
