"""`mas-guard run`: starts an app under the guard without a line of it changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from mas_guard._launched import command_line_settings
from mas_guard.cli._env_file import read_env_file
from mas_guard.cli._preflight import Checked, check_settings, read_assignments
from mas_guard.launch.environment import guarded_environment, unguarded_environment

_OPTIONS_WITH_VALUE = ("--mode", "--set", "--env-file")


class _RunCommand(click.Command):
    """Our options stand before the app; from the app on everything is the app's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        begin = _where_the_app_begins(args)
        return super().parse_args(ctx, [*args[:begin], "--", *args[begin:]])


def _where_the_app_begins(arguments: list[str]) -> int:
    place = 0
    while place < len(arguments):
        argument = arguments[place]
        if argument == "--" or argument.startswith("-m") or not argument.startswith("-"):
            return place
        place += 2 if argument in _OPTIONS_WITH_VALUE else 1
    return len(arguments)


@click.command(
    cls=_RunCommand,
    options_metavar="[OPTIONS]",
    context_settings={"ignore_unknown_options": False},
    epilog="Examples: mas-guard run app.py · mas-guard run -m package.app --port 8000 · "
    "mas-guard run --set MAX_HOPS=6 -- uvicorn app:app",
)
@click.option("--mode", type=click.Choice(["enforce", "observe", "off"]), help="The same as --set MODE=…")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, such as MAX_HOPS=6 or budget.usd=2.",
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="A file of KEY=VALUE lines for the app's environment; variables that are set already keep their value.",
)
@click.argument("app", nargs=-1, type=click.UNPROCESSED, metavar="APP.PY | -m MODULE | -- EXECUTABLE  [ARGS]…")
def run(mode: str | None, assignments: tuple[str, ...], env_file: Path | None, app: tuple[str, ...]) -> None:
    """Run an app under the guard, with no line of it changed.

    Settings and plugins are checked before the app starts; child processes inherit the guard. When the app ends, a
    summary on standard error says what was armed, what not and why, and what each run spent. The exit code is the
    app's own, or 3 where a stop of the guard was not caught.
    """
    environ = {**(read_env_file(env_file) if env_file else {}), **os.environ}
    settings = {**command_line_settings(environ), **read_assignments(assignments)}
    if mode is not None:
        settings["MODE"] = mode
    command = _command(app)
    checked = check_settings(settings, environ)
    _start(command, _environment(checked, settings, environ, command))


def _command(app: tuple[str, ...]) -> list[str]:
    """What to execute for what was given, or a usage error that says how to write it."""
    if not app or app == ("--",):
        raise click.UsageError("Name the app: mas-guard run app.py, -m module, or -- executable.")
    if app[0] == "--":
        if shutil.which(app[1]) is None:
            raise click.UsageError(f"There is no executable {app[1]!r} on PATH.")
        return list(app[1:])
    if app[0] == "-m" and len(app) == 1:
        raise click.UsageError("-m needs a module: mas-guard run -m package.module.")
    if not app[0].startswith("-m") and not Path(app[0]).exists():
        hint = ""
        if shutil.which(app[0]):
            hint = f" To run the executable of that name: mas-guard run -- {' '.join(app)}"
        raise click.UsageError(f"There is no file {app[0]!r} in {os.getcwd()}.{hint}")
    return [sys.executable, *app]


def _environment(
    checked: Checked, settings: Mapping[str, Any], environ: Mapping[str, str], command: list[str]
) -> dict[str, str]:
    policy = checked.policy
    if policy.mode == "off":
        source = policy.explain("MODE").source
        click.echo(f"mas-guard: MODE=off ({source}): nothing is patched, nothing is guarded.", err=True)
        return unguarded_environment(environ, settings=settings)
    if not checked.adapters:
        click.echo(
            "mas-guard: no adapter is left to arm (MAS_GUARD_DISABLE, or none is installed): only apps that call "
            "mas_guard themselves are guarded.",
            err=True,
        )
    if flag := _flag_that_hides_us(command):
        message = f"{command[0]} {flag} does not read PYTHONPATH, so the guard cannot arm there: leave {flag} out."
        if policy.require_armed:
            raise click.UsageError(message)
        click.echo(f"mas-guard: NOT armed: {message}", err=True)
    return guarded_environment(
        environ,
        settings=settings,
        modules=[adapter.module for adapter in checked.adapters],
        require_armed=policy.require_armed,
    )


def _flag_that_hides_us(command: list[str]) -> str:
    """The option of a Python command that keeps sitecustomize or PYTHONPATH from being read; else empty."""
    if not re.match(r"(python|pypy)[0-9.]*(\.exe)?$", Path(command[0]).name):
        return ""
    for argument in command[1:]:
        if not argument.startswith("-") or argument.startswith(("-m", "-c", "--")):
            return ""
        if any(letter in argument for letter in "IES"):
            return argument
    return ""


def _start(command: list[str], environ: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # exec there would return to the shell while the app goes on
        sys.exit(subprocess.run(command, env=environ, check=False).returncode)
    os.execvpe(command[0], command, environ)
