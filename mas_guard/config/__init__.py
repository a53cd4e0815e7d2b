"""Settings: what can be set, where it is read from, and the policy that comes of it."""

from __future__ import annotations

from mas_guard.config.groups import (
    POLL_ALLOWANCE,
    AgentSettings,
    Budget,
    Mode,
    ModelSettings,
    Repetition,
    Retries,
    ReviewSettings,
    RuleSettings,
    ToolSettings,
)
from mas_guard.config.load import load_policy, policy_of
from mas_guard.config.policy import Policy
from mas_guard.config.provenance import Provenance
from mas_guard.config.schema import json_schema, reference
from mas_guard.config.setting import Setting
from mas_guard.config.table import RESERVED_VARIABLES, SETTINGS
from mas_guard.config.windows import WindowSettings

__all__ = [
    "POLL_ALLOWANCE",
    "RESERVED_VARIABLES",
    "SETTINGS",
    "AgentSettings",
    "Budget",
    "Mode",
    "ModelSettings",
    "Policy",
    "Provenance",
    "Repetition",
    "Retries",
    "ReviewSettings",
    "RuleSettings",
    "Setting",
    "ToolSettings",
    "WindowSettings",
    "json_schema",
    "load_policy",
    "policy_of",
    "reference",
]
