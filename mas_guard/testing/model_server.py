"""A local model server that speaks OpenAI's Chat Completions and Responses, scripted by a list or a function.

    with ModelServer([call("search", query="invoices"), text("Done.")]) as server:
        model = ChatOpenAI(base_url=server.url, api_key="x", model="gpt-4o-mini")
        ...
        assert server.count == 2

It refuses what real providers refuse, reports usage as they do, and counts requests and those in flight. It
needs nothing but the standard library. As a process of its own:

    python -m mas_guard.testing.model_server --script package.module:replies --port 0

prints its URL as the first line; `GET /requests` on the same host then tells the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from types import TracebackType
from typing import Self

from mas_guard.testing._exchange import Exchange
from mas_guard.testing._handler import Handler
from mas_guard.testing._http_server import HttpServer
from mas_guard.testing._model_maximums import MODEL_MAXIMUMS
from mas_guard.testing._request import Request
from mas_guard.testing._script import Script, ScriptReader
from mas_guard.testing._traffic import Traffic
from mas_guard.testing._validation import Limits


class ModelServer:
    """Serves on a free loopback port from construction until `close()` or the end of its `with` block.

    Args:
        script: Replies in the order of the calls, or a function from `Request` to reply, called on the thread
            of its request. A string stands for `text(...)`. A refused request takes no reply.
        repeat_last: Give the last reply of a list again once it has run out; otherwise a call beyond the list
            is answered with a 500 that says so.
        port: Port to listen on; 0 takes a free one.
        max_requests: After this many requests the server gives up: status 400, code "server_gave_up", which
            no client retries. None never gives up.
        release_when_in_flight: Hold all answers until this many requests are in flight at once; from then on
            none is held. This proves concurrency without sleeping.
        wait_timeout: Seconds after which a held answer goes out all the same; default 10.
        model_maximums: Largest output cap by model name, in tokens; a larger one is refused.
        unknown_model_maximum: The same for models that are not listed; None lets them have any.
        refuse_tool_history_without_tools: As Bedrock: refuse tool calls in the history where no tools are
            declared.
        refuse_stream_options: As Mistral and Databricks: answer 422 to `stream_options`.
        require_usage_opt_in: Chat streams report usage only if asked by `stream_options.include_usage`; False
            reports it always. Responses streams always report it.

    Raises:
        TypeError: the script is neither a list nor a function.
        OSError: the port is taken.
    """

    def __init__(
        self,
        script: Script,
        *,
        repeat_last: bool = False,
        port: int = 0,
        max_requests: int | None = None,
        release_when_in_flight: int = 0,
        wait_timeout: float = 10.0,
        model_maximums: Mapping[str, int] = MODEL_MAXIMUMS,
        unknown_model_maximum: int | None = None,
        refuse_tool_history_without_tools: bool = False,
        refuse_stream_options: bool = False,
        require_usage_opt_in: bool = True,
    ) -> None:
        self._traffic = Traffic(release_when_in_flight, wait_timeout)
        exchange = Exchange(
            ScriptReader(script, repeat_last=repeat_last),
            self._traffic,
            Limits(
                model_maximums=model_maximums,
                unknown_model_maximum=unknown_model_maximum,
                refuse_tool_history_without_tools=refuse_tool_history_without_tools,
                refuse_stream_options=refuse_stream_options,
            ),
            require_usage_opt_in=require_usage_opt_in,
            max_requests=max_requests,
        )
        self._http = HttpServer(port, Handler, exchange, self._traffic)
        self._thread = Thread(target=self._http.serve_forever, args=(0.02,), name="model-server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL for clients, with `/v1`."""
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The URL without `/v1`, where `/requests` is."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def requests(self) -> list[Request]:
        """The model calls received so far, in order of arrival, refused ones included."""
        return self._traffic.snapshot()

    @property
    def count(self) -> int:
        """Number of model calls received, answered or refused."""
        return len(self._traffic.snapshot())

    @property
    def answered(self) -> int:
        """Number of model calls that got a whole answer of the script, faults not counted."""
        return self._traffic.answered

    @property
    def abandoned(self) -> int:
        """Number of model calls whose client was seen to close the connection before it had its answer.

        It is seen while the answer is held, or when writing fails; a short answer may be out before.
        """
        return self._traffic.abandoned

    @property
    def in_flight(self) -> int:
        """Number of model calls being answered now."""
        return self._traffic.in_flight

    @property
    def most_in_flight(self) -> int:
        """The most model calls that were in flight at once."""
        return self._traffic.most_in_flight

    def wait_for_count(self, count: int, timeout: float = 10.0) -> bool:
        """Block until *count* model calls have arrived, at most *timeout* seconds; returns if they did."""
        return self._traffic.wait_until(lambda: self.count >= count, timeout)

    def wait_for_in_flight(self, number: int, timeout: float = 10.0) -> bool:
        """Block until exactly *number* model calls are in flight, at most *timeout* seconds.

        Returns whether they are; 0 waits until none is.
        """
        return self._traffic.wait_until(lambda: self.in_flight == number, timeout)

    def close(self) -> None:
        """Stop serving, end the open connections and release what is held. May be called twice."""
        self._traffic.close()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.close_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


if __name__ == "__main__":
    from mas_guard.testing._command_line import main

    main()
