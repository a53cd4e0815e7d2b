"""The largest output each model grants, as the provider publishes it."""

from __future__ import annotations

import re
from collections.abc import Mapping

MODEL_MAXIMUMS: Mapping[str, int] = {
    "gpt-3.5-turbo": 4_096,
    "gpt-4-turbo": 4_096,
    "gpt-4o": 16_384,
    "gpt-4o-2024-05-13": 4_096,
    "gpt-4o-mini": 16_384,
    "gpt-4.1": 32_768,
    "gpt-4.1-mini": 32_768,
    "gpt-4.1-nano": 32_768,
    "o1": 100_000,
    "o3": 100_000,
    "o3-mini": 100_000,
    "o4-mini": 100_000,
    "gpt-5": 128_000,
    "gpt-5-mini": 128_000,
    "gpt-5-nano": 128_000,
    "gpt-5.1": 128_000,
    "gpt-5.2": 128_000,
}
"""Tokens of output by model name. Dated and fine-tuned names fall back to their base model."""


def maximum_of(model: str, maximums: Mapping[str, int], unknown: int | None) -> int | None:
    """The largest output cap that *model* takes, in tokens; *unknown* where the model is not listed."""
    if model in maximums:
        return maximums[model]
    tuned = re.match(r"ft:([^:]+)", model)
    base = tuned.group(1) if tuned else model
    if base in maximums:
        return maximums[base]
    return maximums.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", base), unknown)


def takes_only_completion_cap(model: str) -> bool:
    """Reasoning models refuse `max_tokens` in Chat Completions and want `max_completion_tokens`."""
    return re.match(r"(ft:)?(o\d|gpt-5)", model) is not None
