"""What is checked before an app is started, so that a wrong setting fails at once and not in the middle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mas_guard._engine import Engine
from mas_guard._plugins import Plugins
from mas_guard.adapter import Adapter
from mas_guard.config import Policy, load_policy
from mas_guard.errors import AdapterError, ConfigError


class Checked(NamedTuple):
    """What the settings and plugins came to: the policy, and the adapters that the process will arm."""

    policy: Policy
    adapters: list[Adapter]


def check_settings(command_line: Mapping[str, Any], environ: Mapping[str, str]) -> Checked:
    """Read every setting, load every plugin, open the store.

    Raises:
        ConfigError: For a wrong setting or file, a plugin that misspells a hook, or an unknown store.
        AdapterError: With REQUIRE_ARMED, where a framework that is installed cannot be guarded.
    """
    policy = load_policy(command_line=command_line, environ=environ)
    if policy.mode == "off":
        return Checked(policy, [])
    plugins = Plugins()
    Engine(policy, plugins=plugins)
    if policy.require_armed and plugins.failed_entry_points:
        name, error = next(iter(plugins.failed_entry_points.items()))
        raise AdapterError(
            f"REQUIRE_ARMED: plugin {name!r} cannot be loaded ({type(error).__name__}: {error}). Fix it, uninstall its "
            "package, or set MAS_GUARD_REQUIRE_ARMED=false."
        )
    left_out = policy.disable
    adapters = [adapter for adapter in plugins.adapters() if adapter.name not in left_out and "*" not in left_out]
    if policy.require_armed:
        for adapter in adapters:
            adapter.check_version()
        if not any(adapter.found_version() for adapter in adapters):
            raise AdapterError(
                "REQUIRE_ARMED: no framework that can be guarded is installed. Install one of "
                f"{', '.join(adapter.target for adapter in adapters) or 'mas-guard[langgraph]'}, or set "
                "MAS_GUARD_REQUIRE_ARMED=false."
            )
    return Checked(policy, adapters)


def read_assignments(given: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE` of `--set`; a key may be written as in variables or in files, a value in braces is JSON.

    Raises:
        ConfigError: Where one is no KEY=VALUE, or its JSON is broken.
    """
    settings: dict[str, Any] = {}
    for text in given:
        key, separator, value = text.partition("=")
        key = key.strip().removeprefix("MAS_GUARD_")
        if not separator or not key:
            raise ConfigError(
                f"--set {text!r} is no KEY=VALUE. Write --set MAX_HOPS=6 or --set budget.usd=2.50.",
                source="command line",
                key=key,
            )
        settings[key.replace(".", "__")] = _value(key, value.strip())
    return settings


def _value(key: str, text: str) -> Any:
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"--set {key}={text[:60]} is no JSON ({error}). Write an object: "
            """--set TOOLS='{"poll": {"repeat": 50}}'.""",
            source="command line",
            key=key,
        ) from None
