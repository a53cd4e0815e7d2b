"""Which tools happen at most once, and by which arguments one effect is told from another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from mas_guard.config.faults import ENVIRONMENT, conflict, shown
from mas_guard.config.table import name_in, setting_of

Origin = Callable[[str], str]

DURABLE_STORES = ("sqlite", "redis", "rediss", "redis+sentinel", "redis+cluster", "unix", "valkey", "valkeys")
"""Schemes of STORE whose records outlive the process."""


def once_tools(values: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """The arguments that make up the key of an effect, by tool; `[tools.NAME] once` stands above ONCE_TOOLS."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in values["ONCE_TOOLS"]:
        tool, arguments = split(entry)
        found.setdefault(tool, arguments)
    for key, value in values.items():
        setting = setting_of(key)
        if setting is not None and setting.key == "TOOLS__*__ONCE":
            tool = name_in(setting, key)
            if value is None:
                found.pop(tool, None)
            else:
                found[tool] = arguments_in(value)
    return MappingProxyType(found)


def split(entry: str) -> tuple[str, tuple[str, ...]]:
    """The tool and the arguments of one entry of ONCE_TOOLS; no arguments where it names none."""
    tool, colon, arguments = entry.rpartition(":")
    return (tool.strip(), arguments_in((arguments,))) if colon else (entry.strip(), ())


def arguments_in(given: Iterable[str]) -> tuple[str, ...]:
    """Argument names, of which one text may hold several with a plus between."""
    names = (name.strip() for text in given for name in text.split("+"))
    return tuple(dict.fromkeys(name for name in names if name))


def check_once(values: Mapping[str, Any], origin: Origin) -> None:
    """Raise a `ConfigError` with the line to add where a tool has no key, two keys, or nothing to be remembered in."""
    seen: dict[str, str] = {}
    for entry in values["ONCE_TOOLS"]:
        tool, arguments = split(entry)
        if not tool:
            raise _without_tool(entry, origin("ONCE_TOOLS"))
        if not arguments:
            raise _without_key("ONCE_TOOLS", origin("ONCE_TOOLS"), tool)
        if tool in seen:
            raise conflict(
                "ONCE_TOOLS",
                origin("ONCE_TOOLS"),
                f"the tool {tool!r} has two keys, {seen[tool]} and {entry}",
                "Keep one: an effect that differs in either argument has the key argument+argument.",
            )
        seen[tool] = entry
    for key, value in values.items():
        setting = setting_of(key)
        if setting is not None and setting.key == "TOOLS__*__ONCE" and value is not None and not arguments_in(value):
            raise _without_key(key, origin(key), name_in(setting, key))
    _check_store(values, origin)


def _check_store(values: Mapping[str, Any], origin: Origin) -> None:
    tools = once_tools(values)
    if not tools or values["ONCE_STORE"] == "memory":
        return
    scheme = values["STORE"].partition(":")[0].lower()
    if scheme in DURABLE_STORES:
        return
    tool = next(iter(tools))
    named = {split(entry)[0] for entry in values["ONCE_TOOLS"]}
    key = "ONCE_TOOLS" if tool in named else f"TOOLS__{tool}__ONCE"
    raise conflict(
        key,
        origin(key),
        f"{tool!r} may happen once, and STORE = {shown(values['STORE'])} forgets that it has when the process ends",
        f"Add {_line('STORE', 'sqlite:///mas-guard.db', origin(key))}, or, where one process that may not crash is enough, "
        f"{_line('ONCE_STORE', 'memory', origin(key))}.",
    )


def _without_key(key: str, source: str, tool: str) -> Exception:
    return conflict(
        key,
        source,
        f"the tool {tool!r} happens once, and nothing says which arguments tell one effect from another",
        f"Name them, here for an argument order_id: MAS_GUARD_ONCE_TOOLS={tool}:order_id, or in mas-guard.toml "
        f'[tools."{tool}"] once = ["order_id"].',
    )


def _without_tool(entry: str, source: str) -> Exception:
    return conflict(
        "ONCE_TOOLS", source, f"{shown(entry)} names no tool", "Write tool:argument, such as refund:order_id."
    )


def _line(key: str, value: str, source: str) -> str:
    """The line that sets *key*, in the way of *source*."""
    return f"MAS_GUARD_{key}={value}" if source.startswith(ENVIRONMENT) else f'{key.lower()} = "{value}"'
