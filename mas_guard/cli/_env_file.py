"""Reads a file of `KEY=VALUE` lines, as `--env-file` takes it."""

from __future__ import annotations

import re
from pathlib import Path

from mas_guard.errors import ConfigError

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


def read_env_file(path: Path) -> dict[str, str]:
    """The variables in *path*. Empty lines and `#` comments are skipped, one pair of quotes is taken off.

    Nothing is expanded: `$HOME` stays `$HOME`.

    Raises:
        ConfigError: Where the file cannot be read or a line is no `KEY=VALUE`.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--env-file {path} cannot be read ({error}). Give a UTF-8 file of KEY=VALUE lines.",
            source=f"file {path}",
            key="",
        ) from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(
                f"--env-file {path}, line {number} is no KEY=VALUE: {line.split('=')[0][:40]!r}. Write one variable "
                "a line, comments after #.",
                source=f"file {path}",
                key="",
            )
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
