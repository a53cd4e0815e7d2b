"""The packet itself: four parts, which of them are missing, and how it is shown to its receiver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["task", "context", "output_format", "on_failure"]
PARTS: tuple[Part, ...] = ("task", "context", "output_format", "on_failure")

_TITLES: dict[Part, str] = {
    "task": "Task",
    "context": "Context",
    "output_format": "Output format",
    "on_failure": "If it fails",
}
_PLACEHOLDERS = frozenset(
    {
        *("", "-", "--", "---", "—", "–", ".", "...", "…", "?", "??", "???", "0", "[]", "{}", '""', "''", "()"),
        *("n/a", "na", "n.a", "none", "null", "nil", "nothing", "tbd", "todo", "to be defined", "to be determined"),
        *("unknown", "undefined", "not applicable", "not specified", "not provided", "unspecified", "not given"),
        *(
            "string",
            "text here",
            "empty",
            "leer",
            "keine",
            "keiner",
            "keines",
            "nichts",
            "entfällt",
            "k.a",
            "unbekannt",
        ),
        *("ninguno", "ninguna", "nada", "aucun", "aucune", "rien", "néant", "nessuno", "nessuna", "nenhum", "nenhuma"),
        *("geen", "无", "無", "没有", "なし", "特になし", "нет", "brak"),
    }
)
_LONGEST_PLACEHOLDER = 40  # characters


@dataclass(frozen=True, slots=True)
class Packet:
    """What a handoff carries; an empty part is one that was not given.

    Attributes:
        task: What is to be done.
        context: What is known already.
        output_format: The form that the answer is to have.
        on_failure: What to do where it cannot be done.
    """

    task: str = ""
    context: str = ""
    output_format: str = ""
    on_failure: str = ""


def missing_parts(packet: Packet) -> tuple[Part, ...]:
    """The parts that *packet* lacks, in their order. `n/a`, `none`, `TBD` and the like count as missing."""
    return tuple(part for part in PARTS if not is_given(getattr(packet, part)))


def is_given(text: str) -> bool:
    """True where *text* says something: it is neither empty nor a placeholder."""
    head = text[: 4 * _LONGEST_PLACEHOLDER].strip()
    if len(head) > _LONGEST_PLACEHOLDER:
        return True
    if head.startswith(("<", "[", "{{")) and head.endswith((">", "]", "}}")) and not head[1:2].isdigit():
        return '"' in head or ":" in head  # `<fill in>`, `[context]` and `{{context}}` were never filled in
    return head.casefold().strip(" .!*_`").rstrip(".") not in _PLACEHOLDERS and head not in _PLACEHOLDERS


def render(packet: Packet) -> str:
    """*packet* as text for the model that receives it: each given part under its name, in one order."""
    given = ((part, getattr(packet, part).strip()) for part in PARTS)
    return "\n\n".join(f"{_TITLES[part]}:\n{text}" for part, text in given if is_given(text))
