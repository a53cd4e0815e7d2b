"""Where contracts are declared: a framework's own types, the settings, an app object."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mas_guard.contracts.contract import FREE_TEXT, NOT_DECLARED, Contract
from mas_guard.errors import ConfigError

if TYPE_CHECKING:
    from mas_guard.config import Policy


def contract_of(
    declared: Any,
    *,
    failure_output: Any = NOT_DECLARED,
    consumers: tuple[str, ...] = (),
    source: str = "app",
) -> Contract:
    """Return the contract that *declared* stands for.

    Args:
        declared: A pydantic model, dataclass, TypedDict or any other type that pydantic knows; `str` or `None` for an agent
            that answers in words; a JSON schema as a mapping; or a `Contract`, which is returned as it is.
        failure_output: What the agent gives where it fails.
        consumers: The agents that take the output.
        source: Where it was declared: `app`, `settings` or `runs`.

    Raises:
        TypeError: Where no contract can be made of it.
    """
    if isinstance(declared, Contract):
        return declared
    if declared is None or declared is str:
        schema: Mapping[str, Any] = FREE_TEXT
    elif isinstance(declared, Mapping):
        schema = declared
    else:
        schema = _schema_of_type(declared)
    return Contract(schema, failure_output, consumers, source)


def declared_contracts(app: Any) -> Mapping[str, Contract]:
    """The contracts that *app* declares by itself, by agent; empty where nothing can be told.

    A mapping of agents to their types declares them in plain Python; of a framework's app its adapter knows.
    """
    if isinstance(app, Mapping):
        return {str(agent): contract_of(declared) for agent, declared in app.items()}
    return {}


def contracts_in_settings(policy: Policy) -> dict[str, Contract]:
    """The contracts that `[agents.NAME] contract` declares; `targets`, where they are set, are the consumers.

    Raises:
        ConfigError: Where a model cannot be imported, a file cannot be read, or either is no contract.
    """
    return {
        agent: _contract_in_settings(agent, settings)
        for agent, settings in policy.agents.items()
        if settings.contract is not None
    }


def _contract_in_settings(agent: str, settings: Any) -> Contract:
    declared = settings.contract
    failure_output = NOT_DECLARED if settings.failure_output is None else settings.failure_output
    try:
        if isinstance(declared, str):
            declared = _read_schema(declared) if declared.endswith(".json") else _imported(declared)
        return contract_of(
            declared, failure_output=failure_output, consumers=tuple(settings.targets or ()), source="settings"
        )
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"The contract of agent {agent!r} ({settings.contract if isinstance(settings.contract, str) else 'a table'}) "
            f"cannot be read: {type(error).__name__}: {error}. Name a model as module:Name, a JSON schema's file, or give "
            f'the schema as a table under [agents."{agent}".contract].',
            source="settings",
            key=f"AGENTS__{agent}__CONTRACT",
        ) from error


def _read_schema(path: str) -> Mapping[str, Any]:
    schema = json.loads(Path(path).read_text("utf-8"))
    if not isinstance(schema, Mapping):
        raise ValueError("a JSON schema is an object")
    return schema


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    if os.getcwd() not in sys.path:  # where the app's own modules are, as with `mas-guard run`
        sys.path.insert(0, os.getcwd())
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _schema_of_type(declared: Any) -> Mapping[str, Any]:
    from pydantic import PydanticUserError, TypeAdapter  # lazily: only where types are declared
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

    try:
        return TypeAdapter(declared).json_schema(mode="validation")
    except (PydanticUserError, PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, NameError) as error:
        if typing.is_typeddict(declared) or dataclasses.is_dataclass(declared):
            return _schema_by_field(declared)  # one field that cannot be described must not hide the others
        raise TypeError(f"no output contract can be made of {_named(declared)}: {_first_line(error)}") from error
    except Exception as error:  # a type's own hooks may raise anything
        raise TypeError(f"no output contract can be made of {_named(declared)}: {_first_line(error)}") from error


def _schema_by_field(declared: Any) -> Mapping[str, Any]:
    hints = typing.get_type_hints(declared, include_extras=True)
    if dataclasses.is_dataclass(declared):
        missing = dataclasses.MISSING
        required = [
            field.name
            for field in dataclasses.fields(declared)
            if field.default is missing and field.default_factory is missing
        ]
    else:
        required = [name for name, hint in hints.items() if _is_required(declared, name, hint)]
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name, hint in hints.items():
        try:
            inner = dict(_schema_of_type(_without_requirement(hint)))
        except TypeError:
            inner = {}
        definitions.update(inner.pop("$defs", {}))
        properties[name] = inner
    schema = {"type": "object", "properties": properties, "required": required}
    return {**schema, "$defs": definitions} if definitions else schema


def _is_required(declared: Any, name: str, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (
        typing.Required,
        typing.NotRequired,
    ):  # the type itself does not see these where annotations are texts
        return origin is typing.Required
    return name in declared.__required_keys__


def _without_requirement(hint: Any) -> Any:
    """`Required[int]` and `NotRequired[int]` as `int`."""
    origin = typing.get_origin(hint)
    return typing.get_args(hint)[0] if origin in (typing.Required, typing.NotRequired) else hint


def _named(declared: Any) -> str:
    return getattr(declared, "__name__", None) or type(declared).__name__


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
