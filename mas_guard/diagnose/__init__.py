"""Reads recorded runs and says what the guard would have done, and which of MAST's modes that shows.

Readers turn a record into what happened, a `Diagnosis` watches one run, and nothing here knows a framework.
"""

from __future__ import annotations

from mas_guard.diagnose.diagnosis import Diagnosis
from mas_guard.diagnose.findings import Finding, Report
from mas_guard.diagnose.modes import MODES, NEEDS_A_JUDGE
from mas_guard.diagnose.replay import Replay, replay

__all__ = ["MODES", "NEEDS_A_JUDGE", "Diagnosis", "Finding", "Replay", "Report", "replay"]
