"""Format violations: what is carried does not parse although it says JSON, or the format that is asked for is not the
one that the receiver's contract gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mas_guard.contracts.canonical import resolved
from mas_guard.contracts.validation import kinds_of, violations
from mas_guard.contracts.words import kind_of, name_of, type_words
from mas_guard.packets.field_names import named_fields
from mas_guard.packets.packet import Packet, Part, is_given
from mas_guard.packets.payloads import broken_payload, first_object, whole_object
from mas_guard.packets.sentences import ends_of

Schema = Mapping[str, Any]

_MOST_NAMED = 8  # fields that a message lists

_LIST_OF = re.compile(r"\b(?:array|list) of\b|\bjson (?:array|list)\b", re.IGNORECASE)
_NO_JSON = re.compile(
    r"\b(?:no|not|never|without|instead of|rather than|kein\w*|nicht|ohne|statt|pas de|sans|plutôt que|sin|no en|nada de|sem|niet|geen|не)"
    r"\s{1,4}(?:\w{1,12}\s{1,4}){0,2}json\b|(?:不要|不用|非)\s?json",
    re.IGNORECASE,
)
_STRUCTURED = re.compile(
    r"json|\b(?:schema|object|dict(?:ionary)?|struct\w*|objekt|objet|objeto|oggetto|pydantic|typed|contract)\b|对象|結構|结构|オブジェクト",
    re.IGNORECASE,
)
_OTHER_FORM = re.compile(
    r"\b(?:plain text|free text|prose|markdown|md|html|xml|yaml|csv|tsv|pdf|latex|table|spreadsheet|bullets?|bullet points?|bulleted|numbered list"
    r"|paragraphs?|sentences?|essay|email|e-mail|letter|memo|poem|haiku|one word|single word|single line|one line|one-liner|yes or no|yes/no|words"
    r"|(?:just|only|nothing but) (?:the |a |an |one )\w+|lists?|nur (?:der|die|das) \w+|nur ein\w* \w+"
    r"|fließtext|freitext|klartext|tabelle|stichpunkte\w*|aufzählung|absatz|absätze\w*|sätze\w*|satz|ein wort|ja oder nein|brief|e-mail"
    r"|texte libre|texte brut|tableau|puces|paragraphes?|phrases?|un mot|oui ou non|courriel|lettre"
    r"|texto libre|texto plano|prosa|tabla|viñetas|párrafos?|frases?|una palabra|sí o no|correo|carta"
    r"|texto corrido|texto simples|tabela|parágrafos?|uma palavra|testo libero|tabella|elenco puntato|paragraf\w*|una parola"
    r"|tabel|zinnen|alinea|tabel\w*|zdania|akapit|таблиц\w*|абзац\w*|предложени\w*|списк\w*)\b"
    r"|表格|纯文本|純文字|一句话|一段|段落|要点|散文|表形式|箇条書き|文章|一文|プレーンテキスト|단락|문장|표로|글머리",
    re.IGNORECASE,
)


def format_problems(packet: Packet, contract: Schema | None) -> Iterator[tuple[Part, str]]:
    """What is wrong with the formats of *packet*, each with the part that it is in."""
    for part in ("task", "context"):
        if problem := broken_payload(getattr(packet, part), is_data=part == "context"):
            yield part, problem
    if contract is None:
        return
    schema = resolved(contract, contract)
    if not isinstance(schema, Mapping) or not schema:
        return
    if is_given(packet.output_format):
        wanted = ends_of(packet.output_format)
        example, in_list = first_object(wanted)
        found = _words_problems(wanted, schema, contract)
        if example is not None:
            found = _example_problems(example, in_list, schema, contract)
        yield from (("output_format", problem) for problem in found)
    carried = whole_object(packet.context)
    if carried is not None:
        yield from (("context", problem) for problem in _carried_problems(carried, schema, contract))


def _carried_problems(carried: Mapping[str, Any], schema: Schema, contract: Schema) -> Iterator[str]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or len(carried) < 2 or not carried.keys() <= properties.keys():
        return
    problems = [one for one in violations(contract, carried) if not one.endswith("it is missing")]
    if problems:  # what is missing may be what the receiver is to find
        yield f"it carries the receiver's own fields in another form ({'; '.join(problems[:4])})"


def _words_problems(wanted: str, schema: Schema, contract: Schema) -> Iterator[str]:
    kinds = kinds_of(schema, contract)
    if not kinds or "string" in kinds:
        return  # an agent that answers in words can write any of them
    names = set(schema.get("properties") or ())
    quoted, listed, nothing_else = named_fields(wanted)
    unknown = {name for name in quoted | listed if not _has(names, name, name in listed)} if names else set()
    known = {name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", wanted, re.IGNORECASE)}
    without = _NO_JSON.sub(" ", wanted)
    if _OTHER_FORM.search(without) and not _STRUCTURED.search(without) and len(known) < max(1, min(2, len(names))):
        yield f"it asks for another form than the receiver's contract gives, {type_words(kinds)}{_with(names)}"
    elif (
        _LIST_OF.search(without)
        and "array" not in kinds
        and not known
        and not re.search(r"object|schema", without, re.I)
    ):
        yield f"it asks for a list, and the receiver's contract gives {type_words(kinds)}{_with(names)}"
    elif without != wanted and "object" in kinds and not _STRUCTURED.search(without):
        yield f"it refuses JSON, and the receiver's contract gives {type_words(kinds)}{_with(names)}"
    elif unknown and (known or quoted or len(unknown) > 1):
        yield f"it asks for {_counted(len(unknown))} that the receiver's contract does not have{_with(names)}"
    elif nothing_else and known:
        left_out = [
            name for name in schema.get("required") or () if name not in known and not _has(quoted | listed, name, True)
        ]
        if left_out:
            yield f"it asks for nothing else, and the receiver's contract requires {_names(left_out)}"


def _example_problems(example: Mapping[str, Any], in_list: bool, schema: Schema, contract: Schema) -> Iterator[str]:
    kinds = kinds_of(schema, contract)
    if in_list and "array" in kinds:
        schema = resolved(schema.get("items"), contract)
        if not isinstance(schema, Mapping):
            return
        kinds, in_list = kinds_of(schema, contract), False
    if in_list and kinds and "string" not in kinds:
        yield f"it asks for a list, and the receiver's contract gives {type_words(kinds)}"
        return
    if kinds and "object" not in kinds:
        if "string" not in kinds:
            yield f"it asks for an object, and the receiver's contract gives {type_words(kinds)}"
        return
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return
    asked: Mapping[str, Any] = example
    is_schema = isinstance(example.get("properties"), Mapping) and ("type" in example or "$schema" in example)
    if is_schema:
        asked = example["properties"]
    missing = [name for name in schema.get("required") or () if name not in asked]
    unknown = [name for name in asked if name not in properties]
    if missing:
        yield f"it leaves out what the receiver's contract requires: {_names(missing)}"
    if unknown and schema.get("additionalProperties") in (None, False):
        yield f"it asks for {_counted(len(unknown))} that the receiver's contract does not have{_with(properties)}"
    for name in asked:
        if name in properties:
            kinds = kinds_of(properties[name], contract)
            given = kinds_of(asked[name], example) if is_schema else _kinds_meant(asked[name])
            if given and kinds and not _overlap(given, kinds):
                yield f"{name_of(name)}: it asks for {type_words(given)}, and the receiver's contract gives {type_words(kinds)}"


_QUOTED_NUMBER = re.compile(r"[€$£]?\s?-?\d+(?:[.,]\d+)?\s?(?:[A-Z]{3}|[€$£%])?")
_TYPE_NAMES = {
    **dict.fromkeys(("string", "str", "text", "<string>", "<text>"), "string"),
    **dict.fromkeys(("number", "float", "decimal", "<number>", "<float>"), "number"),
    **dict.fromkeys(("integer", "int", "<int>", "<integer>"), "integer"),
    **dict.fromkeys(("boolean", "bool", "true|false", "true/false", "<bool>", "<boolean>"), "boolean"),
    **dict.fromkeys(("list", "array", "<list>", "<array>"), "array"),
    **dict.fromkeys(("object", "dict", "<object>"), "object"),
}


def _kinds_meant(value: Any) -> list[str]:
    """The types that a value of an example stands for; a text that is no type's name stands for anything."""
    if isinstance(value, str):
        named = _TYPE_NAMES.get(value.strip().casefold())
        if named is None and _QUOTED_NUMBER.fullmatch(value[:40].strip()):
            named = "string"  # `"12.50 EUR"` in quotes is a text
        return [named] if named else []
    kind = kind_of(value)
    return [] if kind in ("", "null") else [kind]


def _overlap(given: list[str], kinds: list[str]) -> bool:
    numbers = {"integer", "number"}
    return bool(set(given) & set(kinds)) or bool(numbers & set(given) and numbers & set(kinds))


def _has(names: set[str], name: str, loosely: bool) -> bool:
    if not loosely:
        return name in names
    return _loose(name) in {_loose(one) for one in names}


def _loose(name: str) -> str:
    return re.sub(r"[\W_]", "", name[:80]).casefold()


def _with(names: Any) -> str:
    return f" with {_names(sorted(names))}" if names else ""


def _names(names: Any) -> str:
    listed = [name_of(name) for name in names]
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + more


def _counted(count: int) -> str:
    return f"{count} field{'' if count == 1 else 's'}"
