"""A run that is going on where the process forks is one run in both, on a store that both see."""

from __future__ import annotations

import logging
import os

from mas_guard._run import current_run

logger = logging.getLogger("mas_guard")

_following = False


def _share_before_fork() -> None:
    run = current_run.get()
    while run is not None:  # and those around it, whose money it spends
        try:
            run.record.share()
        except Exception as error:  # the app's fork must not fail; both sides refuse to spend without the store
            logger.warning("Run %s is forked and could not be shared: %s", run.id, error)
        run = run.outer


def follow_forks() -> None:
    """From now on, mark the current run as shared before each fork. Once per process is enough."""
    global _following
    if not _following:
        _following = True
        # What is registered last is called first: the run is shared before the stores close and hold still for the fork.
        import mas_guard.ledger.sqlite.forking
        import mas_guard.ledger.standby  # noqa: F401

        os.register_at_fork(before=_share_before_fork)
