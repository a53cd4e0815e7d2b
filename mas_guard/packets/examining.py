"""The four ways in which handoffs go wrong, looked for at the moment of the handoff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mas_guard.packets.cuts import context_problems
from mas_guard.packets.failures import failure_problem
from mas_guard.packets.formats import format_problems
from mas_guard.packets.packet import Packet, Part
from mas_guard.packets.tasks import task_problem

Mode = Literal["format", "context", "task", "failure"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a packet.

    Attributes:
        mode: `format`, `context`, `task` (a guess, for a warning only) or `failure`.
        part: The part of the packet that it is in.
        text: What is wrong and what to do about it; never what the packet says.
    """

    mode: Mode
    part: Part
    text: str


def examine(
    packet: Packet,
    *,
    sent_bytes: int | None = None,
    received_bytes: int | None = None,
    history_trimmed: bool = False,
    cut_by_length: bool = False,
    receiver_contract: Mapping[str, Any] | None = None,
    run_input: str = "",
) -> list[Problem]:
    """Return what is wrong with *packet*, at most one problem of a mode and part. Never raises.

    Args:
        packet: What was handed over.
        sent_bytes: How much the sender gave, and `received_bytes` how much reaches the receiver; `None` is not known.
        received_bytes: See `sent_bytes`.
        history_trimmed: True where the history was trimmed or filtered on the way.
        cut_by_length: True where the sender's output ended by its length (`finish_reason` is `length`).
        receiver_contract: The JSON schema of what the receiver gives.
        run_input: The run's whole input.
    """
    found: list[Problem] = []

    def add(mode: Mode, part: Part, text: str) -> None:
        if text and not any(one.mode == mode and one.part == part for one in found):
            found.append(Problem(mode, part, text))

    for part, text in format_problems(packet, receiver_contract):
        add("format", part, text)
    for part, text in context_problems(
        packet,
        sent_bytes=sent_bytes,
        received_bytes=received_bytes,
        history_trimmed=history_trimmed,
        cut_by_length=cut_by_length,
    ):
        add("context", part, text)
    add("task", "task", task_problem(packet, run_input))
    add("failure", "on_failure", failure_problem(packet))
    return found
