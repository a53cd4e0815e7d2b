"""What is asked of every result before it leaves: confidence enough, the declared type, and evidence where it is declared.

(MAST FM-3.2, no or incomplete verification.) Where a review channel is configured a person decides; where none is, the
result stays as it is and the outcome is `partial`, with the reason.
"""

from __future__ import annotations

import re
from typing import Any

from mas_guard.hookspecs import hookimpl
from mas_guard.types import Envelope, Verdict

RULE = "result"
SHORTEST_NUMBER = 2  # digits; a single one is too common to be a claim

_NUMBER = re.compile(r"\d[\d.,]*\d|\d")


class ResultRule:
    """Escalates results that nobody should rely on unseen."""

    @hookimpl
    def mas_guard_validate_result(self, envelope: Envelope, run: Any) -> Verdict | None:
        """Judge the run's result."""
        return confidence_verdict(envelope, run) or evidence_verdict(envelope, run)


def confidence_verdict(envelope: Envelope, run: Any) -> Verdict | None:
    """Escalate a confidence below `CONFIDENCE_THRESHOLD`, and an unknown one where `UNKNOWN_CONFIDENCE=review`."""
    threshold = run.policy.confidence_threshold
    figures = {"confidence": envelope.confidence, "threshold": threshold}
    if envelope.confidence is None:
        if run.policy.unknown_confidence != "review":
            return None
        reason = "Nobody stated the confidence of the result (UNKNOWN_CONFIDENCE=review)."
        return Verdict("escalate", RULE, "escalate", reason, figures=figures)
    if envelope.confidence >= threshold:
        return None
    reason = f"The result's confidence is {envelope.confidence:g}, below {threshold:g} (CONFIDENCE_THRESHOLD)."
    return Verdict("escalate", RULE, "escalate", reason, figures=figures)


def evidence_verdict(envelope: Envelope, run: Any) -> Verdict | None:
    """Escalate figures that stand in none of the texts that were declared as evidence; nothing without any."""
    if not run.evidence or not isinstance(envelope.result, str):
        return None
    known = {number for text in run.evidence for number in figures_in(text)}
    unsupported = [number for number in figures_in(envelope.result) if number not in known]
    if not unsupported:
        return None
    reason = (
        f"{len(unsupported)} figures of the result stand in none of the {len(run.evidence)} texts declared as evidence."
    )
    return Verdict("escalate", RULE, "escalate", reason, figures={"unsupported": len(unsupported)})


def figures_in(text: str) -> list[str]:
    """The numbers of two digits and more in *text*, without separators of thousands, each once."""
    found = (match.replace(",", "").rstrip(".") for match in _NUMBER.findall(text))
    return list(dict.fromkeys(number for number in found if sum(map(str.isdigit, number)) >= SHORTEST_NUMBER))
