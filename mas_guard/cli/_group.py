"""The group of commands: each loaded when it is asked for, those of plugins after our own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from mas_guard.errors import GuardError, GuardStopped

CONFIGURATION = 2
STOPPED = 3


class CommandGroup(click.Group):
    """A click group that imports a command's module with its first use.

    Args:
        commands_at: Where each of our own commands is: `{"run": "package.module:attribute"}`.
    """

    def __init__(self, *arguments: Any, commands_at: Mapping[str, str], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._commands_at = dict(commands_at)
        self._plugins_asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own commands in their order, then those of plugins."""
        self._ask_plugins()
        return [*self._commands_at, *sorted(set(self.commands) - set(self._commands_at))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; plugins are loaded only where it is none of ours, and cannot replace one."""
        place = self._commands_at.get(cmd_name)
        if place is not None:
            module, _, attribute = place.partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; our errors become a message and an exit code."""
        try:
            return super().invoke(ctx)
        except GuardStopped as error:
            click.echo(f"mas-guard: {error}", err=True)
            ctx.exit(STOPPED)
        except GuardError as error:
            click.echo(f"mas-guard: {error}", err=True)
            ctx.exit(CONFIGURATION)

    def _ask_plugins(self) -> None:
        if self._plugins_asked:
            return
        self._plugins_asked = True
        try:
            from mas_guard._plugins import Plugins

            Plugins().add_commands(self)
        except Exception as error:  # a plugin's fault must not take our own commands away
            click.echo(f"mas-guard: commands of plugins are missing: {error}", err=True)
