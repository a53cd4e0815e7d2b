"""The built-in rules: plugins of the same hooks that a user's own rule implements.

Budget and deadline are judged in the flow itself, because they touch the ledger and the clock.
"""

from __future__ import annotations

from mas_guard.rules.convergence import ConvergenceRule
from mas_guard.rules.handoff import HandoffRule
from mas_guard.rules.hops import HopsRule
from mas_guard.rules.packet import PacketRule
from mas_guard.rules.repetition import RepetitionRule
from mas_guard.rules.replan import ReplanRule
from mas_guard.rules.result import ResultRule

BUILT_IN_RULES = (HandoffRule, PacketRule, ReplanRule, HopsRule, RepetitionRule, ConvergenceRule, ResultRule)
RULE_NAMES = (
    "budget", "convergence", "deadline", "envelope", "handoff", "hops", "ownership", "packet", "repetition", "replan",
    "result", "turns",
)  # fmt: skip

__all__ = [
    "BUILT_IN_RULES",
    "RULE_NAMES",
    "ConvergenceRule",
    "HandoffRule",
    "HopsRule",
    "PacketRule",
    "RepetitionRule",
    "ReplanRule",
    "ResultRule",
]
