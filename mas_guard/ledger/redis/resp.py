"""How arguments are written to the server, so that what never changes is written once."""

from __future__ import annotations

from collections.abc import Iterable


def packed(arguments: Iterable[bytes]) -> bytes:
    """*arguments* as bulk strings."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments])


def command(*arguments: bytes) -> bytes:
    """A whole command."""
    return b"*%d\r\n" % len(arguments) + packed(arguments)
