"""One transaction, and one sync of the disk, for all callers of this process that come at the same time.

Each call is put into a list. Whoever finds nobody at work carries out everything that is in the list, in one
transaction; the others sleep until theirs is done, or until it is their turn to do the rest. While one waits for
the disk, the next ones gather.

The turn is an `RLock`: the garbage collector may close an abandoned stream, and so settle its hold, in the middle
of a transaction on the same thread. That call is carried out inside of it.
"""

from __future__ import annotations

import copy
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

Work = Callable[[], Any]


class Item:
    """One call: what is to be done, and what came of it.

    Attributes:
        work: What is done inside a transaction; may run again where that was rolled back.
        durable: Its answer may only be given once it has reached the disk.
        result: What *work* returned.
        error: What is raised to the caller instead.
        done: True once the caller may go on.
    """

    __slots__ = ("_asleep", "done", "durable", "error", "result", "work")

    def __init__(self, work: Work, durable: bool) -> None:
        self.work = work
        self.durable = durable
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._asleep: threading.Lock | None = None

    def prepare_to_sleep(self) -> None:
        """From now on `wake` is not missed."""
        if self._asleep is None:
            asleep = threading.Lock()
            asleep.acquire()
            self._asleep = asleep

    def sleep(self, seconds: float) -> bool:
        """Wait for a wake; False where none came."""
        assert self._asleep is not None
        return self._asleep.acquire(timeout=seconds)

    def wake(self) -> None:
        """End its sleep."""
        asleep = self._asleep
        if asleep is not None:
            try:
                asleep.release()
            except RuntimeError:
                pass  # woken before


class Transactions(Protocol):
    """What carries items out, in one transaction."""

    def carry_out(self, items: list[Item]) -> list[Callable[[], None]]:
        """Set what came of each; return what is to be called once nothing is locked any more."""

    def carry_out_inside(self, item: Item) -> None:
        """Do the same inside the transaction that this thread has open; it is done when that is committed."""

    @property
    def open(self) -> bool:
        """True while a transaction is open."""


class GroupCommit:
    """Calls of many threads, one transaction at a time.

    Args:
        transactions: What carries items out.
        patience: Seconds after which a call that another thread should have carried out is given up.

    Attributes:
        turn: Held by whoever carries out; `let_go` gives it back.
    """

    def __init__(self, transactions: Transactions, patience: float) -> None:
        self._transactions = transactions
        self._patience = patience
        self._waiting: deque[Item] = deque()
        self.turn = threading.RLock()

    def do(self, work: Work, durable: bool) -> Any:
        """Carry *work* out and return what it returns, or raise what it, or its transaction, raises."""
        item = Item(work, durable)
        self._waiting.append(item)
        while not item.done:
            if self.turn.acquire(blocking=False):
                self._lead(item)
                continue
            item.prepare_to_sleep()
            if item.done:
                break
            if self.turn.acquire(blocking=False):
                self._lead(item)
                continue
            if not item.sleep(self._patience) and not item.done:
                raise self._given_up(item)
        if item.error is not None:
            raise item.error
        return item.result

    def let_go(self) -> None:
        """Give the turn back, and let somebody go on of those who came meanwhile: else they would sleep for good."""
        self.turn.release()
        try:
            self._waiting[0].wake()
        except IndexError:
            pass  # nobody came

    def _lead(self, own: Item) -> None:
        """Carry out what waits. The turn is held, and given back here."""
        batch: list[Item] = []
        afterwards: list[Callable[[], None]] = []
        try:
            try:
                if self._transactions.open:  # the turn is free for this thread alone: it is inside its own transaction
                    self._waiting.remove(own)
                    self._transactions.carry_out_inside(own)
                    return
                while self._waiting:
                    batch.append(self._waiting.popleft())
                if batch:
                    afterwards = self._transactions.carry_out(batch)
            except BaseException:  # such as Ctrl-C: the others' calls have not happened, and somebody else does them
                self._waiting.extendleft(item for item in reversed(batch) if not item.done)
                raise
        finally:
            self.let_go()
            for call in afterwards:
                call()
            for item in batch:
                item.wake()

    def _given_up(self, item: Item) -> sqlite3.OperationalError:
        try:
            self._waiting.remove(item)
        except ValueError:
            text = "it may still be carried out"
        else:
            text = "it was not carried out"
        return sqlite3.OperationalError(
            f"database is locked: a call waited {self._patience:g} s for another thread's transaction; {text}"
        )


def own_copy(error: BaseException) -> BaseException:
    """An error of its own for each caller: one object raised in several threads would mix up their tracebacks."""
    try:
        return copy.copy(error)
    except Exception:
        return error
