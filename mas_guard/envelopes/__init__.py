"""What a step's output is worth: read off what is known of it, or asked of the model that gave it."""

from __future__ import annotations

from mas_guard.envelopes.inference import Finding, examine_reply, examine_value
from mas_guard.envelopes.trailer import REQUEST, Held, read_trailer, repair_request

__all__ = [
    "REQUEST",
    "Finding",
    "Held",
    "examine_reply",
    "examine_value",
    "read_trailer",
    "repair_request",
]
