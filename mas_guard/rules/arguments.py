"""The arguments of a tool call as one number, for rules that tell whether a call was made before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_written = json.JSONEncoder(sort_keys=True, default=str).encode


def hash_of(arguments: Mapping[str, Any]) -> int:
    """Equal for equal arguments in any order, within one process."""
    return hash(_written(arguments))
