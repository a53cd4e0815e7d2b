"""What a handoff carries: task, context, output format, failure instructions (MAST FM-1.4, FM-2.4, FM-2.5).

`HANDOFFS=infer` records what is missing, `complete` fills it from what the run knows and shows it to the receiver,
`require` refuses the handoff with the list of what is missing, so that the sender tries again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mas_guard.hookspecs import hookimpl
from mas_guard.packets import Packet, Problem, examine, missing_parts, read_packet, render
from mas_guard.types import Handoff, Verdict

RULE = "packet"
LONGEST_CONTEXT = 2_000  # characters of what other agents found that are shown to a receiver
WORDS = {
    "task": "Task: what is to be done",
    "context": "Context: what is known so far",
    "output_format": "Output format: what the answer looks like",
    "on_failure": "If it fails: what to do then",
}


class PacketRule:
    """Looks at what a transfer carries."""

    @hookimpl
    def mas_guard_before_handoff(self, handoff: Handoff, run: Any) -> Verdict | None:
        """Warn of what is missing or wrong, or refuse, as `HANDOFFS` says."""
        mode = run.policy.handoffs
        if (
            mode == "off"
            or run.policy.rule_mode(RULE) == "off"
            or handoff.kind == "return"
            or not handoff.carries
            or handoff.problems
        ):
            return None
        packet = read_packet(handoff.packet or handoff.content)
        missing = missing_parts(packet)
        # What is missing is said as that; the same as a problem would be said twice.
        problems = [problem for problem in problems_of(packet, handoff, run) if problem.part not in missing]
        if mode == "require":
            return _require(handoff, missing, problems)
        if mode == "complete" and missing and run.policy.rule_mode(RULE) == "enforce":
            text = render(completed(packet, handoff, run))
            with run.lock:
                for target in handoff.targets:
                    run.packets[target] = f"[mas-guard] You have been handed this task by {handoff.source!r}.\n{text}"
        if not (missing or problems):
            return None
        return _warn(handoff, missing, problems)


def problems_of(packet: Packet, handoff: Handoff, run: Any) -> list[Problem]:
    """What is wrong with what is there: the four ways in which handoffs go wrong."""
    contract = run.policy.contract_schema(handoff.targets[0]) if len(handoff.targets) == 1 else None
    return examine(
        packet,
        sent_bytes=handoff.sent_bytes,
        received_bytes=handoff.received_bytes,
        history_trimmed=handoff.history_trimmed,
        cut_by_length=handoff.cut_by_length,
        receiver_contract=contract,
        run_input=run.task,
    )


def completed(packet: Packet, handoff: Handoff, run: Any) -> Packet:
    """*packet* with what the run knows in the place of what is missing."""
    known = dict(run.envelopes.texts)  # others may answer meanwhile
    context = "\n".join(f"{agent}: {text}" for agent, text in known.items() if agent not in handoff.targets)
    contract = run.policy.contract_schema(handoff.targets[0]) if len(handoff.targets) == 1 else None
    fields = ", ".join((contract or {}).get("properties", {}))
    return replace(
        packet,
        task=packet.task or run.task,
        context=packet.context or context[-LONGEST_CONTEXT:] or "nothing has been found out yet",
        output_format=packet.output_format
        or (f"JSON with the fields {fields}" if fields else "an answer in plain text"),
        on_failure=packet.on_failure or run.policy.handoff_on_failure,
    )


def _require(handoff: Handoff, missing: tuple[str, ...], problems: list[Problem]) -> Verdict | None:
    # A history that a filter trims is the app's own doing: no sender could mend it by trying again.
    refused = [problem.text for problem in problems if problem.mode == "format"]
    if not missing and not refused:
        return None
    wanted = [WORDS[part] for part in missing]
    target = ", ".join(handoff.targets)
    reason = (
        f"{handoff.source} -> {target}: the handoff lacks {', '.join(missing) or 'nothing'}"
        f"{'; ' + '; '.join(refused) if refused else ''}. Have the sender say it, or set MAS_GUARD_HANDOFFS=complete."
    )
    told = (
        f"not transferred: say before you hand over to {target}: {'; '.join(wanted)}" if wanted else "not transferred"
    )
    message = f"{told}{'. Also: ' + '; '.join(refused) if refused else ''}. Then hand over again."
    figures = {"missing": list(missing), "problems": [problem.mode for problem in problems]}
    return Verdict("deny", RULE, "block", reason, message, None, figures)


def _warn(handoff: Handoff, missing: tuple[str, ...], problems: list[Problem]) -> Verdict:
    found = [f"lacks {', '.join(missing)}"] if missing else []
    found += [problem.text for problem in problems]
    reason = f"{handoff.source} -> {', '.join(handoff.targets)}: {'; '.join(found)}."
    figures = {"missing": list(missing), "problems": [problem.mode for problem in problems]}
    return Verdict("warn", RULE, "none", reason, "", None, figures)
