"""Signed messages, out to the webhook and back from it.

Three headers: an id, a time, and HMAC-SHA256 under the shared secret over `time.id.body`. Coming back, a message is
refused where the signature is not ours, where it is more than five minutes old, and where its id was seen before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mas_guard.errors import ConfigError
from mas_guard.reviews.errors import ReviewError, WebhookRefused
from mas_guard.reviews.payload import from_payload
from mas_guard.reviews.record import Resolution

if TYPE_CHECKING:
    from mas_guard.reviews.desk import Desk

ID = "Mas-Guard-Id"
TIMESTAMP = "Mas-Guard-Timestamp"
SIGNATURE = "Mas-Guard-Signature"

TOLERANCE = 300.0
"""Seconds that a message may be old, or ahead of our clock."""

LARGEST = 1_000_000
"""Bytes of an answer that are read."""

_VERSION = "v1="


def sign_webhook(body: bytes, secret: str, *, message_id: str, now: float | None = None) -> dict[str, str]:
    """The headers that sign *body*; *message_id* must be a new one for every message.

    Args:
        body: The bytes that are sent.
        secret: REVIEW__WEBHOOK_SECRET.
        message_id: Any text without line breaks that was not used before.
        now: The time, in seconds since the epoch; by default the clock's.
    """
    timestamp = str(int(time.time() if now is None else now))
    return {
        "Content-Type": "application/json",
        "User-Agent": "mas-guard",
        ID: message_id,
        TIMESTAMP: timestamp,
        SIGNATURE: _VERSION + _signature(timestamp, message_id, body, secret),
    }


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: float | None = None) -> str:
    """The message's id, where it was signed with *secret* within the last five minutes.

    That its id was not seen before is for a store to say: `answer_from_webhook` asks it.

    Args:
        headers: As they came; names in any case.
        body: The bytes as they came, before anything has parsed them.
        secret: REVIEW__WEBHOOK_SECRET.
        now: The time, in seconds since the epoch; by default the clock's.

    Raises:
        WebhookRefused: Where it was not; `.problem` is missing, wrong or old.
        ConfigError: Where there is no secret to verify with.
    """
    if not secret:
        raise ConfigError(
            "No webhook can be verified without a secret. Set MAS_GUARD_REVIEW__WEBHOOK_SECRET to what the sender signs "
            "with.",
            source="REVIEW__WEBHOOK_SECRET",
            key="REVIEW__WEBHOOK_SECRET",
        )
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    found = [given.get(name.lower(), "") for name in (ID, TIMESTAMP, SIGNATURE)]
    if not all(found):
        raise _refused("missing", f"it lacks one of the headers {ID}, {TIMESTAMP} and {SIGNATURE}")
    message_id, timestamp, signature = found
    expected = _VERSION + _signature(timestamp, message_id, body, secret)
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode("ascii")):
        raise _refused("wrong", "its signature is not made with REVIEW__WEBHOOK_SECRET over time.id.body")
    if not re.fullmatch(r"\d{1,12}", timestamp, re.ASCII):
        raise _refused("wrong", "its time is no number of seconds since the epoch")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > TOLERANCE:
        side = "old" if age > 0 else "ahead of this machine's clock"
        raise _refused("old", f"it is {abs(age):.0f} s {side}, and {TOLERANCE:.0f} s are allowed")
    return message_id


def answer_from_webhook(
    headers: Mapping[str, str], body: bytes, *, desk: Desk | None = None, now: float | None = None
) -> Resolution:
    """Take a person's answer that a webhook's other side sent, signed with the same secret.

    The body is a JSON object: `review` (the id), `decision` (approve, edit, reject, answer), `fingerprint` as it came
    with the review, and where they apply `result`, `by`, `reason`.

    Args:
        headers: As they came; names in any case.
        body: The bytes as they came.
        desk: Where the review was opened; by default one with the settings in force, over the same store.
        now: The time, in seconds since the epoch; by default the desk's clock.

    Raises:
        WebhookRefused: Where the signature is missing, wrong, old or replayed, or the body is no answer.
        ReviewError: As `Desk.answer`. `.http_status` of each is what an endpoint may reply with.
    """
    if desk is None:
        from mas_guard.config import load_policy
        from mas_guard.reviews.desk import Desk

        desk = Desk(load_policy())
    now = desk.now() if now is None else now
    message_id = verify_webhook(headers, body, desk.settings.webhook_secret or "", now)
    # After the signature, so that nobody else can fill the store; before anything is done, so that nothing is done twice.
    # Kept for as long as the same message could still be in time.
    if not desk.store.remember_message(message_id, now + 2 * TOLERANCE, now):
        raise _refused("replayed", f"a message with this {ID} came before")
    answer = _parsed(body)
    resolution = from_payload(answer)
    if resolution.decision != "rejected" and not resolution.fingerprint:
        raise _malformed("it approves without the `fingerprint` of what was shown")
    return desk.settle(answer["review"], dataclasses.replace(resolution, by=resolution.by or "webhook"))


def _parsed(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST:
        raise _malformed(f"it has {len(body)} bytes, and {LARGEST} are read")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _malformed("it is no JSON") from error
    # What we send ourselves holds the whole review there, so that it cannot come back as an answer.
    if not isinstance(answer, dict) or not isinstance(answer.get("review"), str):
        raise _malformed("it names no `review`")
    return answer


def _signature(timestamp: str, message_id: str, body: bytes, secret: str) -> str:
    signed = f"{timestamp}.{message_id}.".encode("utf-8", "surrogateescape") + body
    return hmac.new(secret.encode("utf-8", "surrogateescape"), signed, hashlib.sha256).hexdigest()


def _refused(problem: str, why: str) -> WebhookRefused:
    return WebhookRefused(
        f"A webhook's message was refused: {why}. The sender signs each message anew, with a new id and its own time.",
        problem=problem,
    )


def _malformed(why: str) -> ReviewError:
    refused = WebhookRefused(
        f'A webhook\'s message is no answer to a review: {why}. It looks like {{"review": "rv_…", "decision": '
        '"approve", "fingerprint": "…", "by": "anna"}.',
        problem="malformed",
    )
    refused.http_status = 422
    return refused
