"""Writing a value the way it is given: for `config show`, error messages and the record of where it came from."""

from __future__ import annotations

import re
from typing import Any

from mas_guard.config.setting import Setting

HIDDEN = "***"
"""What stands for a secret."""


def written(value: Any, setting: Setting) -> str:
    """*value* as it is written in a variable or file, with secrets and passwords in addresses left out."""
    if value is None:
        return "none"
    if setting.secret:
        return HIDDEN
    if setting.kind == "duration" and isinstance(value, int | float):
        return _written_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if setting.kind in ("contract", "value") and not isinstance(value, str):
        import json  # only where there is a table

        return json.dumps(value, default=str)
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value)
    return without_password(str(value))


def without_password(text: str) -> str:
    """*text* with the credentials of an address replaced, also where a driver takes them as an option."""
    # Up to the last @, since a password may hold one; the slashes may have been forgotten.
    text = re.sub(r"(:/{0,2})[^/?#\s]*@", r"\1***@", text)
    return re.sub(r"([?&]\w*(?:password|username)=)[^&#\s'\"]*", r"\1***", text, flags=re.IGNORECASE)


def _written_duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000:
        return f"{milliseconds}ms" if seconds < 1 else f"{seconds:g}s"
    parts, rest = [], milliseconds // 1000
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0s"
