"""Where settings come from: what each source gives, key by key, before anything is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mas_guard.config.faults import ENVIRONMENT, conflict
from mas_guard.config.table import (
    GROUPS,
    LOWER_CASE_NAMES,
    RESERVED_VARIABLES,
    TABLES,
    key_of,
    setting_of,
    template_of,
)

PREFIX = "MAS_GUARD_"
CODE = "code"
COMMAND_LINE = "command line"
DEFAULT = "default"

# What Kubernetes injects for a service whose name begins with mas-guard.
_SERVICE_VARIABLE = re.compile(
    r"MAS_GUARD_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)


@dataclass(slots=True)
class Layer:
    """What one source gives.

    Attributes:
        given: Raw values by key.
        sources: Where exactly each key stands.
        unknown: Keys that are no settings, with where they stand.
    """

    given: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    def add(self, key: str, value: Any, source: str) -> None:
        """Take *value* for *key*; the same key twice in one source is an error."""
        if key in self.given:
            raise conflict(
                key,
                source,
                "it is given twice in the same place",
                "Keep one of the two.",
            )
        self.given[key] = value
        self.sources[key] = source


def mapping_layer(values: Mapping[str, Any], source: str) -> Layer:
    """Settings from code, the command line or a file: nested mappings, or flat names with `__` or dots."""
    layer = Layer()
    for name, value in values.items():
        path = tuple(str(name).replace(".", "__").split("__"))
        _take(layer, path, value, source)
    return layer


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Settings from `MAS_GUARD_*` variables; other software's variables of that name are left alone."""
    layer = Layer()
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _is_reserved(variable) or _SERVICE_VARIABLE.fullmatch(variable):
            continue
        name, value, source = (
            variable[len(PREFIX) :],
            environ[variable],
            ENVIRONMENT + variable,
        )
        path = tuple(name.split("__"))
        if key_of(path[:1]) in TABLES and len(path) > 1 and path[0] not in LOWER_CASE_NAMES:
            raise conflict(
                name,
                source,
                f"names in {path[0]} are case-sensitive, which variables are not on every system",
                f"""Give JSON: {PREFIX}{path[0]}='{{"{path[1].lower()}": {{...}}}}', or put it in mas-guard.toml.""",
            )
        if name != key_of(path) and path[0] not in TABLES:
            layer.unknown.append((name, source))
        elif template_of(path) in GROUPS and value.lstrip().startswith("{"):
            _take(layer, path, _json(name, value, source), source)
        else:
            _take(layer, path, value, source)
    return layer


def _take(layer: Layer, path: Sequence[str], value: Any, source: str) -> None:
    for key, leaf in _leaves(tuple(path), value):
        if setting_of(key) is None:
            layer.unknown.append((key, source))
        else:
            layer.add(key, leaf, source)


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and template_of(path) in GROUPS:
        for name, inner in value.items():
            yield from _leaves((*path, str(name)), inner)
    else:
        yield key_of(path), value


def _is_reserved(variable: str) -> bool:
    return any(
        variable.startswith(reserved) if reserved.endswith("_") else variable == reserved
        for reserved in RESERVED_VARIABLES
    )


def _json(key: str, text: str, source: str) -> Mapping[str, Any]:
    import json  # only where a table is given in a variable

    try:
        found = json.loads(text)
    except ValueError as error:
        raise conflict(
            key,
            source,
            f"it is no JSON ({error})",
            f"""Write an object, such as {PREFIX}TOOLS='{{"get_status": {{"repeat": 50}}}}'.""",
        ) from None
    assert isinstance(found, Mapping)  # it began with a brace
    return found
