"""`mas-guard config`: what is set, where it comes from, and whether it is sound."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from mas_guard.config import Policy, Setting, json_schema, load_policy
from mas_guard.config.table import key_of, setting_of


@click.group()
def config() -> None:
    """Show, explain and check the settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def show(as_json: bool) -> None:
    """List every setting in force with the place it comes from."""
    policy = load_policy()
    if as_json:
        rows = {key: {"value": origin.value, "source": origin.source} for key, origin in policy.provenance.items()}
        click.echo(json.dumps({"version": 1, "settings": rows, "warnings": list(policy.warnings)}, indent=2))
        return
    width = max(map(len, policy.provenance))
    value_width = max(len(str(origin.value)) for origin in policy.provenance.values())
    for key, origin in policy.provenance.items():
        click.echo(f"{key:<{width}}  {origin.value!s:<{min(value_width, 30)}}  {origin.source}")


@config.command()
@click.argument("key")
def explain(key: str) -> None:
    """Say what one setting means, its value, where that comes from, and what it beat."""
    policy = load_policy()
    origin = policy.explain(key)
    wanted = key_of(key.removeprefix("MAS_GUARD_").replace(".", "__").split("__"))
    setting = setting_of(wanted)
    assert setting is not None  # explain() has refused what is none
    click.echo(f"{wanted} = {origin.value or 'empty'}    from {origin.source}")
    for source, value in origin.beaten:
        click.echo(f"  beats {value or 'empty'} from {source}")
    for line in _about(setting, policy):
        click.echo(line)


def _about(setting: Setting, policy: Policy) -> list[str]:
    lines = ["", setting.meaning, f"default   {setting.default or 'empty'}"]
    if setting.unit:
        lines.append(f"unit      {setting.unit}")
    if setting.choices:
        lines.append(f"choices   {', '.join(setting.choices)}")
    lines.append(f"variable  {setting.variable}={_quoted(setting.example)}")
    lines.append(f"in code   {setting.dotted}")
    if setting.key == "MODE" and policy.rules:
        modes = ", ".join(f"{rule} {own.mode}" for rule, own in policy.rules.items())
        lines.append(f"of rules  {modes}")
    return lines


def _quoted(example: str) -> str:
    return f"'{example}'" if example.startswith("{") else example


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(file: Path | None) -> None:
    """Check the settings in force, or FILE alone. Exit code 2 and a message where something is wrong."""
    if file is None:
        policy = load_policy()
    else:
        policy = _policy_of_file(file)
    for warning in policy.warnings:
        click.echo(f"⚠ {warning}")
    given = sum(origin.source != "default" for origin in policy.provenance.values())
    where = f"in {file}" if file is not None else "from files, variables and defaults"
    click.echo(f"✓ the settings {where} are sound; {given} are not at their default")


def _policy_of_file(file: Path) -> Policy:
    if not file.is_file():
        raise click.UsageError(f"There is no file {str(file)!r}. Give a mas-guard.toml or a pyproject.toml.")
    environ: dict[str, str] = {"MAS_GUARD_CONFIG": str(file.resolve())}
    # Looked for from an empty directory, so that no other file has a say.
    with tempfile.TemporaryDirectory() as nowhere:
        return load_policy(command_line={}, environ=environ, directory=nowhere)


@config.command()
def schema() -> None:
    """Print the JSON schema of a settings file, for editors and CI."""
    found: dict[str, Any] = json_schema()
    click.echo(json.dumps(found, indent=2))
