"""For whom runs are booked: `with mas_guard.tenant("acme"):`, `tenant=` of `wrap` and `instrument`, MAS_GUARD_TENANT."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mas_guard._run import Run

current_tenant: ContextVar[str | None] = ContextVar("mas_guard_tenant", default=None)


@contextmanager
def tenant(name: object) -> Iterator[None]:
    """Book every run that begins in the block for the tenant *name*: it is recorded, and windows `per = "tenant"` count it.

    Stands above `wrap(…, tenant=…)` and MAS_GUARD_TENANT. `None` and the empty text say that there is no tenant. A run that
    is going on already keeps the one it began with; where that is another one, its outcome's notes say so.
    """
    text = "" if name is None else str(name)
    _note_in_current_run(text)
    token = current_tenant.set(text)
    try:
        yield
    finally:
        current_tenant.reset(token)


def _note_in_current_run(name: str) -> None:
    from mas_guard._run import current_run  # lazily: a block around runs needs no run

    run = current_run.get()
    if run is not None and run.tenant != name:
        run.note(
            f"tenant({name!r}) inside of this run changes nothing for it: it began for {run.tenant or 'no tenant'!r}"
        )


def tenant_of_run(
    given: str | Callable[[], object] | None,
    settings: str | None,
    outer: Run | None = None,
    joins: Mapping[str, Any] | None = None,
) -> str:
    """The tenant of a run that begins now; empty where none is known.

    Args:
        given: What `wrap` or `instrument` was given; a function is asked now.
        settings: What TENANT says.
        outer: The run that it begins within, whose tenant stands above TENANT.
        joins: What another process has injected of this very run: it has its tenant already.
    """
    if joins is not None:
        return str(joins.get("tenant") or "")
    block = current_tenant.get()
    if block is not None:
        return block
    told = given() if callable(given) else given
    if not told and outer is not None:
        told = outer.tenant
    return str(told or settings or "")
