"""A relay before a server, which can cut connections after the server has executed, and turn to another server."""

from __future__ import annotations

import random
import select
import socket
import threading


class Relay:
    """Takes connections on a loopback port and passes them on.

    Attributes:
        port: Where it listens.
        target: The port of the server that new connections go to.
        share_cut: The share of replies that are swallowed, and their connections cut.
        cuts: How many were.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.share_cut = 0.0
        self.cuts = 0
        self._dice = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def turn_to(self, target: int) -> None:
        """Send everybody to another server from now on; who is connected is cut."""
        self.target = target
        for connection in list(self._open):
            _hang_up(connection)

    def close(self) -> None:
        self._listener.close()
        self.turn_to(0)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        self._open |= {client, server}
        try:
            while True:
                for ready in select.select((client, server), (), ())[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is client:
                        server.sendall(data)
                    elif self._dice.random() < self.share_cut:
                        self.cuts += 1
                        return
                    else:
                        client.sendall(data)
        except OSError:
            return
        finally:
            self._open -= {client, server}
            client.close()
            server.close()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
