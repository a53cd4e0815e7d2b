"""What is wrong with an output, by path: never what it says, so that no secret reaches a message or a record.

Cheap and bounded: depth, values looked at and problems named have ceilings, and no input raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mas_guard.contracts.canonical import resolved
from mas_guard.contracts.contract import Contract
from mas_guard.contracts.json_text import NOT_JSON, parsed
from mas_guard.contracts.plain import plain_value
from mas_guard.contracts.words import allowed_words, kind_of, name_of, type_words

MOST_PROBLEMS = 20
DEEPEST = 40  # levels; what lies deeper is not looked at
MOST_VALUES = 50_000  # values looked at; a longer list is judged by its beginning


def violations(contract: Contract | Mapping[str, Any] | bool, value: Any) -> list[str]:
    """Return what of *value* is not as *contract* says, as `path: problem`; an empty list where all is well.

    Missing fields, wrong types and values outside an enumeration are found; what a schema says beyond that (lengths,
    patterns, ranges) is not judged. A text is read as JSON where the contract wants no text. Models and dataclasses
    are read by their fields. Never raises, and never quotes *value*.
    """
    schema = contract.schema if isinstance(contract, Contract) else contract
    try:
        checking = _Checking(schema)
        checking.judge_whole(value)
        return checking.problems
    except Exception as error:  # a mapping that raises, a schema that is none: the app's own objects may do anything
        return [f"the output: it cannot be read ({type(error).__name__})"]


class _Checking:
    """One look at one value."""

    def __init__(self, root: Any, left: int = MOST_VALUES) -> None:
        self.root = root
        self.problems: list[str] = []
        self.left = left

    def judge_whole(self, value: Any) -> None:
        value = plain_value(value)
        if isinstance(value, str) and not _takes_text(self.root, self.root):
            found = parsed(value)
            if found is NOT_JSON:
                self.say("", f"text that is no JSON, where {self.expected(self.root)} is expected")
                return
            value = found
        self.judge(self.root, value, "", 0)

    def judge(self, schema: Any, value: Any, path: str, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > DEEPEST or len(self.problems) >= MOST_PROBLEMS:
            return
        schema = resolved(schema, self.root)
        if schema is False:
            self.say(path, "it must not be there")
        if not isinstance(schema, Mapping):
            return
        value = plain_value(value)
        if not self.type_fits(schema, value, path):
            return
        self.judge_choices(schema, value, path)
        if isinstance(value, Mapping):
            self.judge_fields(schema, value, path, depth)
        elif isinstance(value, list | tuple | set | frozenset):
            self.judge_items(schema, value, path, depth)
        for every in schema.get("allOf") or ():
            self.judge(every, value, path, depth + 1)
        for alternatives in (schema.get("anyOf"), schema.get("oneOf")):
            if alternatives:
                self.judge_alternatives(alternatives, value, path, depth)

    def type_fits(self, schema: Mapping[str, Any], value: Any, path: str) -> bool:
        wanted = schema.get("type")
        if wanted is None:
            return True
        kinds = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        kind = kind_of(value)
        if isinstance(value, float) and not math.isfinite(value) and ("number" in kinds or "integer" in kinds):
            self.say(path, "a number that is not finite")
            return False
        if kind == "" or kind in kinds or (value is None and schema.get("nullable") is True):
            return True  # an object that has no JSON form of its own is not judged
        if kind == "integer" and "number" in kinds:
            return True
        if kind == "number" and "integer" in kinds and value.is_integer():
            return True
        self.say(path, f"{type_words((kind,))} where {type_words(kinds)} is expected")
        return False

    def judge_choices(self, schema: Mapping[str, Any], value: Any, path: str) -> None:
        allowed: Sequence[Any] | None = None
        if "const" in schema:
            allowed = (schema["const"],)
        elif isinstance(schema.get("enum"), list | tuple):
            allowed = schema["enum"]
        if allowed is None or kind_of(value) == "":
            return
        if not any(_equal(value, one) for one in allowed):
            self.say(path, f"its value is not {allowed_words(allowed)}")

    def judge_fields(self, schema: Mapping[str, Any], value: Mapping[Any, Any], path: str, depth: int) -> None:
        properties = schema.get("properties") or {}
        for name in schema.get("required") or ():
            if name not in value:
                self.say(_inside(path, name), "it is missing")
        for name, inner in properties.items():
            if name in value:
                self.judge(inner, value[name], _inside(path, name), depth + 1)
        others = schema.get("additionalProperties", True)
        if others is True or others == {} or len(value) == 0:
            return
        # The names of fields that the contract does not have are content: they are counted and not said.
        unknown = 0
        for name, inner in value.items():
            if name in properties or schema.get("patternProperties"):
                continue
            self.left -= 1
            if self.left < 0:
                break
            if others is False:
                unknown += 1
            else:
                self.judge(others, inner, _inside(path, "*"), depth + 1)
        if unknown:
            self.say(path, f"{unknown} field{'s' if unknown > 1 else ''} that the contract does not have")

    def judge_items(self, schema: Mapping[str, Any], value: Any, path: str, depth: int) -> None:
        first = schema.get("prefixItems") or ()
        items = schema.get("items", True)
        for at, inner in enumerate(value):
            if self.left < 0 or len(self.problems) >= MOST_PROBLEMS:
                return
            wanted = first[at] if at < len(first) else items
            if wanted is not True:
                self.judge(wanted, inner, f"{path}[{at}]", depth + 1)
            elif at >= len(first):
                return

    def judge_alternatives(self, alternatives: Sequence[Any], value: Any, path: str, depth: int) -> None:
        nearest: list[str] | None = None
        nearest_is_alone = True
        for one in alternatives:
            trial = _Checking(self.root, self.left)
            trial.judge(one, value, path, depth + 1)
            self.left = trial.left
            if not trial.problems or self.left < 0:
                return
            found = resolved(one, self.root)
            kinds = found.get("type") if isinstance(found, Mapping) else None
            if kinds is None or kind_of(value) == kinds:  # what it was meant to be: say what that one lacks
                nearest_is_alone = nearest is None
                nearest = trial.problems
        if nearest is not None and nearest_is_alone:
            self.problems += nearest[: MOST_PROBLEMS - len(self.problems)]
        else:
            expected = self.expected({"anyOf": alternatives})
            if nearest is not None:
                self.say(path, f"it is none of the {len(alternatives)} forms that it may have")
            else:
                self.say(path, f"{type_words((kind_of(value),))} where {expected} is expected")

    def expected(self, schema: Any) -> str:
        """What *schema* wants, as words."""
        return type_words(tuple(kinds_of(schema, self.root))) or "another form"

    def say(self, path: str, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"{path or 'the output'}: {problem}")


def _takes_text(schema: Any, root: Any) -> bool:
    kinds = kinds_of(schema, root)
    return not kinds or "string" in kinds


def kinds_of(schema: Any, root: Any, depth: int = 0) -> list[str]:
    """The types that *schema* allows; empty where it does not say."""
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > 4:
        return []
    wanted = schema.get("type")
    if wanted is not None:
        return [wanted] if isinstance(wanted, str) else list(wanted)
    if isinstance(schema.get("properties"), Mapping):
        return ["object"]
    named = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if named:
        return sorted({kind_of(one) for one in named})
    kinds: list[str] = []
    for one in schema.get("anyOf") or schema.get("oneOf") or ():
        found = kinds_of(one, root, depth + 1)
        if not found:
            return []
        kinds += [kind for kind in found if kind not in kinds]
    return kinds


def _equal(value: Any, allowed: Any) -> bool:
    if kind_of(value) != kind_of(allowed) and not {kind_of(value), kind_of(allowed)} <= {"integer", "number"}:
        return False  # True is no 1
    try:
        return bool(value == allowed)
    except Exception:
        return False


def _inside(path: str, name: Any) -> str:
    return f"{path}.{name_of(name)}" if path else name_of(name)
