"""How contracts, proposals and drift are put in lines and in JSON."""

from __future__ import annotations

from typing import Any

from mas_guard.adapter import Finding
from mas_guard.contracts import Contract, Drift, Entry, changes, observed_changes

_MOST_CHANGES = 12  # that one line names


def drift_finding(drift: Drift) -> Finding:
    """One agent's drift: what changed, who takes its output, and what to do."""
    text = f"{drift.agent}: {_what_happened(drift)}"
    taken = f"; taken by {', '.join(drift.consumers)}" if drift.consumers else "; nobody is known to take its output"
    accepting = f"mas-guard contracts accept {drift.agent}"
    if drift.after is None:
        accepting = "mas-guard contracts accept"
    elif drift.after.source == "runs":
        accepting = f"mas-guard contracts learn EVENTS… --write, then {accepting}"
    fix = f"adapt {', '.join(drift.consumers)}, then: {accepting}" if drift.consumers and drift.before else accepting
    return Finding("error", text + taken, fix)


def drift_as_json(drift: Drift) -> dict[str, Any]:
    """One agent's drift for programs."""
    return {
        "agent": drift.agent,
        "accepted": drift.before.version if drift.before else None,
        "found": drift.after.version if drift.after else None,
        "changes": [{"kind": one.kind, "field": one.field, "text": one.text} for one in drift.changes],
        "consumers": list(drift.consumers),
    }


def proposal_line(agent: str, entry: Entry, before: Entry | None) -> str:
    """A proposal against what is accepted."""
    if before is None:
        return f"+ {agent}: {described(entry)}"
    compare = observed_changes if entry.contract.source == "runs" else changes
    news = [one.text for one in compare(before.contract, entry.contract)]
    known, now = set(before.contract.consumers), set(entry.contract.consumers)
    news += [f"now taken by {name}" for name in sorted(now - known)]
    news += [f"no longer taken by {name}" for name in sorted(known - now)]
    return f"~ {agent}: {'; '.join(news)}"


def described(entry: Entry) -> str:
    """A contract in a line: what it requires, what it rests on, who takes it."""
    parts = [_requirement(entry.contract)]
    if entry.outputs:
        parts.append(f"learned from {entry.outputs} successful output{'' if entry.outputs == 1 else 's'}")
    elif entry.contract.source:
        parts.append(f"declared in {'the ' if entry.contract.source == 'app' else ''}{entry.contract.source}")
    consumers = entry.contract.consumers
    parts.append(f"taken by {', '.join(consumers)}" if consumers else "nobody is known to take it")
    return "; ".join(parts)


def entry_as_json(entry: Entry, *, accepted: bool) -> dict[str, Any]:
    """A contract for programs."""
    return {
        "accepted": accepted,
        "version": entry.contract.version,
        "source": entry.contract.source,
        "outputs": entry.outputs,
        "required": list(entry.contract.required),
        "consumers": list(entry.contract.consumers),
    }


def _what_happened(drift: Drift) -> str:
    if drift.after is None:
        return "its accepted contract is no longer declared"
    if drift.before is None:
        return f"its contract is not accepted yet ({_requirement(drift.after)})"
    named = [one.text for one in drift.changes[:_MOST_CHANGES]]
    more = len(drift.changes) - len(named)
    return "; ".join(named) + (f"; and {more} more changes" if more else "")


def _requirement(contract: Contract) -> str:
    if contract.is_text:
        return "answers in words"
    return f"requires {', '.join(contract.required)}" if contract.required else "requires no field"
