"""From flat values by key to the parts of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mas_guard.config.groups import (
    AgentSettings,
    Budget,
    ModelSettings,
    Repetition,
    Retries,
    ReviewSettings,
    RuleSettings,
    ToolSettings,
)
from mas_guard.config.once import once_tools
from mas_guard.config.table import BY_KEY, TABLES, name_in, setting_of
from mas_guard.config.values import UNLIMITED_REPEATS
from mas_guard.config.windows import windows_in


def parts_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the policy that *values* make; every setting without a name must be there."""
    plain = {key.lower(): value for key, value in values.items() if "__" not in key}
    tables = _by_name(values)
    return {
        **plain,
        "poll_tools": frozenset(plain["poll_tools"]),
        "disable": frozenset(plain["disable"]),
        "once_tools": once_tools(values),
        "budget": _budget(values, "BUDGET__"),
        "agent_budget": _budget(values, "AGENT_BUDGET__"),
        "repetition": Repetition(
            values["REPETITION__REDIRECT"],
            values["REPETITION__BLOCK"],
            values["REPETITION__STOP"],
        ),
        "retries": Retries(values["RETRIES__PER_CALL"], values["RETRIES__PER_TASK"]),
        "review": ReviewSettings(
            **{key[8:].lower(): value for key, value in values.items() if key.startswith("REVIEW__")}
        ),
        "agents": MappingProxyType({name: _agent(values, given) for name, given in tables["AGENTS"].items()}),
        "budgets": MappingProxyType({name: _budget(given, "") for name, given in tables["BUDGETS"].items()}),
        "windows": MappingProxyType(windows_in(tables["WINDOWS"])),
        "tools": MappingProxyType({name: ToolSettings(**given) for name, given in tables["TOOLS"].items()}),
        "models": MappingProxyType({name: ModelSettings(**given) for name, given in tables["MODELS"].items()}),
        "rules": MappingProxyType({name: RuleSettings(**given) for name, given in tables["RULES"].items()}),
        "unlimited": tuple(key for key, value in values.items() if _is_lifted(key, value)),
    }


def _by_name(values: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    tables: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in TABLES}
    for key, value in values.items():
        setting = setting_of(key)
        if setting is not None and setting.named:
            table, part = setting.key.split("__*__")
            tables[table].setdefault(name_in(setting, key), {})[part.lower()] = value
    return tables


def _budget(values: Mapping[str, Any], prefix: str) -> Budget:
    return Budget(
        *(
            values.get(prefix + unit, values.get(prefix + unit.lower()))
            for unit in ("TOKENS", "MODEL_CALLS", "TOOL_CALLS", "USD")
        )
    )


def _agent(values: Mapping[str, Any], given: Mapping[str, Any]) -> AgentSettings:
    own = {f"AGENT_BUDGET__{part.removeprefix('budget__').upper()}": value for part, value in given.items()}
    return AgentSettings(
        _budget({**values, **own}, "AGENT_BUDGET__"),
        given.get("step_timeout", values["STEP_TIMEOUT"]),
        given.get("targets"),
        given.get("is_agent"),
        bool(given.get("loop")),
        given.get("max_rounds"),
        given.get("patience"),
        given.get("done_when"),
        given.get("contract"),
        given.get("failure_output"),
    )


def _is_lifted(key: str, value: Any) -> bool:
    setting = setting_of(key)
    if setting is None or not setting.limit:
        return False
    if setting.key == "TOOLS__*__REPEAT":
        return bool(value == UNLIMITED_REPEATS)
    return value is None and (setting.named or BY_KEY[key].default != "none")
