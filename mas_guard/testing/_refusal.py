"""A request that is answered with an error, in the shape OpenAI gives its errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """Raised where a request is refused; the HTTP side turns it into a response.

    Attributes:
        status: HTTP status.
        message: What is wrong, in words.
        param: The field at fault, where there is one.
        code: The provider's machine-readable code, where there is one.
        type: The provider's error type; follows from the status if not given.
        headers: Further response headers.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.type = type or _type_of(status)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body of the response."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def our_fault(message: str, code: str) -> Refusal:
    """A mistake in the test's own script. Clients are told not to retry, so that it shows at once."""
    return Refusal(message, code=code, status=500, headers={"x-should-retry": "false"})


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
