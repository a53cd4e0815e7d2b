"""What is answered on a connection: JSON bodies, event streams, holds and drops."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any

from mas_guard.testing._exchange import Admitted, parsed
from mas_guard.testing._http_server import HttpServer
from mas_guard.testing._refusal import Refusal
from mas_guard.testing._request import CHAT_COMPLETIONS, RESPONSES
from mas_guard.testing.replies import Reply


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    # Head and body leave together, and at once: otherwise each answer may wait for a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    _left = False

    def setup(self) -> None:
        super().setup()
        self.server.connection_opened(self.connection)

    def finish(self) -> None:
        self.server.connection_closed(self.connection)
        super().finish()

    def do_GET(self) -> None:
        if self._path() != "/requests":
            return self._not_found()
        traffic = self.server.traffic
        requests = traffic.snapshot()
        counts = {
            "count": len(requests),
            "answered": traffic.answered,
            "in_flight": traffic.in_flight,
            "most_in_flight": traffic.most_in_flight,
        }
        self._send_json(200, {**counts, "requests": [request.body for request in requests]})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:
            raise ConnectionAbortedError("the client closed the connection inside its request")
        path = self._path()
        if path == "/v1/conversations":
            return self._open_conversation(raw)
        if path not in (CHAT_COMPLETIONS, RESPONSES):
            return self._not_found()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._left = False
        admitted = self.server.exchange.admit(path, raw, headers)
        try:
            self._answer(admitted)
        except ConnectionError:
            self._leave(abandoned=True)
            self.close_connection = True
        finally:
            self._leave()

    def _answer(self, admitted: Admitted) -> None:
        try:
            if admitted.refusal is not None:
                raise admitted.refusal
            reply = admitted.reply()
            self.server.traffic.pass_gate(self._client_left)
            self.server.traffic.pause(reply.delay_seconds)
            streamed = admitted.request.streamed and reply.status == 200
            if reply.wait_for is not None and not (streamed and reply.hold_stream_after is not None):
                self.server.traffic.hold(reply.wait_for, self._client_left)
            if reply.drop_connection and not (streamed and reply.drop_after_chunks):
                self.close_connection = True
            elif reply.status != 200:
                raise Refusal(
                    reply.error_message,
                    status=reply.status,
                    type=reply.error_type,
                    code=reply.error_code,
                    headers=reply.headers,
                )
            elif streamed:
                self._stream(admitted, reply)
            else:
                body = self.server.exchange.plain(admitted, reply)
                # Left before the bytes go out: the client may send its next request before we get to count.
                self._leave(answered=True)
                self._send_json(200, body, reply.headers, admitted.request.index)
        except Refusal as refusal:
            self._leave()
            self._send_json(refusal.status, refusal.body(), refusal.headers, admitted.request.index)

    def _stream(self, admitted: Admitted, reply: Reply) -> None:
        self.send_response(200)
        self._send_header_lines(reply.headers, admitted.request.index)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunks, held = 0, reply.wait_for
        for frame in self.server.exchange.stream(admitted, reply):
            here = frame.is_chunk or frame.is_last or chunks > 0
            if held is not None and here and (chunks >= (reply.hold_stream_after or 0) or frame.is_last):
                if reply.hold_stream_after is not None:
                    self.server.traffic.hold(held, self._client_left)
                held = None
            if reply.drop_connection and (chunks >= reply.drop_after_chunks or frame.is_last):
                self.close_connection = True
                return
            ending = b""
            if frame.is_last:
                self._leave(answered=True)
                ending = b"0\r\n\r\n"
            self.wfile.write(b"%x\r\n%s\r\n%s" % (len(frame.data), frame.data, ending))
            self.wfile.flush()
            chunks += frame.is_chunk

    def _open_conversation(self, raw: bytes) -> None:
        body, problem = parsed(raw or b"{}")
        if problem is not None:
            return self._send_json(problem.status, problem.body())
        name = self.server.exchange.held.open_conversation(body.get("items") or [])
        conversation = {"id": name, "object": "conversation", "created_at": 0, "metadata": {}}
        self._send_json(200, conversation)

    def _not_found(self) -> None:
        known = f"{CHAT_COMPLETIONS} and {RESPONSES}"
        message = f"Invalid URL ({self.command} {self._path()}). This server has {known}."
        self._send_json(404, Refusal(message, status=404).body())

    def _send_json(self, status: int, body: dict[str, Any], headers: Any = None, index: int | None = None) -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self._send_header_lines(headers or {}, index)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _send_header_lines(self, headers: Any, index: int | None) -> None:
        if index is not None:
            self.send_header("x-request-id", f"req_{index}")
        for name, value in headers.items():
            self.send_header(name, value)

    def _leave(self, *, answered: bool = False, abandoned: bool = False) -> None:
        if not self._left:
            self._left = True
            self.server.traffic.leave(answered=answered, abandoned=abandoned)

    def _client_left(self) -> bool:
        try:
            peeked: bytes = self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return not peeked
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output belongs to the test."""
