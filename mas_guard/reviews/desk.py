"""The desk: where reviews are opened, read and answered, whatever the channel and the store."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mas_guard.errors import ConfigError
from mas_guard.reviews import callables, judging, terminal
from mas_guard.reviews.errors import ReviewError, ReviewNotFound
from mas_guard.reviews.record import Decision, Kind, Resolution, Review, ReviewRecord, new_id, typed_id
from mas_guard.reviews.shown import as_data, fingerprint_of
from mas_guard.reviews.store import ReviewStore, store_of
from mas_guard.reviews.text import how_to_answer

if TYPE_CHECKING:
    from mas_guard._plugins import Plugins
    from mas_guard.config import Policy
    from mas_guard.reviews.delivery import Delivery

logger = logging.getLogger("mas_guard")

HOUSEKEEPING = 3_600.0  # seconds between two looks for what is past RETENTION


class Desk:
    """Opens reviews and takes answers. Any number of desks over one store are one desk, in any number of processes.

    Args:
        policy: `review` says through which channel, how long and where; `retention` how long answers are kept.
        plugins: Those with a `mas_guard_escalate` hook are asked first; `None` for none.
        store: Instead of the one that REVIEW__STORE names.
        now: The wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        policy: Policy,
        plugins: Plugins | None = None,
        *,
        store: ReviewStore | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = policy.review
        self.store = store if store is not None else store_of(policy)
        self.now = now
        self._retention = policy.retention
        self._plugins = plugins
        self._delivery: Delivery | None = None
        self._housekept = now()
        self._reported: set[str] = set()

    @property
    def configured(self) -> bool:
        """True where a channel is configured; without one nobody is ever asked."""
        return self.settings.channel is not None

    def open(
        self,
        run: Any,
        kind: Kind,
        agent: str,
        reason: str,
        shown: Mapping[str, Any],
        editable: bool = False,
    ) -> Review:
        """Open a review: store it, announce it through the channel, and return. It may be answered already then.

        Args:
            run: The run that waits for it, or `None`.
            kind: result, tool, limit or drill.
            agent: The agent whose doing it is.
            reason: Why a person is asked, in words.
            shown: What the person must see, all of it: `tool` and `arguments`, `result`, `context`.
            editable: Whether the person may change what is shown, or put an answer of their own in its place.

        Raises:
            ConfigError: Where no channel is configured.
            NotShowable: Where *shown* cannot be shown as data.
            ReviewStoreError: Where it cannot be stored.
        """
        channel = self.settings.channel
        if channel is None:
            raise ConfigError(
                "A review was to be opened and no review channel is configured. Add MAS_GUARD_REVIEW__CHANNEL=queue, or "
                'channel = "queue" under [review] in mas-guard.toml.',
                source="REVIEW__CHANNEL",
                key="REVIEW__CHANNEL",
            )
        data = as_data(shown)
        opened = self.now()
        review = Review(
            id=new_id(),
            run_id="" if run is None else run.id,
            kind=kind,
            agent=agent,
            reason=reason,
            shown=data,
            fingerprint=fingerprint_of(kind, agent, data),
            editable=editable,
            created_at=opened,
            expires_at=opened + self.settings.timeout,
            fallback=self.settings.fallback,
        )
        self._housekeep(opened)
        self.store.add(review)
        self._announce(review, run, channel)
        return review

    def resolution(self, review_id: str, fingerprint: str = "") -> Resolution | None:
        """How the review was decided; `None` while it waits. A review whose time is over is decided by this reader.

        Args:
            review_id: The review.
            fingerprint: Of what is about to be done (see `fingerprint_of`), where a decision is to be carried out.

        Raises:
            ReviewChanged: Where that is not what the person was shown.
            ReviewNotFound: Where there is no such review.
        """
        review, resolution = self.record(review_id)
        judging.check_fingerprint(review, fingerprint)
        return resolution

    def record(self, review_id: str) -> ReviewRecord:
        """The review of that id, typed in any case, and its resolution as it stands now.

        Raises:
            ReviewNotFound: Where there is none.
        """
        found = self.store.current(typed_id(review_id), self.now())
        if found is None:
            raise ReviewNotFound(
                f"There is no review {typed_id(review_id)} in {self.store.place}. `mas-guard reviews list --all` lists "
                "those there are; answered ones are dropped after RETENTION.",
                review_id=typed_id(review_id),
            )
        return found

    def records(self, *, waiting: bool = True) -> list[ReviewRecord]:
        """The reviews that wait, or all; those whose time is over are decided first. The oldest come first."""
        self.store.expire(self.now())
        return self.store.records(waiting=waiting)

    def of_run(self, run_id: str) -> list[ReviewRecord]:
        """All reviews of the run of that id, as they stand now; the oldest come first. None where no review was ever
        opened in this store: a run may ask before there is one."""
        if not self.store.exists():
            return []
        return [found for found in self.records(waiting=False) if found.review.run_id == run_id]

    def approve(self, review_id: str, **given: Any) -> Resolution:
        """Approve what was shown; with `edited=` the changed arguments or result. See `answer` for the rest."""
        if "edited" in given:
            given["result"] = given.pop("edited")
            return self.answer(review_id, "approved", edit=True, **given)
        return self.answer(review_id, "approved", **given)

    def reject(self, review_id: str, **given: Any) -> Resolution:
        """Reject it: the fallback text stands in its place. See `answer` for the rest."""
        return self.answer(review_id, "rejected", **given)

    def answer(
        self,
        review_id: str,
        decision: Decision,
        *,
        result: Any = None,
        edit: bool = False,
        by: str = "",
        reason: str = "",
        fingerprint: str = "",
    ) -> Resolution:
        """Decide a review. The first answer counts, whichever process it comes from.

        Args:
            review_id: The review.
            decision: approved, rejected or answered.
            result: The edited arguments or result where *edit*; the person's own answer where answered.
            edit: True where what was shown is approved with changes.
            by: Who decides.
            reason: Why.
            fingerprint: Of what the person saw, where their side says so.

        Raises:
            ReviewAnswered: Where it has its answer, with who gave it and when, or its time is over.
            ReviewChanged: Where the fingerprint is of something else.
            EditNotAllowed: Where it can only be approved or rejected as it stands, or the edit is none.
            ReviewNotFound: Where there is no such review.
        """
        given = Resolution(decision, result, by=by, reason=reason, edited=edit, fingerprint=fingerprint)
        return self.settle(review_id, given)

    def settle(self, review_id: str, resolution: Resolution) -> Resolution:
        """Decide a review by a resolution that came from elsewhere; its time is taken here. Raises as `answer`."""
        review, already = self.record(review_id)
        if already is not None:
            raise judging.answered_already(review, already)
        settled = dataclasses.replace(judging.judged(review, resolution), at=self.now())
        if not self.store.settle(review.id, settled):
            raise judging.answered_already(*self.record(review.id))
        return settled

    def ask(self, review: Review) -> Resolution | None:
        """Put *review* to the person at this terminal, where the channel is `terminal` and there is one.

        Returns at once in every other case. At a terminal it waits until it is answered here or elsewhere, or its
        time is over; it blocks, so an event loop calls it in a thread. `None` where it still waits.
        """
        found = self.resolution(review.id)
        if found is None and self.settings.channel == "terminal" and terminal.is_there():
            terminal.prompt(self, review)
            return self.resolution(review.id)
        return found

    def sweep(self) -> tuple[list[Review], int]:
        """Decide every review whose time is over and drop answers past RETENTION; return those, and how many these."""
        now = self.now()
        return self.store.expire(now), self.store.forget(now - self._retention)

    def notify_stop(self, outcome: Any) -> None:
        """Tell the webhook of a run that was stopped: figures, no contents. Nothing where the channel is another."""
        if self.settings.channel == "webhook":
            self.delivery.stop(outcome)

    @property
    def delivery(self) -> Delivery:
        """What carries messages to the webhook."""
        if self._delivery is None:
            from mas_guard.reviews.delivery import Delivery  # with it come ssl and urllib: only where it is used

            url, secret = self.settings.webhook_url, self.settings.webhook_secret
            assert url is not None and secret is not None  # the settings were checked
            self._delivery = Delivery(url, secret, now=self.now)
        return self._delivery

    def _announce(self, review: Review, run: Any, channel: str) -> None:
        if self._plugins is not None:
            self._take(review, self._plugins.escalate(review, run), "a plugin")
        if self.resolution(review.id) is not None:
            return
        function = callables.registered_reviewer()
        if channel == "callable" and function is not None:
            callables.ask_function(
                function,
                review,
                lambda answer: self._take(review, answer, "the app"),
                lambda error: self._report(f"The function that reviews are put to raised {type(error).__name__}"),
            )
        elif channel == "webhook":
            self.delivery.review(review)
        if channel not in ("terminal", "interrupt", "webhook") and self.resolution(review.id) is None:
            logger.warning("Review %s waits for a person. %s", review.id, how_to_answer(review, self.store))

    def _take(self, review: Review, answer: Any, by: str) -> None:
        """Take what code answered, where it answered; what is no answer is said once and the review waits on."""
        if answer is None:
            return
        if not isinstance(answer, Resolution):
            self._report(f"A review was answered by {by} with a {type(answer).__name__}, which is no Resolution")
            return
        try:
            self.settle(review.id, answer if answer.by else dataclasses.replace(answer, by=by))
        except ReviewError as error:
            self._report(f"An answer to a review was not taken: {error}")

    def _report(self, problem: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            logger.error("%s. The review waits for another answer. Logged once.", problem)

    def _housekeep(self, now: float) -> None:
        if now - self._housekept >= HOUSEKEEPING:
            self._housekept = now
            self.store.forget(now - self._retention)
