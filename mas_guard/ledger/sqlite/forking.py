"""Ledgers over a fork: closed before, in both processes open again with the next call after.

Held still meanwhile, so that no other thread is in the middle of a transaction that the child would inherit half
of. The child is a process of its own in the file: it joins the accounts that its parent had open, and nobody waits
in it.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What a ledger does about a fork."""

    def before_fork(self) -> None:
        """Close everything and hold still."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start anew, with the accounts that were open."""


_ledgers: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Forkable] = []


def follow(ledger: Forkable) -> None:
    """Look after *ledger* for as long as it lives."""
    _ledgers.add(ledger)


def _before() -> None:
    _held[:] = list(_ledgers)
    for ledger in _held:
        ledger.before_fork()


def _after_in_parent() -> None:
    for ledger in _held:
        ledger.after_fork_in_parent()
    _held.clear()


def _after_in_child() -> None:
    for ledger in _held:
        ledger.after_fork_in_child()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
