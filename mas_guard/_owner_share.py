"""What every call but the concluding turn leaves to the owner."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from mas_guard.types import Amounts, Limits


@lru_cache(maxsize=1024)
def share_of(limits: Limits, share: float) -> Amounts:
    """The part *share* of *limits*, rounded down, and exactly one model call."""
    return Amounts(
        tokens=_part(limits.tokens, share),
        model_calls=1 if limits.model_calls else 0,
        tool_calls=_part(limits.tool_calls, share),
        nano_usd=_part(limits.nano_usd, share),
    )


def _part(limit: int | None, share: float) -> int:
    # By decimal digits: 100 * 0.29 is 28.999… in binary and would lose a unit.
    return int(limit * Decimal(str(share))) if limit else 0
