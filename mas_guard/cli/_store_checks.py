"""What `mas-guard doctor` looks at where budgets are kept: can it be reached, and does it keep what it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mas_guard._store import sqlite_path
from mas_guard.adapter import Finding
from mas_guard.config import Policy
from mas_guard.records.opening import shown

UNKNOWN = "unknown"


def store_findings(policy: Policy) -> Iterator[Finding]:
    """The store that the settings name."""
    scheme = policy.store.partition("://")[0].lower()
    if scheme == "memory":
        yield Finding(
            "warning",
            "budgets are kept in memory (STORE=memory://): each process has its own, and a restart forgets them",
            "for several workers set MAS_GUARD_STORE=sqlite:///ledger.db (one machine) or redis://host:6379/0",
        )
    elif scheme == "sqlite":
        yield from _sqlite_findings(policy)
    elif scheme.partition("+")[0] in ("redis", "rediss", "unix", "valkey", "valkeys"):
        yield from _redis_findings(policy)
    else:
        yield Finding("ok", f"budgets are kept where a plugin says: {shown(policy.store)}")


def _sqlite_findings(policy: Policy) -> Iterator[Finding]:
    from mas_guard.ledger.sqlite.network_file_system import file_system_of

    path = sqlite_path(policy.store)
    system = file_system_of(path)
    if system.kind == "network":
        yield Finding(
            "error",
            f"STORE={shown(policy.store)} lies on a network file system ({system.name}), where SQLite's locks do not hold: "
            "it is refused",
            "name a file on a local disk, or for several machines redis://host:6379/0",
        )
        return
    folder = os.path.dirname(path)
    problem = _why_no_folder(folder, path)
    if problem:
        yield Finding(
            "error", f"STORE={shown(policy.store)} cannot be written: {problem}", "name a folder that can be written"
        )
        return
    kind = (
        f"a {system.name} file system"
        if system.kind == "local"
        else f"a file system of unknown kind ({system.name or UNKNOWN})"
    )
    yield Finding(
        "ok" if system.kind == "local" else "warning",
        f"budgets are kept in {path}, on {kind}: one for all processes of this machine",
        ""
        if system.kind == "local"
        else "make sure that no other machine opens the file: SQLite's locks would not hold",
    )


def _why_no_folder(folder: str, path: str) -> str:
    if not os.path.isdir(folder):
        return f"there is no folder {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} cannot be written"
    if os.path.exists(path) and not os.access(path, os.W_OK | os.R_OK):
        return f"the file {path} cannot be read and written"
    return ""


def _redis_findings(policy: Policy) -> Iterator[Finding]:
    place = shown(policy.store)
    try:
        server = _Server(policy)
    except ImportError:
        yield Finding("error", f"STORE={place} needs the package redis", 'pip install "mas-guard[redis]"')
        return
    except Exception as error:  # whatever the driver says of it
        yield Finding(
            "error",
            f"STORE={place} does not answer ({type(error).__name__}: {error}); an app would start, and what is shared would "
            "be refused",
            "start the server, or correct MAS_GUARD_STORE",
        )
        return
    try:
        yield Finding("ok", f"{place} answers: {server.name} {server.version}")
        yield from _version_findings(server)
        yield from _eviction_findings(server)
        yield from _persistence_findings(server)
        yield from _replica_findings(server, policy)
    finally:
        server.close()


def _version_findings(server: _Server) -> Iterator[Finding]:
    major = server.version.partition(".")[0]
    if major.isdigit() and int(major) < 6:
        yield Finding(
            "error", f"{server.name} {server.version} is too old: 6.2 is the oldest that is tested", "update the server"
        )


def _eviction_findings(server: _Server) -> Iterator[Finding]:
    policy = server.setting("maxmemory-policy")
    if policy is None:
        yield Finding(
            "warning",
            "maxmemory-policy is unknown: the server hides its settings. Where it evicts keys, budgets are lost with them",
            "make sure in the provider's console that it is noeviction",
        )
    elif policy != "noeviction":
        yield Finding(
            "error",
            f"maxmemory-policy is {policy}: a full server drops budgets, and calls are refused as the books are lost",
            "CONFIG SET maxmemory-policy noeviction, and in the server's configuration file",
        )
    else:
        yield Finding("ok", "maxmemory-policy is noeviction: a full server refuses instead of forgetting")


def _persistence_findings(server: _Server) -> Iterator[Finding]:
    append = server.setting("appendonly")
    if append is None:
        yield Finding(
            "warning",
            "appendonly is unknown: the server hides its settings. Without it a restart forgets what was spent",
            "make sure in the provider's console that it persists (AOF)",
        )
    elif append != "yes":
        yield Finding(
            "warning",
            "appendonly is off: a restart of the server forgets what was spent; runs that go on are refused then",
            "CONFIG SET appendonly yes, and in the server's configuration file",
        )
    elif server.setting("appendfsync") == "no":
        yield Finding(
            "warning",
            "appendfsync is no: a loss of power may take back half a minute of what was spent",
            "CONFIG SET appendfsync everysec (a second may be lost), or always (nothing is)",
        )
    else:
        yield Finding("ok", f"appendonly is on, appendfsync {server.setting('appendfsync') or UNKNOWN}")


def _replica_findings(server: _Server, policy: Policy) -> Iterator[Finding]:
    from mas_guard.ledger.redis.servers import own_options

    wanted = int(own_options(policy.store).get("replicas", 0))
    there = int(server.information.get("connected_slaves", 0) or 0)
    if wanted > there:
        yield Finding(
            "error",
            f"STORE asks for the acknowledgement of {wanted} replicas and {there} are connected: every call would be refused",
            "connect the replicas, or leave replicas= out of the URL",
        )
    elif there and not wanted:
        yield Finding(
            "warning",
            f"{there} replicas are connected and none has to acknowledge: after a failover the last grants may be lost, and "
            "runs that notice are refused",
            "add ?replicas=1 to STORE",
        )


class _Server:
    """One connection to the server that has the books, for asking what it is."""

    def __init__(self, policy: Policy) -> None:
        from mas_guard.ledger.redis.keys import books_key
        from mas_guard.ledger.redis.servers import own_options, servers

        books = books_key(own_options(policy.store).get("prefix", "mas-guard"), "")
        self._connection: Any = servers(policy.store, policy.store_timeout).node(books).take(policy.store_timeout)
        text = self._ask("INFO")
        text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        self.information = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and line[0] != "#")
        self.name = "Valkey" if "valkey_version" in self.information else "Redis"
        self.version = self.information.get("valkey_version") or self.information.get("redis_version", UNKNOWN)

    def setting(self, name: str) -> str | None:
        """A setting of the server; `None` where it hides them."""
        from redis.exceptions import RedisError

        try:
            found = self._ask("CONFIG", "GET", name)
        except RedisError:
            return None
        values = list(found.values()) if isinstance(found, dict) else list(found)[1:]
        if not values:
            return None
        return values[0].decode() if isinstance(values[0], bytes) else str(values[0])

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.disconnect()

    def _ask(self, *words: str) -> Any:
        self._connection.send_command(*words)
        return self._connection.read_response()
