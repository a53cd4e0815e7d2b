"""The lines to copy: a Celery app whose tasks take part in the run that they were sent from."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task

import mas_guard


class GuardedTask(Task):
    """Works inside of the run that its message brings; without one it works as ever."""

    throws = (mas_guard.GuardStopped,)  # a limit is no fault of the worker: it is logged without a traceback
    dont_autoretry_for = (mas_guard.GuardStopped,)  # a stopped run refuses the next attempt as well

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        with mas_guard.extract(self.request.headers or {}):
            return self.run(*arguments, **keywords)


class GuardedCelery(Celery):
    """Hands the run on with every message: `delay`, `apply_async`, group, chain, chord, `retry` and `send_task`."""

    task_cls = GuardedTask

    def send_task(self, name: str, *arguments: Any, headers: dict[str, str] | None = None, **options: Any) -> Any:
        carrier = dict(headers or {})
        mas_guard.inject(carrier)
        ended = self.current_worker_task  # chains and chords go on from a task that has left its run
        if "baggage" not in carrier and ended is not None and "baggage" in (ended.request.headers or {}):
            carrier["baggage"] = ended.request.headers["baggage"]
        return super().send_task(name, *arguments, headers=carrier, **options)
