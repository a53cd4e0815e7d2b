"""Handoff packets: what one agent hands to the next, beside control.

A packet carries four parts: the task, its context, the format of the answer, and what to do where it fails. `read_packet`
finds them in a handoff's input or text, `missing_parts` names those that are not there, `examine` finds the four ways in
which handoffs go wrong, and `render` writes a packet for the agent that receives it.
"""

from __future__ import annotations

from mas_guard.packets.examining import Mode, Problem, examine
from mas_guard.packets.packet import PARTS, Packet, Part, missing_parts, render
from mas_guard.packets.reading import read_packet

__all__ = ["PARTS", "Mode", "Packet", "Part", "Problem", "examine", "missing_parts", "read_packet", "render"]
