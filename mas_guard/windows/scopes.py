"""What a window's account is called, and on which server of a cluster it lies."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from mas_guard.config import Policy

ALL = "all"
LONGEST_NAME = 120
"""Characters of an escaped name beyond which a hash stands for its end."""


def window_scope(name: str, tenant: str | None, period: str) -> str:
    """The account's name of the window *name* in *period*; `None` as *tenant* stands for all runs together."""
    key = ALL if tenant is None else _escaped(tenant)
    if tenant == ALL:
        key = "%61ll"  # a tenant of that name is not everybody
    return f"window:{_escaped(name)}:{key}:{period}"


def root_of_run(policy: Policy, tenant: str, groups: Sequence[Any] = ()) -> str:
    """What decides the server of a cluster for a run's account and all that pays with it.

    Accounts that pay for one call must lie on one server, and a window's must be found at the same place by every run that
    it counts. So runs with a window over all lie on one server together, runs with windows per tenant on that of their
    tenant; with no window those of a group on the group's. Empty where nothing ties the run to others. Policies that
    share a window should have the same ones in a cluster; elsewhere it has no meaning.
    """
    windows = policy.windows.values()
    if any(window.per == "all" for window in windows):
        return "windows"
    if windows:
        return f"tenant:{_escaped(tenant)}"
    return str(groups[0].root) if groups else ""


def _escaped(name: str) -> str:
    """*name* with nothing in it that a scope, a pattern or a hash tag could be misread by; the same only for the same."""
    text = quote(name.encode("utf-8", "surrogatepass"), safe="").replace("~", "%7E")
    if len(text) <= LONGEST_NAME:
        return text
    return f"{text[:LONGEST_NAME]}~{sha256(text.encode()).hexdigest()[:32]}"
