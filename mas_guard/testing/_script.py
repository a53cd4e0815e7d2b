"""Where the replies come from: a list, in order, or a function of the request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mas_guard.testing._refusal import our_fault
from mas_guard.testing._request import Request
from mas_guard.testing.replies import Reply

Script = Sequence[Reply | str] | Callable[[Request], Reply | str]
"""Replies in the order in which they are given, or a function; a string stands for `text(...)`."""


class ScriptReader:
    """Hands out a script's replies.

    Raises:
        TypeError: the script is neither a list of replies nor a function.
    """

    def __init__(self, script: Script, *, repeat_last: bool) -> None:
        self._function: Callable[[Request], Reply | str] | None = None
        self._replies: list[Reply | str] = []
        self._position = 0
        self._repeat_last = repeat_last
        if isinstance(script, Sequence) and not isinstance(script, str):
            self._replies = list(script)
        elif callable(script):
            self._function = script
        else:
            raise TypeError(
                f"A script is a list of replies or a function, not {type(script).__name__}: "
                f"write [text('...')], or [text('...')] with repeat_last=True"
            )

    def next(self, request: Request) -> Callable[[], Reply]:
        """Take the place of *request* in the script; calling the result gives its reply.

        The two are apart because places are taken one at a time, while a function runs beside others: it may
        block, or wait for the other requests.
        """
        if self._function is not None:
            function = self._function
            return lambda: self._from_function(function, request)
        position = self._position
        self._position += 1
        return lambda: self._from_list(position)

    def _from_list(self, position: int) -> Reply:
        if position >= len(self._replies) and not (self._repeat_last and self._replies):
            raise our_fault(
                f"The script ran out: it has {len(self._replies)} replies and this is call {position + 1}. "
                f"Add replies, or give ModelServer(..., repeat_last=True).",
                "script_ran_out",
            )
        return _as_reply(self._replies[min(position, len(self._replies) - 1)])

    @staticmethod
    def _from_function(function: Callable[[Request], Reply | str], request: Request) -> Reply:
        try:
            return _as_reply(function(request))
        except Exception as error:
            raise our_fault(
                f"The script failed on request {request.index}: {type(error).__name__}: {error}",
                "script_failed",
            ) from error


def _as_reply(given: object) -> Reply:
    if isinstance(given, Reply):
        return given
    if isinstance(given, str):
        return Reply(text=given)
    raise our_fault(f"The script gave {type(given).__name__} where a Reply or a string belongs.", "script_failed")
