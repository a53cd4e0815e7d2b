"""What `doctor` and the drill say of the settings of reviews, before anybody is asked anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from mas_guard.reviews import callables, terminal
from mas_guard.reviews.store import store_url

if TYPE_CHECKING:
    from mas_guard.config import Policy

SHORTEST_SECRET = 16  # characters
SHARE_IT = "MAS_GUARD_REVIEW__STORE=sqlite:///reviews.db"


class Remark(NamedTuple):
    """One finding.

    Attributes:
        mark: `ok`, `warning` or `error`.
        text: What was found.
        fix: The line or command that changes it; empty where nothing has to.
    """

    mark: str
    text: str
    fix: str = ""


def remarks(policy: Policy) -> Iterator[Remark]:
    """What can be said of the settings of reviews without opening one. `mas-guard reviews drill` tries them."""
    settings = policy.review
    if settings.channel is None:
        yield Remark("ok", "no person is ever asked (REVIEW__CHANNEL is none)")
        return
    yield Remark("ok", f"a person is asked through the channel {settings.channel}")
    if store_url(policy)[0].lower().startswith("memory:"):
        yield Remark(
            "warning",
            "reviews are kept in memory: they are gone with the process, and no other process "
            "or terminal can answer them",
            SHARE_IT,
        )
    yield from channel_remarks(policy)


def channel_remarks(policy: Policy) -> Iterator[Remark]:
    """What can be said of the channel alone."""
    settings = policy.review
    if settings.channel == "terminal" and not terminal.is_there():
        yield Remark(
            "warning",
            "this process has no terminal on standard input and error output: where the app is started like this, nobody "
            "is prompted and reviews wait in the store",
            "start it in a terminal, or MAS_GUARD_REVIEW__CHANNEL=queue",
        )
    if settings.channel == "callable" and callables.registered_reviewer() is None:
        yield Remark(
            "warning",
            "no function is named in this process (the app names its own); without one, reviews wait in the store",
            "@mas_guard.reviews.reviewer in the app's code",
        )
    if settings.channel == "webhook" and len(settings.webhook_secret or "") < SHORTEST_SECRET:
        yield Remark(
            "warning",
            f"REVIEW__WEBHOOK_SECRET has fewer than {SHORTEST_SECRET} characters and can be guessed",
            'python -c "import secrets; print(secrets.token_hex(32))"',
        )
    if settings.channel != "webhook" and settings.webhook_url is not None:
        yield Remark(
            "warning",
            f"REVIEW__WEBHOOK_URL is set and nothing is sent there: the channel is {settings.channel}",
            "MAS_GUARD_REVIEW__CHANNEL=webhook, or leave the address out",
        )
