"""What a diagnosis finds, and the report of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FindingAction = Literal["warn", "redirect", "block", "stop"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the guard would have acted on.

    Attributes:
        rule: The rule that saw it.
        event: The index, in its run, of the event at which it was seen.
        action: What enforce mode would have done: `warn` tells people alone, `redirect` and `block` answer the model
            instead of carrying the call out or give control back to the owner, `stop` ends the run.
        summary: What happened, as a sentence with its figures. Never the content of a message.
        mode: The MAST mode that it shows, `None` where a limit alone was passed.
        verdict: What the rule said.
        figures: The numbers and event indices behind it.
    """

    rule: str
    event: int
    action: FindingAction
    summary: str
    mode: str | None = None
    verdict: str = "warn"
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The finding as the one JSON object of `mas-guard replay --format jsonl`."""
        return {
            "mode": self.mode,
            "rule": self.rule,
            "event": self.event,
            "verdict": self.verdict,
            "action": self.action,
            "evidence": {"summary": self.summary, **self.figures},
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one run.

    Attributes:
        run: The run's id as recorded.
        findings: In the order of the events.
    """

    run: str
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object, also where nothing was found."""
        return {"run": self.run, "findings": [finding.as_json() for finding in self.findings]}
