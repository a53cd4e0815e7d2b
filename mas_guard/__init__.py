"""mas-guard: the seat belt of multi-agent LLM systems.

    import mas_guard
    graph = mas_guard.wrap(graph)

Public names only; everything is loaded at first use, so that `import mas_guard` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mas_guard._context import extract, inject
    from mas_guard._front_door import (
        bypass,
        evidence,
        group,
        instrument,
        outcome,
        register,
        reviewed,
        run,
        status,
        uninstrument,
        unregister,
        validator,
        wrap,
    )
    from mas_guard._front_door import get_last_outcome as last_outcome
    from mas_guard._group import Group
    from mas_guard._guard import Guard
    from mas_guard._once import effect_id
    from mas_guard._plain_run import PlainRun
    from mas_guard._tenant import tenant
    from mas_guard.config import Policy, load_policy
    from mas_guard.errors import (
        AdapterError,
        AdapterNotFound,
        BudgetExceeded,
        ConfigError,
        DeadlineExceeded,
        EscalationRequired,
        GuardError,
        GuardStopped,
        HandoffRejected,
        HopLimitExceeded,
        NoEffect,
        NotConverging,
        OwnershipConflict,
        RepetitionDetected,
        ResultRejected,
        SeamMissing,
        StoreUnavailable,
        TurnLimitExceeded,
        UnsupportedVersion,
    )
    from mas_guard.hookspecs import hookimpl
    from mas_guard.types import Decision, Envelope, Outcome, Verdict

__version__ = "0.1.0"

_HOMES = {
    "mas_guard._context": ("extract", "inject"),
    "mas_guard._group": ("Group",),
    "mas_guard._front_door": (
        "bypass", "evidence", "group", "instrument", "outcome", "register", "reviewed", "run", "status", "uninstrument",
        "unregister", "validator", "wrap",
    ),
    "mas_guard._guard": ("Guard",),
    "mas_guard._once": ("effect_id",),
    "mas_guard._plain_run": ("PlainRun",),
    "mas_guard._tenant": ("tenant",),
    "mas_guard.config": ("Policy", "load_policy"),
    "mas_guard.errors": (
        "AdapterError", "AdapterNotFound", "BudgetExceeded", "ConfigError", "DeadlineExceeded", "EscalationRequired",
        "GuardError", "GuardStopped", "HandoffRejected", "HopLimitExceeded", "NoEffect", "NotConverging", "OwnershipConflict",
        "RepetitionDetected", "ResultRejected", "SeamMissing", "StoreUnavailable", "TurnLimitExceeded", "UnsupportedVersion",
    ),
    "mas_guard.hookspecs": ("hookimpl",),
    "mas_guard.types": ("Decision", "Envelope", "Outcome", "Verdict"),
}  # fmt: skip
_WHERE = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AdapterError", "AdapterNotFound", "BudgetExceeded", "ConfigError", "DeadlineExceeded", "Decision",
    "Envelope", "EscalationRequired", "Group", "Guard", "GuardError", "GuardStopped", "HandoffRejected", "HopLimitExceeded",
    "NoEffect", "NotConverging", "Outcome", "OwnershipConflict", "PlainRun", "Policy", "RepetitionDetected", "ResultRejected", "SeamMissing",
    "StoreUnavailable", "TurnLimitExceeded", "UnsupportedVersion", "Verdict", "bypass", "effect_id", "evidence", "extract", "group", "hookimpl", "inject",
    "instrument", "last_outcome", "load_policy", "outcome", "register", "reviewed", "run", "status", "tenant",
    "uninstrument", "unregister", "validator", "wrap",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    import importlib

    if name == "last_outcome":
        value = importlib.import_module("mas_guard._front_door").get_last_outcome
    elif name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
    else:
        raise AttributeError(f"module 'mas_guard' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
