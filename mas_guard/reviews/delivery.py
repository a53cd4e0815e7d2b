"""Messages to the webhook: signed, in the background, with a short time-out, and never the app's problem."""

from __future__ import annotations

import http.client
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from mas_guard.reviews.record import Review
from mas_guard.reviews.webhook import sign_webhook

logger = logging.getLogger("mas_guard")

TIMEOUT = 3.0  # seconds for one attempt
ATTEMPTS = 2


class Delivery:
    """Posts to one webhook.

    Args:
        url: Where to.
        secret: What signs it.
        now: The wall clock, in seconds since the epoch.
        timeout: Seconds that one attempt may take.

    Attributes:
        sent: How many messages have arrived.
        problem: What kept the last one from arriving; empty where nothing did.
    """

    def __init__(self, url: str, secret: str, *, now: Callable[[], float], timeout: float = TIMEOUT) -> None:
        self._url = url
        self._secret = secret
        self._now = now
        self._timeout = timeout
        self.sent = 0
        self.problem = ""
        self._reported = False
        self._under_way: set[threading.Thread] = set()
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """Where it goes, without path and query: some addresses hold a key there."""
        parts = urllib.parse.urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}"

    def review(self, review: Review) -> None:
        """Tell of a review that was opened, with what the person must see."""
        message = {"type": "review.opened", "review": review.to_json()}
        self._in_background(message, f"review {review.id}, which waits for an answer from elsewhere")

    def stop(self, outcome: Any) -> None:
        """Tell of a run that was stopped: names and figures."""
        message = {
            "type": "run.stopped",
            "run": outcome.run_id,
            "status": outcome.status,
            "rule": outcome.rule,
            "reason": outcome.reason,
            "hops": outcome.hops,
            "path": list(outcome.path),
            "spent": outcome.spent._asdict(),
        }
        self._in_background(message, f"the stop of run {outcome.run_id}")

    def wait(self, seconds: float) -> None:
        """Wait until what is under way has arrived or failed, at most *seconds* in all."""
        until = time.monotonic() + seconds
        with self._lock:
            under_way = list(self._under_way)
        for thread in under_way:
            thread.join(max(0.0, until - time.monotonic()))

    def _post(self, message: Mapping[str, Any]) -> str:
        """Post *message*, with one more attempt where the first failed on the way; what went wrong, or nothing."""
        body = json.dumps(message, ensure_ascii=True, default=str).encode("ascii")
        headers = sign_webhook(body, self._secret, message_id=f"msg_{os.urandom(12).hex()}", now=self._now())
        problem = ""
        for _ in range(ATTEMPTS):
            problem, again = self._attempt(body, headers)
            if not again:
                break
        return problem

    def _attempt(self, body: bytes, headers: Mapping[str, str]) -> tuple[str, bool]:
        """What went wrong, and whether another attempt makes sense."""
        request = urllib.request.Request(self._url, data=body, headers=dict(headers), method="POST")
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=self._timeout):
                return "", False
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answered {error.code}", error.code >= 500 or error.code == 429
        except urllib.error.URLError as error:
            return f"{type(error.reason).__name__}: {error.reason}", True
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"{type(error).__name__}: {error}", True

    def _in_background(self, message: Mapping[str, Any], what: str) -> None:
        def deliver() -> None:
            try:
                self._note(self._post(message), what)
            finally:
                with self._lock:
                    self._under_way.discard(thread)

        # No daemon: a script that ends here still tells its webhook, for two attempts at most.
        thread = threading.Thread(target=deliver, name="mas-guard webhook")
        with self._lock:
            self._under_way.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter is shutting down
            with self._lock:
                self._under_way.discard(thread)
            self._note(str(error), what)

    def _note(self, problem: str, what: str) -> None:
        self.problem = problem
        if not problem:
            self.sent += 1
        elif not self._reported:
            self._reported = True
            logger.error(
                "The webhook at %s could not be told of %s (%s). Check REVIEW__WEBHOOK_URL with `mas-guard reviews "
                "drill`. Logged once.",
                self.host,
                what,
                problem,
            )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message goes where the settings say and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: the redirect is then the error that is reported."""
