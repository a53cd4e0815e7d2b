"""The wording of settings errors: the key, where it was given, what was given, what is wrong, and the next step."""

from __future__ import annotations

from typing import Any

from mas_guard.config.setting import Setting
from mas_guard.config.table import BY_KEY, GROUPS, TABLES, nearest
from mas_guard.config.writing import HIDDEN, without_password
from mas_guard.errors import ConfigError

ENVIRONMENT = "environment variable "


def wrong_value(setting: Setting, key: str, source: str, given: Any, problem: str) -> ConfigError:
    """*given* is no value of *setting*."""
    return ConfigError(
        f"{key} = {HIDDEN if setting.secret else shown(given)} from {source}: {problem}. Set it like {example_of(setting, source)}, or leave it out for "
        f"the default ({setting.default or 'empty'}).",
        source=source,
        key=key,
    )


def conflict(key: str, source: str, problem: str, fix: str) -> ConfigError:
    """Values that are fine alone and impossible together."""
    return ConfigError(f"{key} from {source}: {problem}. {fix}", source=source, key=key)


def not_yet(key: str, source: str, given: Any, why: str) -> ConfigError:
    """*key* will be a setting and is none in this version."""
    return ConfigError(f"{key} = {shown(given)} from {source}: {why}.", source=source, key=key)


def unknown_key(key: str, source: str) -> ConfigError:
    """*key* is no setting; say which one is near."""
    return ConfigError(
        f"{_unknown(key, source)} `mas-guard config schema` lists all.",
        source=source,
        key=key,
    )


def _unknown(key: str, source: str) -> str:
    in_environment = source.startswith(ENVIRONMENT)
    members = members_of(key)
    if key in TABLES:
        example = next(known.example for known in BY_KEY.values() if known.key.startswith(key + "__*__"))
        return f"{key} from {source} is a table by name: give JSON, MAS_GUARD_{key}='{example}'."
    if members:
        return f"{key} from {source} is a group of settings, not one: set {' or '.join(members)}."
    table, _, rest = key.partition("__")
    if table in TABLES and rest:
        name, _, field = rest.partition("__")
        fields = [known.split("__*__")[1] for known in BY_KEY if known.startswith(table + "__*__")]
        if not field:
            return f"{table.lower()}.{name} from {source} must be a table of settings: {', '.join(fields).lower()}."
        near = nearest(field, fields)
        hint = f"did you mean {near.lower()}?" if near else f"it may be {', '.join(sorted(fields)).lower()}."
        return f"{field.lower()!r} in {table.lower()}.{name} from {source} is no setting: {hint}"
    near = nearest(key.upper(), [known for known in BY_KEY if "*" not in known] + sorted(TABLES))
    if not near:
        return f"{key} from {source} is no setting: remove it, or look up its name."
    if in_environment:
        return f"{key} from {source} is no setting: did you mean {near} (MAS_GUARD_{near})?"
    return f"{key.lower().replace('__', '.')!r} from {source} is no setting: did you mean {near.lower().replace('__', '.')}?"


def members_of(key: str) -> list[str]:
    """The settings under the group *key*; empty where it is none."""
    if key not in GROUPS:
        return []
    return [known.replace("*", "NAME") for known in BY_KEY if known.startswith(key + "__")]


def example_of(setting: Setting, source: str) -> str:
    """A line that sets *setting* in the way of *source*."""
    value = setting.example
    if value.startswith("{"):
        return f"{setting.variable}='{value}'"
    return f"{setting.variable}={value}" if source.startswith(ENVIRONMENT) else f"{setting.dotted} = {value}"


def shown(given: Any) -> str:
    """What was given, short and without passwords."""
    text = without_password(repr(given) if isinstance(given, str) else str(given))
    return text if len(text) <= 80 else text[:77] + "..."
