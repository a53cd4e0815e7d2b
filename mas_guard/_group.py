"""Many runs under one budget."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mas_guard._tenant import tenant_of_run
from mas_guard.errors import BudgetExceeded
from mas_guard.types import NANO_USD_PER_USD, Amounts, Limits, Outcome
from mas_guard.windows import root_of_run

if TYPE_CHECKING:
    from mas_guard._engine import Engine

current_groups: ContextVar[tuple[Group, ...]] = ContextVar("mas_guard_groups", default=())


class Group:
    """A common budget over the runs that begin inside it, and nothing else: each run keeps its own hops,
    deadline and latch.

    Attributes:
        name: The group's name.
        outcomes: The outcome of every run inside it, in the order they ended; refused ones included.
    """

    def __init__(self, engine: Engine, name: str, limits: Limits, joins: Mapping[str, Any] | None = None) -> None:
        """*joins* is what another process has injected of this very group."""
        self.name = name
        self.limits = limits
        self.outcomes: list[Outcome] = []
        self._lock = threading.Lock()
        self.ledger = ledger = engine.store(engine.policy).ledger
        if joins is not None and engine.store(engine.policy).shared:
            scope, origin, self.root = str(joins["scope"]), str(joins["origin"]), str(joins["root"])
            self.account = ledger.open(scope, limits, keep_limits=True, root=self.root, origin=origin)
        else:
            identity = os.urandom(6).hex()
            # In a cluster it lies where the windows of its runs do.
            self.root = root_of_run(engine.policy, tenant_of_run(None, engine.policy.tenant)) or identity
            self.account = ledger.open_shared(f"group:{identity}:{name}", limits, root=self.root)
        # Its runs keep it while they are remembered, and whoever reads `spent`; then its account goes too.
        weakref.finalize(self, ledger.close, self.account).atexit = False

    @property
    def spent(self) -> Amounts:
        """What the runs inside it have spent so far, in every process."""
        return self.ledger.read(self.account).settled

    def injected(self) -> dict[str, Any]:
        """What another process needs to pay from it too."""
        limits = list(self.ledger.read(self.account).limits)
        origin = self.ledger.origin(self.account)
        return {
            "name": self.name, "scope": self.account.scope, "root": self.root, "origin": origin, "limits": limits,
        }  # fmt: skip

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of a run inside."""
        with self._lock:
            self.outcomes.append(outcome)

    def exhausted(self) -> BudgetExceeded | None:
        """The error for a run that has not begun, once the common budget is gone."""
        balance = self.ledger.read(self.account)
        for unit, limit, used in zip(Amounts._fields, balance.limits, balance.settled, strict=True):
            if limit is not None and used >= limit:
                return BudgetExceeded(
                    f"Group {self.name!r} has spent {used} of {limit} {unit}: this run was refused before its first "
                    f"call. Raise the group's limit, or begin fewer runs in it.",
                    unit=unit,
                    used=used,
                    limit=limit,
                )
        return None


@contextmanager
def open_group(
    engine: Engine,
    name: str,
    *,
    tokens: int | None = None,
    model_calls: int | None = None,
    tool_calls: int | None = None,
    usd: float | Decimal | str | None = None,
) -> Iterator[Group]:
    """Make a group current for a block. What is not given is what `[budgets.NAME]` in the settings says."""
    nano = None if usd is None else int(Decimal(str(usd)) * NANO_USD_PER_USD)
    given = Limits(tokens, model_calls, tool_calls, nano)
    settings = engine.policy.group_limits(name)
    limits = Limits(*(mine if mine is not None else theirs for mine, theirs in zip(given, settings, strict=True)))
    group = Group(engine, name, limits)
    token = current_groups.set((*current_groups.get(), group))
    try:
        yield group
    finally:
        current_groups.reset(token)
