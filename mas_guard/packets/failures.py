"""The missing failure path: a packet that does not say what to do where the task cannot be done.

A failure path is a condition that something goes wrong, and what to do then: `If the ledger cannot be reached, report it`.
Asking about failures (`find out if the payment failed`) is none, and neither is a rule of the trade (`if the order is not
older than 30 days, refund it`): a weak sign of failure counts only with an instruction to report, stop, ask or fall back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mas_guard.packets.failure_words import (
    ASKING,
    CONDITION,
    FAILING,
    FORBIDDING,
    INSTEAD,
    LACKING,
    OPENING_CONDITION,
    OTHERWISE,
    PEOPLE,
    VACUOUS,
    WAY_OUT,
)
from mas_guard.packets.packet import Packet, is_given
from mas_guard.packets.sentences import ends_of, has_no_spaces, sentences_of, words_of

_LONGEST_SENTENCE = 600  # characters; an instruction is shorter
_MOST_CONDITIONS = 8  # of one sentence
_THEN = re.compile(r"[,:，、—–→]|\b(?:then|dann|so|alors|entonces|então|allora)\b", re.IGNORECASE)
_READABLE = re.compile(r"[a-zA-ZÀ-ɏа-яА-ЯёЁ\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


def failure_problem(packet: Packet) -> str:
    """What is wrong with *packet*'s failure instructions; empty where there is a path."""
    if is_given(packet.on_failure):
        if _says_what_to_do(packet.on_failure):
            return ""
        return "the failure instructions do not say what to do: name what to report, to whom, or what to fall back on"
    everything = "\n".join((packet.task, packet.context, packet.output_format))
    if sentences_with_failure_path(everything) or not _can_be_judged(everything):
        return ""
    return (
        "it does not say what to do where the task cannot be done: add what to report, to whom, or what to fall back on"
    )


def sentences_with_failure_path(text: str) -> list[str]:
    """The sentences of *text* that say what to do in case of failure."""
    found: list[str] = []
    sentences = sentences_of(ends_of(text))
    for at, sentence in enumerate(sentences):
        if is_failure_path(sentence):
            found.append(sentence)
        elif is_failure_condition(sentence) and at + 1 < len(sentences):  # `If it fails:` and then a line of its own
            found += [sentence, sentences[at + 1]]
    return found


def is_failure_path(sentence: str) -> bool:
    """True where *sentence* holds a sign of failure as a condition, and what to do then."""
    sentence = sentence[:_LONGEST_SENTENCE]
    if OTHERWISE.search(sentence) and len(words_of(sentence)) > 2:
        return WAY_OUT.search(sentence) is not None
    if INSTEAD.search(sentence):
        return True
    for start, end in _conditions(sentence):
        before, rest = sentence[:start], sentence[end:]
        if ASKING.search(before[-80:]):
            continue
        clause = sentence if has_no_spaces(sentence) else sentence[start:]  # some languages put the condition last
        failing = FAILING.search(clause)
        if (failing or LACKING.search(clause)) and WAY_OUT.search(sentence):
            return True
        if failing and not before.strip(" \t-*•(\"'") and not PEOPLE.search(rest) and _goes_on(clause[failing.end() :]):
            return True
    return False


def is_failure_condition(heading: str) -> bool:
    """True where *heading* is a condition of failure that ends in a colon: `If the tool cannot be reached:`."""
    heading = heading[:_LONGEST_SENTENCE].rstrip("*_ ")
    return heading.endswith((":", "：")) and any(True for _ in _conditions(heading)) and bool(FAILING.search(heading))


def _conditions(sentence: str) -> Iterator[tuple[int, int]]:
    opening = OPENING_CONDITION.search(sentence)
    if opening is not None:
        yield opening.span()
    for _, found in zip(range(_MOST_CONDITIONS), CONDITION.finditer(sentence), strict=False):
        yield found.span()


def _goes_on(after_the_sign: str) -> bool:
    """True where, after a comma or the like, there is something to do."""
    then = _THEN.search(after_the_sign)
    return then is not None and len(after_the_sign) - then.end() > 5


def _says_what_to_do(instructions: str) -> bool:
    head = ends_of(instructions)
    return has_no_spaces(head) or any(word not in VACUOUS for word in words_of(FORBIDDING.sub(" ", head)))


def _can_be_judged(text: str) -> bool:
    """True where *text* is in a script that the words cover; of any other nothing is claimed."""
    letters = [sign for sign in text[:500] if sign.isalpha()]
    return 2 * sum(_READABLE.match(sign) is not None for sign in letters) >= len(letters)
