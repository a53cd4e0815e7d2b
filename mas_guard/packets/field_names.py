"""The names of fields in the words of a format: `amount`, "currency", fields a, b and c."""

from __future__ import annotations

import re

from mas_guard.packets.sentences import word_set

_QUOTED = re.compile(r"[`\"'“„«]([A-Za-z_][A-Za-z0-9_]{1,40})[`\"'”“»]")
_LIST = re.compile(
    r"\b(?:fields?|keys?|columns?|attributes?|properties|felder[n]?|schlüssel\w*|spalten|champs?|clés|colonnes|campos?|claves|columnas"
    r"|colunas|chaves|campi|chiavi|colonne|velden|kolommen|pola|kolumny|поля|полями|столбцы|столбцами)\b[ \t]{0,4}"
    r"(?:named|called|are|only|exactly|sind|sont|son|:|：|=|\()?[ \t]{0,4}:?[ \t]{0,4}([^.;\n]{3,300})|(?:字段|フィールド|項目|필드)[:：为は]?\s?([^。;\n]{3,200})",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[,，、/|]|\b(?:and|und|et|y|e|en|i|и|plus)\b|和|と")
_NAME = re.compile(r"[^\W\d]\w{0,40}", re.UNICODE)
_NOTHING_ELSE = re.compile(
    r"\b(?:only|exactly|just|nothing else|no other|solely|nur|ausschließlich|genau|seulement|uniquement|rien d'autre|solo|sólo|solamente"
    r"|únicamente|exactamente|apenas|somente|soltanto|alleen|tylko|wyłącznie|только)\b|仅|只|のみ|만 ",
    re.IGNORECASE,
)
_NO_NAMES = word_set(
    "each every all the a an of for in per with below above following and or as json object required listed given true false null "
    "none yes no string number integer boolean list array text"
)


def named_fields(text: str) -> tuple[set[str], set[str], bool]:
    """The names that *text* quotes, those that it lists after a word such as `fields`, and whether nothing else is wanted."""
    quoted = {match[1] for match in _QUOTED.finditer(text)} - _NO_NAMES
    listed: set[str] = set()
    for match in _LIST.finditer(text):
        for item in _BETWEEN.split(match[1] or match[2] or ""):
            words = _NAME.findall(re.sub(r"\([^)]{0,200}\)?", " ", item))
            # One or two words are a name; more are a description.
            if 1 <= len(words) <= 2 and not any(word.casefold() in _NO_NAMES for word in words):
                listed.add("_".join(words))
    return quoted, listed - quoted, _NOTHING_ELSE.search(text) is not None
