"""The latch: what ended a run, and which of the `ON_LIMIT` actions is being taken about it.

The first fatal verdict is latched and stays, whatever a framework or the user's `except` does with the
exception. From then on every call of the run is refused before it is sent; the one exception is the owner's
concluding turn.
"""

from __future__ import annotations

import threading
from typing import Literal

from mas_guard.errors import GuardStopped

Phase = Literal["latched", "concluding", "asked", "concluded"]


class Stop:
    """One latched stop.

    Attributes:
        error: What is raised where the action is `abort`.
        action: The action in force: `owner`, `partial` or `abort`.
        phase: latched; concluding (control is with the owner); asked (its one call is out); concluded.
        result: The text of the owner's conclusion.
        escalates: True where a person is to decide: the run ends as by `abort`, and a review of it is opened.
        reason: Why an earlier action did not lead to an end, for the outcome.
    """

    __slots__ = ("_actions", "_lock", "action", "error", "escalates", "phase", "reason", "result")

    def __init__(self, error: GuardStopped, actions: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._actions = [action for action in actions if action != "abort"]
        self.escalates = False
        self.error = error
        self.phase: Phase = "latched"
        self.result = ""
        self.reason = ""
        self.action = "abort"
        self._take_next()

    def _take_next(self) -> None:
        self.action = self._actions.pop(0) if self._actions else "abort"
        if self.action == "escalate":
            self.escalates, self.action = True, "abort"

    def escalate(self, reason: str) -> None:
        """Give every action but asking a person up."""
        self.abort(reason)
        self.escalates = True

    def next_action(self, reason: str) -> str:
        """Give the action in force up for *reason* and return the one that follows; `abort` ends the list."""
        with self._lock:
            self.reason = f"{self.reason}; {reason}" if self.reason and reason else self.reason or reason
            self.phase = "latched"
            self._take_next()
            return self.action

    def abort(self, reason: str) -> None:
        """Give every action but `abort` up."""
        if self.action != "abort":
            self._actions.clear()
            self.next_action(reason)

    def begin_conclusion(self) -> bool:
        """Give control to the owner; False where it already has it or had it."""
        with self._lock:
            if self.action != "owner" or self.phase != "latched":
                return False
            self.phase = "concluding"
            return True

    def take_concluding_call(self) -> bool:
        """True for the one call that the latch lets through."""
        with self._lock:
            if self.action != "owner" or self.phase != "concluding":
                return False
            self.phase = "asked"
            return True

    def conclude(self, result: str) -> None:
        """The owner has answered."""
        with self._lock:
            self.phase = "concluded"
            self.result = result
