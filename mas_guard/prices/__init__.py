"""What a call may cost: prices, output limits, and bounds of its input."""

from __future__ import annotations

from mas_guard.prices import held_history
from mas_guard.prices.bounds import input_bound
from mas_guard.prices.facts import ModelFacts, Price, Tier, cost, worst_cost
from mas_guard.prices.lookup import model_facts
from mas_guard.prices.table import AS_OF
from mas_guard.prices.tokenizer import exact_counter
from mas_guard.prices.visible import PER_MEDIA, PER_MESSAGE, visible

__all__ = [
    "AS_OF",
    "PER_MEDIA",
    "PER_MESSAGE",
    "ModelFacts",
    "Price",
    "Tier",
    "cost",
    "exact_counter",
    "held_history",
    "input_bound",
    "model_facts",
    "visible",
    "worst_cost",
]
