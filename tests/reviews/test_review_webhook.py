"""The webhook, out to a server and back: only what is signed, in time, and new counts."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.errors import ConfigError
from mas_guard.reviews import (
    Desk,
    Review,
    ReviewError,
    SQLiteReviewStore,
    WebhookRefused,
    answer_from_webhook,
    drill,
    sign_webhook,
    verify_webhook,
)
from mas_guard.types import Amounts, Outcome
from tests.clock import Clock
from tests.reviews.conftest import BEGINNING, MakeDesk

SECRET = "a secret of two companies, 32 long"
Request = tuple[dict[str, str], bytes]


class Server:
    """Keeps what is posted to it and answers with the next of *statuses*, or takes each post to *handle*."""

    def __init__(self, statuses: list[int], handle: Callable[[dict[str, str], bytes], int] | None = None) -> None:
        self.requests: list[Request] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = (dict(self.headers.items()), body)
                server.requests.append(request)
                status = handle(*request) if handle else statuses.pop(0)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{server.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/reviews"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    servers: list[Server] = []

    def start(*statuses: int, handle: Callable[[dict[str, str], bytes], int] | None = None) -> Server:
        servers.append(Server(list(statuses), handle))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def settings(url: str) -> dict[str, Any]:
    return {"channel": "webhook", "webhook_url": url, "webhook_secret": SECRET}


def refund(desk: Desk) -> Review:
    review = desk.open(None, "tool", "billing", "dear", {"tool": "refund", "arguments": {"usd": 80}})
    desk.delivery.wait(30)
    return review


def test_a_review_is_posted_signed_with_what_the_person_must_see(serve: Any, make_desk: MakeDesk, clock: Clock) -> None:
    server = serve(204)
    desk = make_desk(**settings(server.url))
    review = refund(desk)
    ((headers, body),) = server.requests
    assert verify_webhook(headers, body, SECRET, now=clock()).startswith("msg_")
    message = json.loads(body)
    assert message["type"] == "review.opened"
    assert message["review"]["id"] == review.id
    assert message["review"]["shown"] == {"tool": "refund", "arguments": {"usd": 80}}
    assert SECRET.encode() not in body + str(headers).encode()


def test_a_stop_is_posted_with_figures_and_no_contents(serve: Any, make_desk: MakeDesk) -> None:
    server = serve(200)
    desk = make_desk(**settings(server.url))
    outcome = Outcome("aborted", "run-1", rule="hops", reason="12 hops", spent=Amounts(70), partial="the secret draft")
    desk.notify_stop(outcome)
    desk.delivery.wait(30)
    message = json.loads(server.requests[0][1])
    assert (message["type"], message["run"], message["rule"]) == ("run.stopped", "run-1", "hops")
    assert message["spent"]["tokens"] == 70
    assert b"secret draft" not in server.requests[0][1]


def test_another_channel_posts_nothing(serve: Any, make_desk: MakeDesk) -> None:
    server = serve()
    desk = make_desk(**{**settings(server.url), "channel": "queue"})
    desk.open(None, "tool", "billing", "dear", {})
    desk.notify_stop(Outcome("aborted", "run-1"))
    desk.delivery.wait(30)
    assert server.requests == []


@pytest.mark.parametrize(
    ("statuses", "posts", "problem"),
    [
        ((503, 200), 2, ""),
        ((503, 500, 200), 2, "it answered 500"),
        ((429, 200), 2, ""),
        ((404, 200), 1, "it answered 404"),
        ((302, 200), 1, "it answered 302"),
    ],
)
def test_a_failed_post_is_tried_once_more_where_that_makes_sense(
    serve: Any, make_desk: MakeDesk, statuses: tuple[int, ...], posts: int, problem: str
) -> None:
    server = serve(*statuses)
    desk = make_desk(**settings(server.url))
    refund(desk)
    assert len(server.requests) == posts
    assert desk.delivery.problem == problem
    assert len({headers["Mas-Guard-Id"] for headers, _ in server.requests}) == 1


def test_a_webhook_that_is_not_there_is_logged_once_and_the_review_waits(
    serve: Any, make_desk: MakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    server.close()
    desk = make_desk(**settings(f"{server.url}?key=of-the-address"))
    with caplog.at_level(logging.ERROR, logger="mas_guard"):
        reviews = [refund(desk), refund(desk)]
    assert [desk.resolution(review.id) for review in reviews] == [None, None]
    (record,) = caplog.records
    assert "could not be told of review" in record.getMessage()
    assert "of-the-address" not in caplog.text and SECRET not in caplog.text


def answer_to(review: Review, **more: Any) -> bytes:
    fields = {"review": review.id, "decision": "approve", "fingerprint": review.fingerprint, "by": "anna", **more}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def signed(body: bytes, *, message_id: str = "m-1", secret: str = SECRET, at: float = BEGINNING) -> dict[str, str]:
    return sign_webhook(body, secret, message_id=message_id, now=at)


@pytest.fixture
def asked(serve: Any, make_desk: MakeDesk) -> tuple[Desk, Review]:
    """A desk with a webhook, and a review that waits."""
    desk = make_desk(**settings(serve(200, 200, 200).url))
    return desk, refund(desk)


def test_a_signed_answer_counts(asked: tuple[Desk, Review]) -> None:
    desk, review = asked
    body = answer_to(review, reason="seen")
    settled = answer_from_webhook(signed(body), body, desk=desk)
    assert (settled.decision, settled.by, settled.reason, settled.at) == ("approved", "anna", "seen", BEGINNING)


def test_headers_are_found_in_any_case(asked: tuple[Desk, Review]) -> None:
    desk, review = asked
    body = answer_to(review, decision="reject", fingerprint=None, by=None)
    headers = {name.upper(): value for name, value in signed(body).items()}
    assert answer_from_webhook(headers, body, desk=desk).by == "webhook"


REFUSED: dict[str, tuple[str, Callable[[bytes], tuple[dict[str, str], bytes]]]] = {
    "another secret": ("wrong", lambda body: (signed(body, secret="guessed"), body)),
    "another body": ("wrong", lambda body: (signed(body), body.replace(b"anna", b"mary"))),
    "another time": ("wrong", lambda body: ({**signed(body), "Mas-Guard-Timestamp": f"{BEGINNING + 1:.0f}"}, body)),
    "another id": ("wrong", lambda body: ({**signed(body), "Mas-Guard-Id": "m-2"}, body)),
    "no letters of ours": ("wrong", lambda body: ({**signed(body), "Mas-Guard-Signature": "v1=ünsigned"}, body)),
    "no version": ("wrong", lambda body: ({**signed(body), "Mas-Guard-Signature": "0" * 64}, body)),
    "no signature": ("missing", lambda body: ({"Mas-Guard-Id": "m-1"}, body)),
    "six minutes old": ("old", lambda body: (signed(body, at=BEGINNING - 360), body)),
    "six minutes ahead": ("old", lambda body: (signed(body, at=BEGINNING + 360), body)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_or_old_signature_is_refused_and_decides_nothing(asked: tuple[Desk, Review], name: str) -> None:
    desk, review = asked
    problem, make = REFUSED[name]
    headers, body = make(answer_to(review))
    with pytest.raises(WebhookRefused) as caught:
        answer_from_webhook(headers, body, desk=desk)
    assert (caught.value.problem, caught.value.http_status) == (problem, 401)
    assert SECRET not in str(caught.value)
    assert desk.resolution(review.id) is None


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "1" * 13, "١٢٣"])
def test_a_time_that_is_none_is_refused_even_when_signed(timestamp: str) -> None:
    from mas_guard.reviews.webhook import _signature

    signature = "v1=" + _signature(timestamp, "m-1", b"{}", SECRET)
    headers = {"Mas-Guard-Id": "m-1", "Mas-Guard-Timestamp": timestamp, "Mas-Guard-Signature": signature}
    with pytest.raises(WebhookRefused):
        verify_webhook(headers, b"{}", SECRET, now=BEGINNING)


def test_a_replayed_message_is_refused_even_for_another_review(asked: tuple[Desk, Review], clock: Clock) -> None:
    desk, review = asked
    body = answer_to(review)
    headers = signed(body)
    answer_from_webhook(headers, body, desk=desk)
    clock.advance(299)
    with pytest.raises(WebhookRefused) as caught:
        answer_from_webhook(headers, body, desk=desk)
    assert caught.value.problem == "replayed"
    other = answer_to(refund(desk))
    with pytest.raises(WebhookRefused, match="came before"):
        answer_from_webhook(signed(other), other, desk=desk)


def test_what_we_sent_ourselves_is_no_answer(serve: Any, make_desk: MakeDesk) -> None:
    server = serve(200)
    desk = make_desk(**settings(server.url))
    review = refund(desk)
    headers, body = server.requests[0]
    with pytest.raises(WebhookRefused, match="names no `review`"):
        answer_from_webhook(headers, body, desk=desk)
    assert desk.resolution(review.id) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"\xff", 422),
        (b"[" * 100_000, 422),
        (b"[]", 422),
        (b'{"review": "rv_x"}', 400),
        (b'{"review": "rv_x", "decision": "approve"}', 422),
        (b'{"review": "rv_x", "decision": "reject"}', 404),
        (b'{"review": "' + b"x" * 1_000_000 + b'"}', 422),
    ],
    ids=["empty", "no text", "deep", "a list", "no decision", "no fingerprint", "unknown", "large"],
)
def test_a_signed_message_that_is_no_answer_is_refused(asked: tuple[Desk, Review], body: bytes, status: int) -> None:
    desk, review = asked
    with pytest.raises(ReviewError) as caught:
        answer_from_webhook(signed(body), body, desk=desk)
    assert caught.value.http_status == status
    assert desk.resolution(review.id) is None


def test_an_approval_of_something_else_is_refused_over_the_webhook_too(asked: tuple[Desk, Review]) -> None:
    desk, review = asked
    body = answer_to(review, fingerprint="0" * 64)
    with pytest.raises(ReviewError, match="showed something else") as caught:
        answer_from_webhook(signed(body), body, desk=desk)
    assert caught.value.http_status == 409


def test_nothing_is_verified_without_a_secret() -> None:
    with pytest.raises(ConfigError, match="without a secret"):
        verify_webhook(sign_webhook(b"", "", message_id="m"), b"", "")


def test_out_to_their_server_and_back_to_ours_over_http(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends are real servers, the answer arrives by the settings in force alone, and only a good one counts."""

    def take(headers: dict[str, str], body: bytes) -> int:
        try:
            answer_from_webhook(headers, body)
        except ReviewError as error:
            return error.http_status
        return 200

    theirs, ours = serve(200), serve(handle=take)
    monkeypatch.chdir(tmp_path)
    for name, value in settings(theirs.url).items():
        monkeypatch.setenv(f"MAS_GUARD_REVIEW__{name.upper()}", value)
    monkeypatch.setenv("MAS_GUARD_REVIEW__STORE", "sqlite:///reviews.db")
    desk = Desk(policy_of(review={**settings(theirs.url), "store": "sqlite:///reviews.db"}))
    review = refund(desk)
    message = json.loads(theirs.requests[0][1])["review"]

    def send(body: bytes, headers: dict[str, str]) -> int:
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(urllib.request.Request(ours.url, body, headers), timeout=30) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    answer = {"review": message["id"], "decision": "approve", "fingerprint": message["fingerprint"], "by": "anna"}
    body = json.dumps(answer).encode()
    now = desk.now()
    assert send(body, sign_webhook(body, "guessed", message_id="m-1", now=now)) == 401
    assert send(body, sign_webhook(body, SECRET, message_id="m-1", now=now - 301)) == 401
    assert desk.resolution(review.id) is None
    good = sign_webhook(body, SECRET, message_id="m-1", now=now)
    assert send(body, good) == 200
    assert send(body, good) == 401
    assert send(body, sign_webhook(body, SECRET, message_id="m-2", now=now)) == 409
    found = desk.resolution(review.id)
    assert found is not None and (found.decision, found.by) == ("approved", "anna")


def test_the_drill_says_whether_the_webhook_took_it(serve: Any, tmp_path: Path) -> None:
    server = serve(200, 404)
    policy = policy_of(review=settings(server.url))
    store = SQLiteReviewStore(tmp_path / "reviews.db")
    good, bad = drill(policy, store=store), drill(policy, store=store)
    assert (good.passed, bad.passed) == (True, False)
    assert any("took it" in finding.text for finding in good.findings)
    assert any("did not take it: it answered 404" in finding.text for finding in bad.findings)
