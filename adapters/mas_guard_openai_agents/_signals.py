"""The SDK's own errors that a stop is raised as well as, so that nothing on its way turns it into another one.

The SDK sets its fields in `__init__`, which a combined error never passes; here they have their defaults.
"""

from __future__ import annotations

from typing import Any

from agents.exceptions import AgentsException, MaxTurnsExceeded


class StopSignal(AgentsException):
    """Passes through the run loop, its hooks and its guardrails, and comes out with the run's data."""

    run_data: Any = None


class TurnsSignal(StopSignal, MaxTurnsExceeded):
    """What an app that expects `MaxTurnsExceeded` goes on to catch."""

    message = ""
