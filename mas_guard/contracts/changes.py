"""What changed from one contract to the next, field by field: removed, added, renamed, of another type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mas_guard.contracts.canonical import binding, canonical_json, fingerprint, resolved
from mas_guard.contracts.contract import Contract
from mas_guard.contracts.validation import kinds_of
from mas_guard.contracts.words import allowed_words, name_of, type_words

ChangeKind = Literal["removed", "added", "renamed", "type", "required", "values", "failure_output", "other"]

_DEEPEST = 6  # levels of fields that are compared
_MOST_FIELDS = 2_000
_LEAST_LIKENESS = 0.5  # of names, where several fields could be the renamed one


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        kind: `removed`, `added`, `renamed`, `type`, `required`, `values`, `failure_output` or `other`.
        field: The field's path in the earlier contract (in the later one where it was added); empty for the whole.
        text: The change in words.
    """

    kind: ChangeKind
    field: str
    text: str


@dataclass(frozen=True, slots=True)
class _Field:
    kinds: tuple[str, ...]
    required: bool
    allowed: tuple[Any, ...]
    form: str

    @property
    def words(self) -> str:
        return type_words(self.kinds) or "anything"


def changes(before: Contract, after: Contract) -> list[Change]:
    """Return what changed from *before* to *after*; empty where their versions are equal."""
    if before.version == after.version:
        return []
    found = list(_field_changes(_fields_of(before.schema), _fields_of(after.schema)))
    if Contract(before.schema).version == Contract(after.schema).version:
        found.append(Change("failure_output", "", "the failure output changed"))
    elif before.failure_output is not after.failure_output and before.failure_output != after.failure_output:
        found.append(Change("failure_output", "", "the failure output changed too"))
    return found or [Change("other", "", "what the schema says beside fields and types changed")]


def observed_changes(accepted: Contract, seen: Contract) -> list[Change]:
    """Return how recorded outputs differ from what is accepted.

    Outputs show only what happened: an optional field that none of them has, or always has, is no change.
    """
    before, after = _fields_of(accepted.schema), _fields_of(seen.schema)
    for path in [path for path in before if path not in after and not before[path].required]:
        del before[path]
    found = []
    for change in _field_changes(before, after):
        if change.kind in ("values", "other") or (change.kind == "required" and after[change.field].required):
            continue
        if change.kind == "type" and _covers(before[change.field].kinds, after[change.field].kinds):
            continue
        found.append(change)
    return found


def _covers(accepted: tuple[str, ...], seen: tuple[str, ...]) -> bool:
    wide = set(accepted) | ({"integer"} if "number" in accepted else set())
    return not accepted or not seen or set(seen) <= wide


def _field_changes(before: dict[str, _Field], after: dict[str, _Field]) -> Iterator[Change]:
    gone = [path for path in before if path not in after]
    new = [path for path in after if path not in before]
    renamed = dict(_renamed(before, after, _outermost(gone), _outermost(new)))
    for path in _outermost(gone):
        if path in renamed:
            to = renamed[path]
            yield Change("renamed", path, f"`{path}` was renamed to `{to}` ({before[path].words})")
        else:
            yield Change("removed", path, f"`{path}` was removed ({before[path].words})")
    taken = set(renamed.values())
    for path in _outermost(new):
        if path not in taken:
            optional = "" if after[path].required else ", not always there"
            yield Change("added", path, f"`{path}` was added ({after[path].words}{optional})")
    for path, old in before.items():
        if path in after:
            yield from _changes_of(path, old, after[path])


def _changes_of(path: str, old: _Field, new: _Field) -> Iterator[Change]:
    shown = f"`{path}`" if path else "the output"
    if set(old.kinds) != set(new.kinds):
        yield Change("type", path, f"{shown} is {new.words} where it was {old.words}")
    elif old.allowed != new.allowed:
        now = f"is now {allowed_words(new.allowed)}" if new.allowed else "can now have any value"
        yield Change("values", path, f"{shown} {now}")
    if path and old.required != new.required:
        yield Change("required", path, f"{shown} {'is now always there' if new.required else 'may now be missing'}")


def _renamed(
    before: dict[str, _Field], after: dict[str, _Field], gone: list[str], new: list[str]
) -> Iterator[tuple[str, str]]:
    """Pair what went with what came, in the same place and of the same type; the likest names first."""
    import difflib  # only where something went and something came

    pairs = []
    for old in gone:
        for to in new:
            if _parent(old) == _parent(to) and before[old].kinds == after[to].kinds:
                same_form = before[old].form == after[to].form
                likeness = difflib.SequenceMatcher(None, old, to).ratio()
                pairs.append((same_form, likeness, old, to))
    pairs.sort(key=lambda pair: (-pair[0], -pair[1], pair[2], pair[3]))
    used: set[str] = set()
    for _, likeness, old, to in pairs:
        alone = sum(one[2] == old for one in pairs) == 1 and sum(one[3] == to for one in pairs) == 1
        if old not in used and to not in used and (alone or likeness >= _LEAST_LIKENESS):
            used |= {old, to}
            yield old, to


def _outermost(paths: list[str]) -> list[str]:
    """Without fields inside an object that is itself among *paths*."""
    among = set(paths)
    return [path for path in paths if not any(outer in among for outer in _outside(path))]


def _outside(path: str) -> Iterator[str]:
    while path:
        path = _parent(path)
        if path:
            yield path


def _parent(path: str) -> str:
    if path.endswith("[]"):
        return path[:-2]
    return path.rpartition(".")[0]


def _fields_of(schema: Mapping[str, Any]) -> dict[str, _Field]:
    """Every field of *schema* by its path; the whole output as the empty path."""
    root = binding(schema)
    fields: dict[str, _Field] = {}
    _collect(root, root, "", True, 0, fields)
    return fields


def _collect(schema: Any, root: Any, path: str, required: bool, depth: int, fields: dict[str, _Field]) -> None:
    if depth > _DEEPEST or len(fields) >= _MOST_FIELDS:
        return
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping):
        schema = {}
    known = fields.get(path)
    facts = _Field(tuple(sorted(kinds_of(schema, root))), required, _allowed(schema), _form(schema, root))
    if known is None:
        fields[path] = facts
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        always = schema.get("required") or ()
        for name, inner in properties.items():
            shown = name_of(name).replace(".", "·")
            _collect(inner, root, f"{path}.{shown}" if path else shown, name in always, depth + 1, fields)
    if isinstance(schema.get("items"), Mapping):
        _collect(schema["items"], root, f"{path}[]", True, depth + 1, fields)
    for alternatives in (schema.get("anyOf"), schema.get("oneOf"), schema.get("allOf")):
        for one in alternatives or ():
            _collect(one, root, path, required, depth + 1, fields)


def _allowed(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    if "const" in schema:
        return (schema["const"],)
    return tuple(sorted(schema.get("enum") or (), key=canonical_json))


def _form(schema: Mapping[str, Any], root: Any) -> str:
    definitions = {name: root[name] for name in ("$defs", "definitions") if name in root}
    return fingerprint({**schema, **definitions})
