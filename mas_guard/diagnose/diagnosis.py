"""One recorded run under the guard's eye: readers say what happened, the watchers say what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable

from mas_guard.config import Policy
from mas_guard.diagnose._calls import Calls
from mas_guard.diagnose._control import Control
from mas_guard.diagnose._exchanges import Exchanges
from mas_guard.diagnose._openings import Openings
from mas_guard.diagnose.findings import Finding, Report
from mas_guard.similarity import sketch
from mas_guard.types import Call, CallOutcome


class Diagnosis:
    """Watches one run. What happened is told in the order in which it happened; each is given its event's index.

    The same rule says the same about the same thing once: the first time is the one that enforce would have acted on.
    """

    def __init__(self, run: str, policy: Policy) -> None:
        self.run = run
        self.policy = policy
        self._found: list[Finding] = []
        self._said: set[tuple[str, str, str]] = set()
        self._last = ("", "")
        self._new_turn()

    def _new_turn(self) -> None:
        self.calls = Calls(self.run, self.policy)
        self.control = Control(self.policy)
        self._exchanges = Exchanges(self.policy)
        self._openings = Openings()
        self._last = ("", "")

    def user_turn(self) -> None:
        """A person said something: as in the live guard, that is a new run with new limits."""
        self._new_turn()

    def phase_ended(self) -> None:
        """The app itself declared a step of its plan as done: what follows is a new round that it asked for."""
        self._exchanges.interrupted()
        self.calls.forget_exchanges()

    def message(self, event: int, agent: str, text: str) -> None:
        """*agent* said *text* to the others. The same line twice in a row is a log's echo, not a second message."""
        if (agent, text) == self._last:
            return
        before, self._last = self._last[1], (agent, text)
        self.acted(event, agent)
        self.add(self.calls.exchanged(event, agent, before, text))
        self.said(event, agent, text)

    def said(self, event: int, agent: str, text: str) -> None:
        """*agent* gave *text* as an answer, in a record that says apart who had control and what was called."""
        drawn = sketch(text)
        self.add(self._exchanges.said(event, agent, drawn))
        self.add(self._openings.said(event, agent, text, drawn))

    def acted(self, event: int, agent: str) -> None:
        """*agent* did something, in a record that does not say how control passed to it."""
        self.add(self.control.passed(event, agent))

    def call_started(self, event: int, call: Call) -> None:
        """A model or tool call was made."""
        self.add(self.calls.started(event, call))

    def call_ended(self, call: Call, outcome: CallOutcome) -> None:
        """The call that was told to `call_started` has its outcome."""
        self.calls.ended(call, outcome)

    def handoff(self, event: int, source: str, targets: str, hops: int) -> None:
        """Control passed on, and the record says how many *hops* that makes."""
        self.add(self.control.counted(event, f"{source} -> {targets}", hops))

    def add(self, findings: Iterable[Finding]) -> None:
        """Keep what was found, once per rule, action and subject (`figures["subject"]`, the summary where none is)."""
        for finding in findings:
            key = (finding.rule, finding.action, str(finding.figures.get("subject", finding.summary)))
            if key not in self._said:
                self._said.add(key)
                self._found.append(finding)

    def report(self) -> Report:
        """Return what was found."""
        return Report(self.run, tuple(sorted(self._found, key=lambda finding: finding.event)))
