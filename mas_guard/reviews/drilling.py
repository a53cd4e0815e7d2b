"""The drill: opens a harmless review through the configured channel and says whether somebody could answer it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mas_guard.reviews import callables, terminal
from mas_guard.reviews.desk import Desk
from mas_guard.reviews.errors import ReviewError
from mas_guard.reviews.findings import SHARE_IT, Remark, channel_remarks
from mas_guard.reviews.record import Resolution, Review
from mas_guard.reviews.store import ReviewStore, store_of
from mas_guard.reviews.text import moment

if TYPE_CHECKING:
    from mas_guard._plugins import Plugins
    from mas_guard.config import Policy

LOOK = 0.2  # seconds between two looks for an answer
DELIVERED_WITHIN = 10.0  # seconds; a delivery gives up before

SHOWN = {"context": "This is a drill. Nothing waits for it, and nothing happens whatever the answer is."}


@dataclasses.dataclass(slots=True)
class Drill:
    """What came of a drill.

    Attributes:
        findings: What was tried, in order.
        review: The review that was opened; `None` where none could be.
        resolution: Its answer, where one came in time.
    """

    findings: list[Remark] = dataclasses.field(default_factory=list)
    review: Review | None = None
    resolution: Resolution | None = None

    @property
    def passed(self) -> bool:
        """True where somebody could answer."""
        return not any(finding.mark == "error" for finding in self.findings)


def drill(
    policy: Policy,
    plugins: Plugins | None = None,
    *,
    wait: float = 0.0,
    store: ReviewStore | None = None,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Drill:
    """Open a drill through the configured channel, try what can be tried from here, and wait at most *wait* seconds.

    Args:
        policy: The settings in force.
        plugins: Those with a `mas_guard_escalate` hook are asked first.
        wait: Seconds to wait for an answer; with 0 it is only opened, and an answer is no condition.
        store: Instead of the one that REVIEW__STORE names.
        now: The wall clock, in seconds since the epoch.
        sleep: How to pass the time.
    """
    done = Drill()
    if policy.review.channel is None:
        done.findings.append(
            Remark("error", "no channel is configured: nobody is ever asked", "MAS_GUARD_REVIEW__CHANNEL=queue")
        )
        return done
    done.findings.append(Remark("ok", f"the channel is {policy.review.channel}"))
    desk = Desk(policy, plugins, store=store, now=now)
    try:
        done.review = desk.open(None, "drill", "", "a drill, to see whether somebody could answer", SHOWN, True)
        done.findings.append(Remark("ok", f"a review was stored: {done.review.id}, in {desk.store.place}"))
        done.findings.extend(_store_findings(desk, policy, done.review, given=store is not None))
        done.findings.extend(_channel_findings(desk, policy, done.review))
        done.resolution = _waited(desk, done.review, wait, sleep)
    except ReviewError as error:
        done.findings.append(Remark("error", str(error)))
        return done
    done.findings.append(_answer_finding(done, wait))
    return done


def _store_findings(desk: Desk, policy: Policy, review: Review, *, given: bool) -> Iterator[Remark]:
    if not desk.store.shared:
        only_here = policy.review.channel in ("queue", "interrupt")
        yield Remark(
            "error" if only_here else "warning",
            "reviews are kept in memory: no other terminal and no other process can answer them, and they are gone with "
            "the app",
            SHARE_IT,
        )
        return
    # Through a connection of its own, as another process would.
    other = desk.store if given else store_of(policy)
    found = other.get(review.id)
    if found is None or found.review != review:
        yield Remark("error", "the review cannot be read back from the store", "name another file in REVIEW__STORE")
    else:
        yield Remark("ok", f"other processes can answer it: mas-guard reviews approve {review.id}")


def _channel_findings(desk: Desk, policy: Policy, review: Review) -> Iterator[Remark]:
    channel = policy.review.channel
    nobody_here = False
    if channel == "webhook":
        desk.delivery.wait(DELIVERED_WITHIN)
        if desk.delivery.problem:
            what = f"the webhook at {desk.delivery.host} did not take it: {desk.delivery.problem}"
            yield Remark("error", what, "correct REVIEW__WEBHOOK_URL, or start what listens there")
        elif desk.delivery.sent:
            yield Remark("ok", f"the webhook at {desk.delivery.host} took it")
    elif channel == "terminal":
        nobody_here = not terminal.is_there()
        if not nobody_here:
            yield Remark("ok", "there is a terminal to ask at")
    elif channel == "callable":
        nobody_here = callables.registered_reviewer() is None
        if not nobody_here:
            yield Remark("ok", "a function of the app is named")
    elif channel == "interrupt":
        yield Remark("warning", "an interrupt shows inside the app alone: from here it cannot be tried", "run the app")
    yield from channel_remarks(policy)
    if nobody_here and not desk.store.shared and desk.resolution(review.id) is None:
        yield Remark("error", "so nobody could answer it: not here, and not from elsewhere", SHARE_IT)


def _waited(desk: Desk, review: Review, wait: float, sleep: Callable[[float], None]) -> Resolution | None:
    until = desk.now() + wait
    if wait > 0 and desk.settings.channel == "terminal":
        # The prompt ends with the review, so it gets one that ends with the wait.
        desk.ask(dataclasses.replace(review, expires_at=min(review.expires_at, until)))
    found = desk.resolution(review.id)
    while found is None and desk.now() < until:
        sleep(min(LOOK, until - desk.now()))
        found = desk.resolution(review.id)
    return found


def _answer_finding(done: Drill, wait: float) -> Remark:
    assert done.review is not None
    found = done.resolution
    if found is not None and not found.expired:
        return Remark("ok", f"it was {found} by {found.by or 'somebody'} at {moment(found.at)}")
    if wait > 0:
        return Remark(
            "error", f"nobody answered within {wait:g} s", f"mas-guard reviews approve {done.review.id}, in time"
        )
    return Remark("ok", f"it can be answered until {moment(done.review.expires_at)}; nothing waits for it")
