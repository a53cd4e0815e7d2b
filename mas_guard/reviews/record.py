"""A review and its resolution: what is stored, and read back in any process."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal["result", "tool", "limit", "drill"]
Decision = Literal["approved", "rejected", "answered"]
DECISIONS: tuple[Decision, ...] = ("approved", "rejected", "answered")

NOBODY = "nobody"
"""Who answered a review whose time ran out."""


@dataclass(frozen=True, slots=True)
class Review:
    """One question to a person.

    Attributes:
        id: `rv_` and twelve letters and digits, easy to type.
        run_id: The run that waits for it; empty for a drill.
        kind: What is asked about: a `result`, a `tool` call, a `limit` that was reached, or a `drill`.
        agent: The agent whose doing it is; empty where none is known.
        reason: Why a person is asked, in words.
        shown: What the person must see, as JSON data: `tool` and `arguments`, `result`, `context`.
        fingerprint: SHA-256 over kind, agent and shown; an approval holds for nothing else.
        editable: True where the person may change what was shown, or put an answer in its place.
        created_at: When it was opened, in seconds since the epoch.
        expires_at: From when on it counts as rejected, in seconds since the epoch.
        fallback: The text in place of a rejected result; `None` where there is none.
    """

    id: str
    run_id: str
    kind: Kind
    agent: str
    reason: str
    shown: Mapping[str, Any] = field(repr=False)
    fingerprint: str = ""
    editable: bool = False
    created_at: float = 0.0
    expires_at: float = 0.0
    fallback: str | None = None

    def to_json(self) -> dict[str, Any]:
        """This review as JSON data, with what it shows."""
        return asdict(self)

    def figures(self) -> dict[str, Any]:
        """What an event may hold of it: names and figures, and nothing that was shown."""
        return {
            "review": self.id,
            "kind": self.kind,
            "agent": self.agent,
            "fingerprint": self.fingerprint,
            "editable": self.editable,
            "expires_at": self.expires_at,
        }


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a review was decided.

    Attributes:
        decision: `approved`, `rejected`, or `answered` with something of the person's own.
        result: The edited arguments or result where `edited`; the person's answer where `answered`; the fallback
            text where `rejected`; else `None`, which means: as it was shown.
        by: Who decided; `nobody` where the time ran out.
        at: When, in seconds since the epoch.
        reason: Why, in the person's words.
        edited: True where what was shown was approved with changes, which are in `result`.
        expired: True where nobody answered in time.
        fingerprint: Of what the person saw, where their side says so; it must be the review's.
    """

    decision: Decision
    result: Any = field(default=None, repr=False)
    by: str = ""
    at: float = 0.0
    reason: str = ""
    edited: bool = False
    expired: bool = False
    fingerprint: str = ""

    def __str__(self) -> str:
        """The decision in a word or two."""
        if self.expired:
            return f"{self.decision} (expired)"
        return f"{self.decision} (edited)" if self.edited else self.decision

    def to_json(self) -> dict[str, Any]:
        """This resolution as JSON data."""
        return asdict(self)


class ReviewRecord(NamedTuple):
    """A review, and its resolution once it has one."""

    review: Review
    resolution: Resolution | None = None


def new_id() -> str:
    """A fresh review id: 60 random bits."""
    return "rv_" + base64.b32encode(os.urandom(8)).decode("ascii")[:12].lower()


def typed_id(text: str) -> str:
    """A review id as a person typed it: in any case, with or without its beginning."""
    word = text.strip().lower()
    return word if word.startswith("rv_") else f"rv_{word}"


def expired(review: Review) -> Resolution:
    """What *review* is once its time is over."""
    return Resolution(
        "rejected",
        review.fallback,
        by=NOBODY,
        at=review.expires_at,
        reason=f"nobody answered within {round(review.expires_at - review.created_at)} s",
        expired=True,
    )
