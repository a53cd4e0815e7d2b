"""Holds the first words of a concluding answer back until they are known to be no directive.

An owner may answer `ABORT: reason`. That line is read by the guard and must not reach whoever reads the stream; so the
pieces of the answer wait until its words differ from every directive, which they do within a few characters.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from mas_guard._conclusion import DIRECTIVES

Piece = TypeVar("Piece")


class FirstLine(Generic[Piece]):
    """The pieces of one answer that wait, and whether they may pass."""

    def __init__(self) -> None:
        self._text = ""
        self._waiting: list[Piece] = []
        self._open = False

    def take(self, text: str, piece: Piece) -> list[Piece]:
        """Take *piece*, which adds *text* to the answer, and return those that may pass now."""
        if self._open:
            return [piece]
        self._text += text
        self._waiting.append(piece)
        said = self._text.lstrip()
        if not said or any(said.startswith(word) or word.startswith(said) for word in DIRECTIVES):
            return []
        return self.rest()

    def rest(self) -> list[Piece]:
        """Everything that still waits; from now on all pass."""
        self._open = True
        passed, self._waiting = self._waiting, []
        return passed
