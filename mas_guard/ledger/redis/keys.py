"""Where things are kept on the server.

All keys of one set of books begin with the same hash tag, so they lie on one server of a cluster::

    mas-guard:{tag}                      the books: incarnation, and a clock that never runs back
    mas-guard:{tag}:account:<scope>      limits, room, settled, crashed; who has it open
    mas-guard:{tag}:hold:<id>            a live hold: what it keeps on which accounts, until when
    mas-guard:{tag}:leases               live holds by the end of their lease
    mas-guard:{tag}:ended:<scope>        holds that ended with this account as their first; -before: the older half
    mas-guard:{tag}:crashed:<id>         which account remembers a hold that was charged as crashed
    mas-guard:{tag}:charges:<scope>      the same for charges
    mas-guard:{tag}:breaches:<scope>     calls that used more than they held

On one server, behind sentinels or not, there is one set of books: any accounts may pay for a call together. In a
cluster there is one for each root, and the accounts of a call must share theirs. Names are scopes and ids; nothing
of a message is ever part of a key or a value.
"""

from __future__ import annotations

import hashlib
import re


def books_key(prefix: str, root: str) -> bytes:
    """The key of the books of *root*; an empty one stands for the only books of a server."""
    return f"{prefix}:{{{_tag(root)}}}".encode()


def account_key(books: bytes, scope: str) -> bytes:
    """The key of an account."""
    return books + b":account:" + scope.encode()


def books_of(prefix: str, key: bytes) -> bytes:
    """The books that a key belongs to."""
    return key[: key.index(b"}", len(prefix.encode())) + 1]


def pattern(prefix: str, books: bytes, kind: bytes, name: str = "") -> bytes:
    """What matches the keys of *books*, or of any where that is empty: the one named *kind*; where that ends in a colon,
    all that go on with *name*."""
    begins = _literal(books) if books else _literal(f"{prefix}:{{".encode()) + b"*}"
    return begins + b":" + kind + _literal(name.encode()) + (b"*" if kind.endswith(b":") else b"")


def _literal(text: bytes) -> bytes:
    return re.sub(rb"([\\*?\[\]])", rb"\\\1", text)


def root_of(scope: str) -> str:
    """The root of a scope that was opened without one: its run or group, such as `7f3a` in `agent:7f3a:writer:1`."""
    parts = scope.split(":")
    return parts[1] if len(parts) > 1 else scope


def _tag(root: str) -> str:
    if not root:
        return "ledger"
    if "{" in root or "}" in root:
        return hashlib.blake2b(root.encode(), digest_size=16).hexdigest()
    return root
