"""The failure modes of multi-agent systems in MAST, and which of them a rule can see.

Source: Cemri et al., "Why Do Multi-Agent LLM Systems Fail?" (MAST). The numbers and names are theirs.
"""

from __future__ import annotations

MODES = {
    "FM-1.1": "disobey task specification",
    "FM-1.2": "disobey role specification",
    "FM-1.3": "step repetition",
    "FM-1.4": "loss of conversation history",
    "FM-1.5": "unaware of termination conditions",
    "FM-2.1": "conversation reset",
    "FM-2.2": "fail to ask for clarification",
    "FM-2.3": "task derailment",
    "FM-2.4": "information withholding",
    "FM-2.5": "ignored other agent's input",
    "FM-2.6": "reasoning-action mismatch",
    "FM-3.1": "premature termination",
    "FM-3.2": "no or incomplete verification",
    "FM-3.3": "incorrect verification",
}

STEP_REPETITION = "FM-1.3"
UNAWARE_OF_TERMINATION = "FM-1.5"
CONVERSATION_RESET = "FM-2.1"

NEEDS_A_JUDGE = frozenset({"FM-1.1", "FM-2.3", "FM-2.6", "FM-3.3"})
"""Modes that are a matter of meaning. No finding claims one of these."""
