"""Agents that say the same again: near-duplicate messages, exchanges that stall, and requests that never change.

A message counts as said again where nearly all its words are the same and no figure and no name is new. Lines shorter
than `SHORT_REPLY` are routing and acknowledgements; they count only as the other half of an exchange.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from mas_guard.config import Policy
from mas_guard.diagnose.findings import Finding
from mas_guard.diagnose.modes import STEP_REPETITION, UNAWARE_OF_TERMINATION
from mas_guard.rules.repetition import SHORT_REPLY
from mas_guard.similarity import Sketch, made_progress, similarity

ALIKE = 0.8
"""The share of words in common from which two messages say the same. Reworded drafts of one text lie below 0.65,
copies with a changed detail above 0.85."""

REMEMBERED = 256  # different messages an agent is compared with; the one not repeated for longest is forgotten


@dataclass(slots=True)
class _Said:
    """One message of an agent, and how often it was said again."""

    drawn: Sketch
    first: int
    times: int = 1


class Exchanges:
    """Watches what agents say to each other.

    From the `REPETITION__BLOCK`th time on (4) a message that is said again is warned of; an exchange of two agents in
    which both sides say the same again is warned of at once, as nothing came in between.
    """

    def __init__(self, policy: Policy) -> None:
        self._limit = policy.repetition.block
        self._said: dict[str, OrderedDict[int, _Said]] = {}
        self._turns: deque[tuple[int, str, Sketch]] = deque(maxlen=4)
        self._streaks: dict[str, tuple[int, int]] = {}
        self._opener = ""

    def interrupted(self) -> None:
        """Something was settled in between: the next turns begin a new exchange."""
        self._turns.clear()

    def said(self, event: int, agent: str, drawn: Sketch) -> Iterator[Finding]:
        """Judge what *agent* said."""
        self._opener = self._opener or agent
        self._turns.append((event, agent, drawn))
        digest, length = self._streaks.get(agent, (0, 0))
        streak = length + 1 if digest == drawn.digest else 1
        self._streaks[agent] = (drawn.digest, streak)
        yield from self._stalled()
        if drawn.length >= SHORT_REPLY:
            said = self._again(event, agent, drawn)
            if self._limit is not None and said.times == self._limit:
                yield (
                    _unchanged(event, agent, said)
                    if agent == self._opener and streak == said.times
                    else _similar(event, agent, said)
                )

    def _again(self, event: int, agent: str, drawn: Sketch) -> _Said:
        known = self._said.setdefault(agent, OrderedDict())
        for key in reversed(known):
            said = known[key]
            if _same(said.drawn, drawn):
                said.times += 1
                known.move_to_end(key)
                return said
        while len(known) >= REMEMBERED:
            known.popitem(last=False)
        known[event] = said = _Said(drawn, event)
        return said

    def _stalled(self) -> Iterator[Finding]:
        if len(self._turns) < 4:
            return
        (first, one, asked), (_, other, answered), (_, again, asks), (last, too, answers) = self._turns
        if (one, other) != (again, too) or one == other or max(asks.length, answers.length) < SHORT_REPLY:
            return
        if _same(asked, asks) and _same(answered, answers):
            yield Finding(
                "stalled_exchange",
                last,
                "warn",
                f"{one} and {other} said the same to each other twice in a row; nothing new came in between",
                STEP_REPETITION,
                figures={"subject": f"{one}, {other}", "agents": [one, other], "first": first, "last": last},
            )


def _same(before: Sketch, after: Sketch) -> bool:
    return similarity(before, after) >= ALIKE and not made_progress(before, after)


def _similar(event: int, agent: str, said: _Said) -> Finding:
    return Finding(
        "similar_messages",
        event,
        "warn",
        f"{agent} said nearly the same {said.times} times, first at event {said.first}; no figure and no name was new",
        STEP_REPETITION,
        figures={"subject": f"{agent}, {said.first}", "agent": agent, "times": said.times, "first": said.first},
    )


def _unchanged(event: int, agent: str, said: _Said) -> Finding:
    return Finding(
        "unchanged_request",
        event,
        "warn",
        f"{agent} made the same request {said.times} turns in a row, whatever was answered, first at event {said.first}",
        UNAWARE_OF_TERMINATION,
        figures={"subject": agent, "agent": agent, "times": said.times, "first": said.first},
    )
