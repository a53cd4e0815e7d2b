"""Whether the store is there: how its loss is noticed, when it is tried again, and how its return is gone about.

There is no thread and no timer: whoever calls after the back-off tries the store, one at a time, and all others are
answered at once. So a lost server costs one time-out for each try and not one for each call.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mas_guard.errors import GuardError, StoreUnavailable
from mas_guard.ledger.base import AccountLost, Ledger
from mas_guard.ledger.standby.back_off import BackOff
from mas_guard.ledger.standby.journal import Told
from mas_guard.ledger.standby.shadow import Door, Shadow
from mas_guard.ledger.standby.telling import Telling
from mas_guard.types import Limits

AT_ONCE = 20
"""How many things the store is told at once on its return; all calls of this process stand still meanwhile."""

TELLING = 0.1
"""Seconds that one caller goes on telling; the next one who calls takes over."""

SOON = 0.01
"""Seconds after which those who wait look again while the store is being tried."""

Tell = Callable[[str, Mapping[str, Any]], None]

_START_ERRORS: tuple[type[Exception], ...] = (OSError, sqlite3.Error)  # until the store names its own

_log = logging.getLogger("mas_guard.ledger")


class Outage:
    """See the module.

    Attributes:
        lost: True while the store is not there, or has not been told yet what it missed.
        place: Where the store is, for people.
        epoch: How often it has come back: a failure from before that says nothing any more.
        door: The lock of everything here.
        shadow: What this process knows by itself.
        journal: What the store must be told.
    """

    def __init__(
        self,
        make: Callable[[], Ledger],
        place: str,
        tell: Tell,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.lost = False
        self.place = place
        self.epoch = 0
        self.shadow = Shadow(now)
        self.door = Door(self.shadow)
        self.journal = Telling(self.shadow)
        self._make, self._tell, self._now = make, tell, now
        self._inner: Ledger | None = None
        self._errors = _START_ERRORS
        self._making = threading.Lock()
        self._back_off = BackOff(now, jitter)
        self._trying = False
        self._answers = False  # the store answers again, and is being told
        self._error: Exception | None = None
        self._since = 0.0
        self._root = ""
        self._refused = 0
        self._probe = f"standby:{os.urandom(8).hex()}"

    @property
    def inner(self) -> Ledger:
        """The store's ledger; `attend` has made it."""
        assert self._inner is not None
        return self._inner

    def attend(self) -> int | None:
        """The epoch, for who goes to the store; `None` where it is lost. The one whose turn it is tries it first."""
        if self.lost:
            self._come_back()
        elif self._inner is None:
            try:
                self._make_inner()
            except _START_ERRORS as error:
                self.lose(error, self.epoch)
        epoch = self.epoch  # read first: a loss and a return in between make it an old one
        return None if self.lost else epoch

    def is_outage(self, error: BaseException) -> bool:
        """True where *error* says that the store is not there, rather than that it has lost an account."""
        return isinstance(error, self._errors) and not isinstance(error, AccountLost)

    def lose(self, error: Exception, epoch: int, root: str = "") -> None:
        """The store did not answer to one who went there in *epoch*. Tries go to where *root* is kept."""
        with self.door:
            if self.lost or epoch != self.epoch:
                return
            self.lost, self._since, self._refused, self._root = True, self._now(), 0, root
            self.journal.told = Told()
            self._heard(error)
            self._back_off.lost()
            self._wait_here()
            self.door.afterwards(lambda: self._say_lost(error))

    def unavailable(self, scope: str, why: str = "") -> StoreUnavailable:
        """The error for an account that needs the store."""
        self._refused += 1
        error, seconds = self._error, self._now() - self._since
        if self._answers:
            state = (
                f"The store {self.place} is back and is being told what it missed ({len(self.journal)} things are left)"
            )
        else:
            state = f"The store {self.place} has not answered for {seconds:.1f} s ({type(error).__name__}: {error})"
        found = StoreUnavailable(
            f"{state}. {why or self._why(scope)}: nothing was sent and nothing is latched. Start the store and resume.",
            store=self.place,
        )
        found.__cause__ = error
        return found

    def books_lost(self, error: Exception) -> StoreUnavailable:
        """The error where the store answers and has lost an account."""
        found = StoreUnavailable(f"The books are lost in the store {self.place}. {error}", store=self.place)
        found.__cause__ = error
        return found

    def is_due(self) -> bool:
        """True where the next call tries the store, or goes on telling it what it missed."""
        return self.lost and not self._trying and (self._answers or not self._back_off.left())

    def seconds_to_next_try(self) -> float:
        """Seconds until somebody should call again, so that the store is tried."""
        return SOON if self._answers or self._trying else self._back_off.left()

    def _why(self, scope: str) -> str:
        raise NotImplementedError

    def _wait_here(self) -> None:
        """The store was lost: those who wait in its queue go on to wait here, or are woken."""
        raise NotImplementedError

    def _wait_there(self) -> None:
        """The store is back: those who wait here go on to wait in its queue."""
        raise NotImplementedError

    def _make_inner(self) -> None:
        with self._making:
            if self._inner is None:
                made = self._make()
                self._errors = made.driver_errors
                self._inner = made

    def _heard(self, error: Exception) -> None:
        self._error = error.with_traceback(None)  # its frames would keep the app's objects alive

    def _come_back(self) -> None:
        with self.door:
            if not self.is_due():
                return
            self._trying = True
        try:
            if not self._answers:
                self._make_inner()
                self.inner.close(self.inner.open(self._probe, Limits(), root=self._root))  # it must take writes
                self._answers = True
            self._tell_store()
        except Exception as error:
            with self.door:
                self._answers = False
                self._back_off.failed()
                self._heard(error)
            if isinstance(error, GuardError):  # such as a file on a network file system
                raise
            if not self.is_outage(error):
                _log.exception("the return of the store %s failed; it is tried again", self.place)
        finally:
            self._trying = False

    def _tell_store(self) -> None:
        until = self._now() + TELLING
        while True:
            with self.door:
                if self.journal.tell(self.inner, AT_ONCE):
                    self._go_back()
                    break
            if self._now() >= until:
                return
        self._wait_there()

    def _go_back(self) -> None:
        self.lost = self._answers = False
        self.epoch += 1
        self._back_off.back()
        seconds, refused, told = self._now() - self._since, self._refused, self.journal.told
        self.door.afterwards(lambda: self._say_back(seconds, refused, told))

    def _say_lost(self, error: Exception) -> None:
        _log.warning(
            "The store %s does not answer (%s: %s). What is shared with other processes is refused until it is back; it is "
            "tried again by the calls that come.",
            self.place,
            type(error).__name__,
            error,
        )
        self._say("store_lost", {"store": self.place, "reason": f"{type(error).__name__}: {error}"})

    def _say_back(self, seconds: float, refused: int, told: Told) -> None:
        _log.info("The store %s is back after %.1f s.", self.place, seconds)
        self._say("store_back", {"store": self.place, "seconds": round(seconds, 3), "figures": {"refused": refused}})
        if told.anything:
            self._say("reconciled", {"store": self.place, "figures": told.figures()})

    def _say(self, event: str, fields: Mapping[str, Any]) -> None:
        try:
            self._tell(event, fields)
        except Exception:  # an event's reader never changes what is granted
            _log.exception("the event %r could not be told", event)

    def become_another_process(self) -> None:
        """In a forked process: what the store must be told is the parent's to tell; the accounts are shared with it."""
        self._making = threading.Lock()
        self._trying = self._answers = False
        self.shadow.become_another_process()
        self.door = Door(self.shadow)
        self.journal.tear_up()
        for account in self.shadow.accounts():
            account.shared = True
