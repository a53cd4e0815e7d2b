"""The built-in rules: plugins of the same hooks that a user's own rule implements.

Budget and deadline are judged in the flow itself, because they touch the ledger and the clock.
"""

from __future__ import annotations

from mas_guard.rules.handoff import HandoffRule
from mas_guard.rules.hops import HopsRule
from mas_guard.rules.repetition import RepetitionRule

BUILT_IN_RULES = (HandoffRule, HopsRule, RepetitionRule)
RULE_NAMES = ("budget", "deadline", "handoff", "hops", "ownership", "repetition", "turns")

__all__ = ["BUILT_IN_RULES", "RULE_NAMES", "HandoffRule", "HopsRule", "RepetitionRule"]
