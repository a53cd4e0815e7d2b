"""The store that a command looks at, and how figures of it are written."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from mas_guard._engine import Engine
from mas_guard._plugins import Plugins
from mas_guard._store import Store
from mas_guard.config import load_policy
from mas_guard.errors import ConfigError, GuardError, StoreUnavailable
from mas_guard.types import NANO_USD_PER_USD, UNITS, Amounts, Limits


class StoreCommands(click.Group):
    """A group whose commands look at a store: one that does not answer is said, and is no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StoreUnavailable as error:  # no run was stopped, so it is no exit code 3
            raise GuardError(str(error)) from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("redis", "sqlite3") and not isinstance(error, OSError):
                raise
            raise GuardError(
                f"The store cannot be read or written ({type(error).__name__}: {error}). Start it, or give --store; "
                "`mas-guard doctor` looks at it more closely."
            ) from error


STORE = click.option("--store", "store_url", metavar="URL", help="Where budgets are kept; by default STORE.")


class AmountOfUsd(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """US dollars, exactly."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """In nano-USD."""
        try:
            return int(Decimal(str(value)) * NANO_USD_PER_USD)
        except InvalidOperation:
            self.fail(f"{value!r} is no amount of US dollars; write 2.50", param, ctx)


def shared_store(store_url: str | None) -> Store:
    """The store of the settings, or the one at *store_url*.

    Raises:
        ConfigError: It is in memory, where no command can see it.
    """
    policy = load_policy({"store": store_url} if store_url else {})
    store = Engine(policy, plugins=Plugins()).store(policy)
    if not store.shared:
        raise ConfigError(
            f"Budgets are kept in {store.place} (STORE={policy.store}): no other process sees them. Set MAS_GUARD_STORE, or "
            "give --store, to what the app has: sqlite:///ledger.db or redis://host:6379/0.",
            source=policy.explain("STORE").source,
            key="STORE",
        )
    return store


def figure(unit: str, amount: int) -> str:
    """An amount as people read it, in US dollars or whole units."""
    return f"{amount / NANO_USD_PER_USD:.4f} USD" if unit == "nano_usd" else f"{amount:,}".replace(",", " ")


def named(amounts: Amounts | Limits) -> dict[str, Any]:
    """Amounts as JSON has them: money as a decimal text of USD."""
    found: dict[str, Any] = {}
    for unit, amount in zip(UNITS, amounts, strict=True):
        if unit == "nano_usd":
            found["usd"] = None if amount is None else str(Decimal(amount) / NANO_USD_PER_USD)
        else:
            found[unit] = amount
    return found


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Rows under their heads, as wide as they must be."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def used(settled: Amounts, limits: Limits | None, unit: str) -> str:
    """`12 of 100`, or `12` without a limit."""
    spent: int = getattr(settled, unit)
    most = None if limits is None else getattr(limits, unit)
    return figure(unit, spent) if most is None else f"{figure(unit, spent)} of {figure(unit, most)}"
