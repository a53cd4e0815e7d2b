"""The Lua scripts: each a file of its own, after those whose functions it needs.

A script is called by its hash, with the books' key and its arguments; a server that does not know it yet is sent
the text. Scripts reach further keys of the same hash tag, which are named after the books' key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mas_guard.ledger.redis.resp import command, packed

NEEDS = "-- needs: "
HOME = "mas_guard.ledger.redis"


class Script:
    """One script.

    Args:
        name: Its file's name.
        home: The package whose folder `lua` holds it, and what it needs.

    Attributes:
        name: Its file's name.
        text: What is sent to a server that does not know it.
    """

    def __init__(self, name: str, home: str = HOME) -> None:
        self.name = name
        self.text = _text(name, home)
        hash = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()
        self._by_hash = packed((b"EVALSHA", hash, b"1"))
        self._by_text = packed((b"EVAL", self.text, b"1"))

    def call(self, books: bytes, arguments: Sequence[bytes], more: bytes = b"", number: int = 0) -> Call:
        """A call with *arguments*, then *number* further ones that are packed already in *more*."""
        rest = packed((books, *arguments)) + more
        return Call(self, b"*%d\r\n" % (4 + len(arguments) + number), rest)


class Call(NamedTuple):
    """A script with its arguments, ready to be sent."""

    script: Script
    size: bytes
    rest: bytes

    @property
    def by_hash(self) -> bytes:
        """The command."""
        return self.size + self.script._by_hash + self.rest

    @property
    def by_text(self) -> bytes:
        """The command for a server that does not know the script."""
        return self.size + self.script._by_text + self.rest


class Plain:
    """A command of the server's own, sent as calls are."""

    def __init__(self, *arguments: bytes) -> None:
        self.by_hash = self.by_text = command(*arguments)


@cache
def script(name: str, home: str = HOME) -> Script:
    """The script in `lua/<name>.lua` of the package *home*."""
    return Script(name, home)


def _text(name: str, home: str) -> bytes:
    folder = files(home) / "lua"
    own = (folder / f"{name}.lua").read_text(encoding="utf-8")
    needs = next((line[len(NEEDS) :].split(", ") for line in own.splitlines() if line.startswith(NEEDS)), [])
    parts = [(folder / f"{part}.lua").read_text(encoding="utf-8") for part in needs]
    return "\n".join([*parts, own]).encode()
