"""Which server to talk to: one, the master that sentinels name, or the node of a cluster that has the books.

redis-py makes the connections, so its URL options hold (users, passwords, TLS, unix sockets). They are kept here
without its pools, which would retry and wait in ways of their own.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis import ConnectionPool, RedisCluster, Sentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import parse_url
from redis.retry import Retry

# redis-py has types for a part of itself.
Wire = Any
_Sentinel: Any = Sentinel
_ClusterNode: Any = ClusterNode
_parse_url: Any = parse_url

OURS = ("replicas", "retention", "prefix")  # options of the URL that are not redis-py's


class Node:
    """One server, and the connections to it that are not in use."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: deque[Wire] = deque()  # its pop and append are atomic: no lock that a collection could meet
        self._process = os.getpid()

    def take(self, seconds: float | None = None) -> Wire:
        """A connection nobody else uses; with *seconds* a fresh one that waits no longer for each step."""
        if self._process != os.getpid():
            self._idle, self._process = deque(), os.getpid()
        if seconds is None:
            try:
                return self._idle.pop()
            except IndexError:
                pass
        connection: Wire = self._pool.connection_class(**self._pool.connection_kwargs)
        if seconds is not None:
            connection.socket_timeout = connection.socket_connect_timeout = seconds
        connection.connect()  # the one for sentinels asks for the master here and nowhere else
        return connection

    def give(self, connection: Wire) -> None:
        """Keep *connection* for the next who needs one."""
        self._idle.append(connection)

    def drop_idle(self) -> None:
        """Close what is not in use: a server that has gone has cut these as well."""
        while self._idle:
            try:
                self._idle.pop().disconnect()
            except IndexError:
                return


class Servers:
    """One server; or the master that sentinels name, for which each new connection asks."""

    many = False
    """True where each root has books of its own."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._node = Node(pool)

    def node(self, books: bytes) -> Node:
        """The server that has *books*."""
        return self._node

    def nodes(self) -> list[Node]:
        """All servers that have books."""
        return [self._node]

    def look_again(self) -> None:
        """Forget who was where, after a server moved: here nothing."""


class Cluster(Servers):
    """`redis+cluster://[user:password@]host:port,host:port`. Asked for its slots when it is first needed."""

    many = True

    def __init__(self, url: str, options: dict[str, Any]) -> None:  # no pool of its own
        self._hosts = _hosts(urlsplit(url).netloc, 6379)
        self._options = {**_named(url), **options}
        del self._options["protocol"]  # redis-py's client for clusters insists on its own
        self._cluster: Any = None
        self._nodes: dict[str, Node] = {}

    def node(self, books: bytes) -> Node:
        """See `Servers.node`."""
        cluster = self._found()
        return self._node_at(cluster, cluster.get_node_from_key(books))

    def nodes(self) -> list[Node]:
        """See `Servers.nodes`."""
        cluster = self._found()
        return [self._node_at(cluster, found) for found in cluster.get_primaries()]

    def look_again(self) -> None:
        """See `Servers.look_again`."""
        self._cluster = None
        self._nodes = {}

    def _found(self) -> Any:
        cluster = self._cluster
        if cluster is None:
            nodes = [_ClusterNode(host, port) for host, port in self._hosts]
            cluster = self._cluster = RedisCluster(startup_nodes=nodes, **self._options)
        return cluster

    def _node_at(self, cluster: Any, found: Any) -> Node:
        node = self._nodes.get(found.name)
        if node is None:
            node = self._nodes[found.name] = Node(cluster.get_redis_connection(found).connection_pool)
        return node


def servers(url: str, timeout: float) -> Servers:
    """The servers that *url* names; each step of talking to them may take half of *timeout*, in seconds."""
    options = {
        "socket_timeout": timeout / 2,
        "socket_connect_timeout": timeout / 2,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    scheme, _, rest = _without_ours(url).partition("://")
    if scheme == "redis+sentinel":
        return Servers(_masters(f"redis://{rest}", options))
    if scheme == "redis+cluster":
        return Cluster(f"redis://{rest}", options)
    if scheme in ("redis", "rediss", "unix"):
        return Servers(ConnectionPool.from_url(f"{scheme}://{rest}", **options))
    if scheme in ("valkey", "valkeys"):
        return Servers(ConnectionPool.from_url(f"redis{scheme[6:]}://{rest}", **options))
    raise ValueError(
        f"{shown(url)} is no Redis URL; write redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
    )


def _masters(url: str, options: dict[str, Any]) -> ConnectionPool:
    parts = urlsplit(url)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(f"{shown(url)} names no service; write redis+sentinel://host:26379/service")
    own = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "retry")}
    sentinel = _Sentinel(_hosts(parts.netloc, 26379), sentinel_kwargs=own)
    master = sentinel.master_for(service, db=int(db or 0), **_named(url), **options)
    pool: ConnectionPool = master.connection_pool
    return pool


def own_options(url: str) -> dict[str, str]:
    """Those options of *url* that are ours."""
    return {name: value for name, value in parse_qsl(urlsplit(url).query) if name in OURS}


def _without_ours(url: str) -> str:
    before, _, query = url.partition("?")  # put together again by hand: `unix:///path` would lose two slashes
    left = [(name, value) for name, value in parse_qsl(query) if name not in OURS]
    return f"{before}?{urlencode(left)}" if left else before


def _named(url: str) -> dict[str, Any]:
    """User, password and redis-py's own options, for the schemes that it does not read itself."""
    parsed: dict[str, Any] = _parse_url(f"redis://{_user(url)}localhost?{urlsplit(url).query}")
    return {name: value for name, value in parsed.items() if name not in ("host", "port", "db")}


def _user(url: str) -> str:
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    return user + at


def _hosts(netloc: str, port: int) -> list[tuple[str, int]]:
    names = netloc.rpartition("@")[2].split(",")
    split = [urlsplit(f"//{unquote(name)}") for name in names]
    return [(parts.hostname or "localhost", parts.port or port) for parts in split]


def shown(url: str) -> str:
    """The URL without its password and its options."""
    scheme, separator, rest = url.partition("?")[0].partition("://")
    return scheme + separator + rest.rpartition("@")[2]
