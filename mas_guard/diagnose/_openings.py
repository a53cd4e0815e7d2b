"""A run that begins anew: the agent that opened it opens it again, with what came in between forgotten (MAST FM-2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from mas_guard.diagnose.findings import Finding
from mas_guard.diagnose.modes import CONVERSATION_RESET
from mas_guard.rules.repetition import SHORT_REPLY
from mas_guard.similarity import Sketch, similarity

BEGINNING = 25  # words; how a message begins tells a fresh start from one of many messages about the same things
BEGINS_ALIKE = 0.3  # of the pairs of words in two beginnings; other messages of the same agent lie below 0.15
ALIKE = 0.45  # of the words of two messages
TURNS_BETWEEN = 3  # messages of a run that must lie in between; sooner it is a second attempt at the first message

_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class _Opening:
    event: int
    drawn: Sketch
    beginning: frozenset[tuple[str, str]]


class Openings:
    """Compares each message of the agent that opened the run with its first one."""

    def __init__(self) -> None:
        self._opener = ""
        self._opening: _Opening | None = None
        self._turns = 0
        self._went_on = False

    def said(self, event: int, agent: str, text: str, drawn: Sketch) -> Iterator[Finding]:
        """Judge what *agent* said."""
        self._opener = self._opener or agent
        self._turns += 1
        if agent != self._opener or drawn.length < SHORT_REPLY:
            return
        opening = self._opening
        if opening is None:
            self._opening = _Opening(event, drawn, _beginning(text))
            self._turns = 0
        elif not _alike(opening, text, drawn):
            self._went_on = True
        elif self._went_on and self._turns > TURNS_BETWEEN:
            # Without anything else in between it would be a repeated step, which is judged elsewhere.
            yield Finding(
                "restart",
                event,
                "warn",
                f"{agent} opened the run again as at event {opening.event}: what was done in between is forgotten",
                CONVERSATION_RESET,
                figures={"subject": agent, "agent": agent, "first": opening.event},
            )


def _alike(opening: _Opening, text: str, drawn: Sketch) -> bool:
    if similarity(opening.drawn, drawn) < ALIKE:
        return False
    beginning = _beginning(text)
    in_common = len(opening.beginning & beginning)
    return in_common > 0 and in_common >= BEGINS_ALIKE * len(opening.beginning | beginning)


def _beginning(text: str) -> frozenset[tuple[str, str]]:
    words = [word[0] for word in islice(_WORD.finditer(text.lower()), BEGINNING)]
    return frozenset(pairwise(words))
