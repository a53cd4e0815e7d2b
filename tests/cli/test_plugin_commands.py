"""Plugins add commands; they cannot take ours away."""

from __future__ import annotations

from typing import Any

ADDS = """
import click, mas_guard

@click.command()
def hello():
    click.echo("hello from a plugin")

@mas_guard.hookimpl
def mas_guard_add_commands(group):
    group.add_command(hello)
    group.add_command(hello, "config")
"""


def test_a_plugins_command_stands_beside_ours_and_does_not_replace_one(workspace: Any) -> None:
    env = workspace.plugin("greeter", ADDS)
    assert workspace.mas_guard("hello", env=env).out == "hello from a plugin\n"
    assert "hello" in workspace.mas_guard("--help", env=env).out
    assert "MAX_HOPS" in workspace.mas_guard("config", "show", env=env).out


def test_a_plugin_that_fails_takes_no_command_of_ours_with_it(workspace: Any) -> None:
    env = workspace.plugin("failing", ADDS.replace("group.add_command(hello)", "raise OSError('no')"))
    done = workspace.mas_guard("--help", env=env)
    assert done.code == 0
    assert "doctor" in done.out and "commands of plugins are missing: no" in done.err
