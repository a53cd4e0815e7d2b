"""A result that nobody is sure of, and the person in another process who decides about it: for the tests of every adapter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mas_guard
from mas_guard.config import load_policy
from mas_guard.reviews import Desk, Review
from mas_guard.testing import Reply, Request, text

ANSWER = "The invoice was charged twice; 80 EUR go back."
FALLBACK = "We will come back to you."


def envelope(confidence: float = 0.4, status: str = "success") -> str:
    return f'\n<<envelope {{"status": "{status}", "confidence": {confidence}, "reason": "one source only"}}>>'


def doubtful(request: Request) -> Reply:
    return text(ANSWER + envelope() if "<<envelope" in str(request.body) else ANSWER)


@pytest.fixture
def queue(tmp_path: Path) -> dict[str, Any]:
    """The settings of a queue that other processes see."""
    return {"channel": "queue", "store": f"sqlite:///{tmp_path / 'reviews.db'}", "fallback": FALLBACK}


def reviews_in(queue: dict[str, Any]) -> list[Review]:
    if not Path(queue["store"].removeprefix("sqlite:///")).exists():
        return []  # the file is made with the first review
    return [record.review for record in Desk(load_policy({"review": queue})).records()]


def from_another_process(queue: dict[str, Any], *words: str) -> None:
    """`mas-guard reviews` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "mas_guard.cli", "reviews", "--store", queue["store"], *words],
        env={key: value for key, value in os.environ.items() if not key.startswith("MAS_GUARD_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def judged() -> Iterator[list[tuple[Any, Any]]]:
    """What a validator that lets everything pass was shown: results and confidences."""
    seen: list[tuple[Any, Any]] = []

    @mas_guard.validator
    def look(found: mas_guard.Envelope, run: Any) -> None:
        seen.append((found.result, found.confidence))

    yield seen
    mas_guard.unregister(look)


class RefundsNeedAPerson:
    """A user's rule."""

    @mas_guard.hookimpl
    def mas_guard_before_call(self, call: Any, run: Any) -> mas_guard.Verdict | None:
        if call.kind == "tool" and call.tool == "refund":
            return mas_guard.Verdict("escalate", "refunds", "escalate", "A refund needs a person.")
        return None


@pytest.fixture
def refunds_need_a_person() -> Iterator[None]:
    plugin = RefundsNeedAPerson()
    mas_guard.register(plugin)
    yield
    mas_guard.unregister(plugin)
