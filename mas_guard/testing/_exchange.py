"""From the bytes of a request to the answer that goes back: admission, the script, the wire format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from mas_guard.testing import _chat_completions, _responses
from mas_guard.testing._answer import answer
from mas_guard.testing._chat_validation import check_chat
from mas_guard.testing._frames import Frame
from mas_guard.testing._held_history import HeldHistory, Item
from mas_guard.testing._refusal import Refusal, our_fault
from mas_guard.testing._request import CHAT_COMPLETIONS, Request
from mas_guard.testing._responses_validation import check_items, check_responses
from mas_guard.testing._script import ScriptReader
from mas_guard.testing._traffic import Traffic
from mas_guard.testing._validation import Limits
from mas_guard.testing.replies import Reply


@dataclass(frozen=True)
class Admitted:
    """A request that has been recorded, and what becomes of it.

    Attributes:
        request: The request.
        refusal: Why it is refused; None where it is answered.
        reply: Gives the scripted reply; may block, and may raise a `Refusal`.
        history: For Responses, the items up to and with this request.
        held_bytes: The size of that part of the history which the server held.
    """

    request: Request
    refusal: Refusal | None
    reply: Callable[[], Reply]
    history: list[Item]
    held_bytes: int


class Exchange:
    """Admits requests one at a time and writes their answers. Safe for threads."""

    def __init__(
        self,
        script: ScriptReader,
        traffic: Traffic,
        limits: Limits,
        *,
        require_usage_opt_in: bool,
        max_requests: int | None,
    ) -> None:
        self._script = script
        self._traffic = traffic
        self._limits = limits
        self._require_usage_opt_in = require_usage_opt_in
        self._max_requests = max_requests
        self._admission = Lock()
        self.held = HeldHistory()

    def admit(self, path: str, raw: bytes, headers: Mapping[str, str]) -> Admitted:
        """Record a request, check it, and give it its place in the script.

        One at a time, so that a list of replies goes out in order of arrival. A refused request takes none.
        """
        body, problem = parsed(raw)
        with self._admission:
            request = self._traffic.arrive(path, body, raw, headers)
            try:
                self._refuse_beyond_the_maximum(request)
                if problem is not None:
                    raise problem
                if path == CHAT_COMPLETIONS:
                    check_chat(body, self._limits)
                    return Admitted(request, None, self._script.next(request), [], 0)
                check_responses(body, self._limits)
                before = self.held.before(body)
                history = before + self.held.given(body)
                check_items(history, body, self._limits)
                size = len(json.dumps(before)) if before else 0
                return Admitted(request, None, self._script.next(request), history, size)
            except Refusal as refusal:
                return Admitted(request, refusal, Reply, [], 0)
            except Exception as error:
                hole = our_fault(f"The check of the request failed: {error!r}.", "check_failed")
                return Admitted(request, hole, Reply, [], 0)

    def plain(self, admitted: Admitted, reply: Reply) -> dict[str, Any]:
        """The JSON body of an answer that is not streamed."""
        request = admitted.request
        answered = answer(reply, request, admitted.held_bytes)
        if request.path == CHAT_COMPLETIONS:
            return _chat_completions.plain(answered)
        body = _responses.plain(answered, request.body)
        self.held.keep(request.body, body["id"], admitted.history, body["output"])
        return body

    def stream(self, admitted: Admitted, reply: Reply) -> Iterator[Frame]:
        """The frames of a streamed answer."""
        request = admitted.request
        answered = answer(reply, request, admitted.held_bytes)
        if request.path == CHAT_COMPLETIONS:
            options = request.body.get("stream_options") or {}
            with_usage = bool(options.get("include_usage")) or not self._require_usage_opt_in
            yield from _chat_completions.stream(answered, with_usage=with_usage)
            return
        for frame in _responses.stream(answered, request.body):
            if frame.is_last:
                # Kept before the client can know that it has it all, and may go on from it.
                output = _responses.output_items(answered)
                self.held.keep(request.body, _responses.response_id(request.index), admitted.history, output)
            yield frame

    def _refuse_beyond_the_maximum(self, request: Request) -> None:
        if self._max_requests is not None and request.index >= self._max_requests:
            # No 429: clients and frameworks retry that, and the point is that the app ends here.
            raise Refusal(
                f"The server gave up: it answers {self._max_requests} requests and this is "
                f"request {request.index + 1}.",
                code="server_gave_up",
            )


def parsed(raw: bytes) -> tuple[dict[str, Any], Refusal | None]:
    """The JSON object in *raw*; an empty one, and why, where there is none."""
    try:
        body = json.loads(raw)
    except ValueError as error:
        return {}, Refusal(f"We could not parse the JSON body of your request: {error}.")
    if not isinstance(body, dict):
        return {}, Refusal("Invalid type for the request body: expected an object.", code="invalid_type")
    return body, None
