"""How alike two texts are, and whether the later one brought anything new: sketches that are cheap to make and compare.

A sketch holds the set of a text's words, its numbers and its names. Word order is left out on purpose: an answer that
says the same in another order is no new answer. A text of 2 kB is sketched in tens of microseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import add

LONGEST = 32_768
"""Characters of a text that are looked at: the first and the last half of this, where a text is longer."""

NEW_WORDS = 0.6
"""The share of an answer's words that must be new before new words alone count as progress. Rewording changes about
half of them, and the little words stay whatever is said."""

_SPACELESS = 24  # bytes a word on average, above which a text is taken to be written without spaces

_DIGITS = frozenset(b"0123456789")
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SMALL = frozenset(b"abcdefghijklmnopqrstuvwxyz_")


def _letter(byte: int) -> int:
    if byte in _CAPITALS:
        return byte + 32
    # Bytes of other alphabets stand for themselves: they are parts of letters.
    return byte if byte in _SMALL or byte in _DIGITS or byte >= 128 else 32


_TO_WORDS = bytes(map(_letter, range(256)))
_TO_NUMBERS = bytes(byte if byte in _DIGITS else 32 for byte in range(256))
# A capital after a small letter or a comma is a name; one after a full stop only begins a sentence. The space comes
# first in the pattern, so that the search jumps from space to space.
_NAME = re.compile(rb" (?<=[a-z,;)] )[A-Z][A-Za-z0-9_\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a text is compared by.

    Attributes:
        words: Its different words in small letters; pairs of characters where it is written without spaces.
        numbers: The different runs of digits in it.
        names: Its capitalised words within sentences, in small letters.
        length: Its length in characters.
        digest: Equal for equal texts, within one process.
    """

    words: frozenset[bytes]
    numbers: frozenset[bytes]
    names: frozenset[bytes]
    length: int
    digest: int


def sketch(text: str) -> Sketch:
    """Return the sketch of *text*; of a text longer than `LONGEST`, the middle is not looked at."""
    seen = text if len(text) <= LONGEST else _ends_of(text)
    # A lone half of a surrogate pair must not end the comparison.
    written = seen.encode("utf-8", "surrogatepass")
    words = written.translate(_TO_WORDS).split()
    if len(written) > _SPACELESS * (len(words) + 1):
        characters = [character.encode("utf-8", "surrogatepass") for character in seen if character.isalnum()]
        words = list(map(add, characters, characters[1:]))
    return Sketch(
        frozenset(words),
        frozenset(written.translate(_TO_NUMBERS).split()),
        frozenset([name[1:].lower() for name in _NAME.findall(written)]),
        len(text),
        hash(text),
    )


def _ends_of(text: str) -> str:
    first, last = text[: LONGEST // 2], text[-LONGEST // 2 :]
    # Half a word or half a number would be new in every text.
    return f"{first.rpartition(' ')[0] or first} {last.partition(' ')[2] or last}"


def similarity(a: Sketch, b: Sketch) -> float:
    """Return the share of words that two texts have in common, of all words in either: 0 to 1.

    Texts without words, signs alone or nothing, are alike only where they are equal.
    """
    if a.digest == b.digest and a.length == b.length:
        return 1.0
    common = len(a.words & b.words)
    if not common:
        return 0.0
    return common / (len(a.words) + len(b.words) - common)


def numbers_of(text: str) -> frozenset[bytes]:
    """Return the different runs of digits in *text*: what changes where figures change."""
    return frozenset(text.encode("utf-8", "surrogatepass").translate(_TO_NUMBERS).split())


def made_progress(before: Sketch, after: Sketch, *, new_words: float = NEW_WORDS) -> bool:
    """True where the later text says something that the earlier one did not.

    A number or a name that was not there before is progress, and so is a text of which at least the share *new_words*
    of the words is new. The same in other words is not, and neither is less than before.
    """
    if not after.numbers <= before.numbers or not after.names <= before.words:
        return True
    if not after.words:
        return False
    return len(after.words - before.words) >= new_words * len(after.words)


def together(before: Sketch, after: Sketch) -> Sketch:
    """Return the sketch of all that two texts say, to judge by it whether a third one brings anything new."""
    return Sketch(
        before.words | after.words,
        before.numbers | after.numbers,
        before.names | after.names,
        before.length + after.length,
        hash((before.digest, after.digest)),
    )
