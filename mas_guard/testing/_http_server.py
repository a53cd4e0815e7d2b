"""The listening socket and the connections that clients keep open."""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock
from typing import Any

from mas_guard.testing._exchange import Exchange
from mas_guard.testing._traffic import Traffic


class HttpServer(ThreadingHTTPServer):
    """One thread a connection, on the loopback address."""

    daemon_threads = True
    block_on_close = False
    # Fan-outs connect all at once; the default backlog of 5 would make the sixth wait a second.
    request_queue_size = 1024

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], exchange: Exchange, traffic: Traffic) -> None:
        self.exchange = exchange
        self.traffic = traffic
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()
        super().__init__(("127.0.0.1", port), handler)

    def server_bind(self) -> None:
        # HTTPServer would ask the name service for this machine's name here, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def connection_opened(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.add(connection)

    def connection_closed(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(connection)

    def close_connections(self) -> None:
        """End the connections that clients keep open."""
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the client was quicker

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
