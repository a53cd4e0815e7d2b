"""What of a schema binds, and its fingerprint: equal for schemas that ask for the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

_ANNOTATIONS = frozenset(
    {
        *("title", "description", "examples", "example", "default", "deprecated", "readOnly", "writeOnly"),
        *("$schema", "$id", "$comment", "$anchor"),
    }
)
_SCHEMAS_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
_LISTS_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"})
_IN_ANY_ORDER = frozenset({"required", "enum", "type"})
_DEEPEST = 60  # levels; what lies deeper does not count
_MOST_PLACES = 20_000  # schemas looked at; many definitions that hold one another have more paths than time allows


def binding(schema: Any, depth: int = 0) -> Any:
    """*schema* without titles, descriptions and other annotations, keys in order, definitions where they stood."""
    if not isinstance(schema, Mapping):
        return schema
    if depth > _DEEPEST:
        return {}
    return {name: _bound(name, schema[name], depth) for name in sorted(schema, key=str) if name not in _ANNOTATIONS}


def fingerprint(schema: Any) -> str:
    """The SHA-256 of what *schema* asks for; where its definitions stand and what they are called does not matter."""
    schema = binding(schema)
    try:
        return _Fingerprints(schema).of(schema, ())[0]
    except _TooManyError:
        return _digest(schema)


def resolved(schema: Any, root: Any) -> Any:
    """What `$ref` of *schema* leads to inside *root*; *schema* itself where there is none, `True` where it is lost."""
    seen: set[str] = set()
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        reference = schema["$ref"]
        if reference in seen:
            return True
        seen.add(reference)
        schema = _at(reference, root)
    return schema


def canonical_json(value: Any) -> str:
    """*value* as the one JSON text that equal values share."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    except TypeError:  # names that are no text cannot be put in order with others
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True, default=str, skipkeys=True)


def _bound(name: str, value: Any, depth: int) -> Any:
    if name in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
        return {key: binding(value[key], depth + 1) for key in sorted(value, key=str)}
    if name in _LISTS_OF_SCHEMAS and isinstance(value, list | tuple):
        return [binding(one, depth + 1) for one in value]
    if name in _SCHEMAS:
        return binding(value, depth + 1)
    if name in _IN_ANY_ORDER and isinstance(value, list | tuple):
        return sorted(value, key=canonical_json)
    return value


def _at(reference: str, root: Any) -> Any:
    if not reference.startswith("#"):
        return True  # another document: nothing is fetched, so nothing is known
    place = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, Mapping) or name not in place:
            return True
        place = place[name]
    return place


def _digest(value: Any) -> str:
    return sha256(canonical_json(value).encode("ascii")).hexdigest()


class _TooManyError(Exception):
    """The schema has more paths than are looked at."""


class _Fingerprints:
    """Digests of digests: a definition that is used twice is worked out once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.known: dict[str, str] = {}
        self.left = _MOST_PLACES

    def of(self, schema: Any, inside: tuple[str, ...]) -> tuple[str, int]:
        """The digest, and the outermost definition of *inside* that it depends on (their number where on none)."""
        self.left -= 1
        if self.left < 0:
            raise _TooManyError
        if not isinstance(schema, Mapping):
            return _digest(schema), len(inside)
        reference = schema.get("$ref")
        if isinstance(reference, str) and len(schema.keys() - {"$defs", "definitions"}) == 1:
            return self.of_definition(reference, inside)
        parts: dict[str, Any] = {}
        lowest = len(inside)
        for name, value in schema.items():
            if name in ("$defs", "definitions"):
                continue
            if name == "$ref" and isinstance(value, str):
                parts[name], low = self.of_definition(value, inside)
            elif name in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
                found = {key: self.of(one, inside) for key, one in value.items()}
                parts[name], low = {key: one[0] for key, one in found.items()}, _lowest(found.values(), inside)
            elif name in _LISTS_OF_SCHEMAS and isinstance(value, list | tuple):
                each = [self.of(one, inside) for one in value]
                digests = [one[0] for one in each]
                parts[name], low = digests if name == "prefixItems" else sorted(digests), _lowest(each, inside)
            elif name in _SCHEMAS:
                parts[name], low = self.of(value, inside)
            else:
                parts[name], low = value, len(inside)
            lowest = min(lowest, low)
        return _digest(parts), lowest

    def of_definition(self, reference: str, inside: tuple[str, ...]) -> tuple[str, int]:
        if reference in inside:
            at = inside.index(reference)
            return f"{len(inside) - at} definitions further out", at
        if reference in self.known:
            return self.known[reference], len(inside)
        digest, lowest = self.of(_at(reference, self.root), (*inside, reference))
        if lowest >= len(inside):  # it holds at most itself, so it is the same wherever it is used
            self.known[reference] = digest
        return digest, min(lowest, len(inside))


def _lowest(found: Any, inside: tuple[str, ...]) -> int:
    return min((one[1] for one in found), default=len(inside))
