"""The public functions, over the process's one guard."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeVar

from mas_guard._boundary import last_outcome, results
from mas_guard._group import Group
from mas_guard._guard import shared_guard
from mas_guard._plain_run import PlainRun
from mas_guard._run import current_run
from mas_guard._validators import Validator, ValidatorPlugin
from mas_guard.config import Policy
from mas_guard.types import Outcome

App = TypeVar("App")

_validators: dict[Any, ValidatorPlugin] = {}


def wrap(app: App, policy: Policy | None = None, **overrides: Any) -> App:
    """Guard *app* and return it: same type, same interface.

    Overrides are setting names in lower case, nested by dict (`budget={"usd": 2}, max_hops=8`); `on_outcome=`
    is called with every run's outcome, and `tenant=` is whom its runs are booked for, or a function that says it.

    Raises:
        AdapterNotFound: No installed adapter knows this kind of app.
        UnsupportedVersion: The framework's version is outside the adapter's range.
        ConfigError: A setting is unknown or wrong.
    """
    return shared_guard().wrap(app, policy, **overrides)


def instrument(**overrides: Any) -> None:
    """Guard every app of every supported framework in this process, also those imported later."""
    shared_guard().instrument(**overrides)


def uninstrument() -> list[str]:
    """Leave the process as it was. Returns the seams that another library has wrapped on top of ours."""
    return shared_guard().uninstrument()


def run(name: str = "", *, owner: str = "", **overrides: Any) -> AbstractContextManager[PlainRun]:
    """A guarded run around plain Python code: `with mas_guard.run("task", owner="planner") as run:`."""
    return shared_guard().run(name, owner=owner, **overrides)


def bypass(*, reason: str) -> AbstractContextManager[None]:
    """Leave the current run for a block: nothing in it is counted or limited. *reason* is recorded and said in the
    outcome's notes."""
    return shared_guard().bypass(reason=reason)


def group(name: str, **limits: Any) -> AbstractContextManager[Group]:
    """A common budget (`tokens`, `model_calls`, `tool_calls`, `usd`) over every run that begins inside."""
    return shared_guard().group(name, **limits)


def outcome(result: Any) -> Outcome:
    """Return the outcome of the run that gave *result*, or of a `GuardStopped`.

    Raises:
        LookupError: *result* has no identity or is no guarded run's; the message names `last_outcome()`.
    """
    return results.find(result)


def get_last_outcome() -> Outcome | None:
    """Return the outcome of the run that ended last in the calling context."""
    return last_outcome.get()


def status() -> dict[str, Any]:
    """Return what is armed, what is running, and what it has spent."""
    return shared_guard().status()


def reviewed(review_id: str, **overrides: Any) -> Any:
    """What a person decided about the review *review_id*, opened here or in another process; `None` while it waits.

    The `Resolution` has `.decision` (approved, rejected, answered) and `.result`: what takes the result's place where a
    person edited or gave it, and the fallback text where it was rejected. A review whose time is over is decided by this
    call. Overrides are settings, where they are not in the environment or a file.

    Raises:
        ReviewNotFound: There is no such review.
    """
    from mas_guard.config import load_policy

    return shared_guard().engine.desk(load_policy(overrides)).resolution(review_id)


def evidence(*texts: str) -> None:
    """Declare texts that the figures of the current run's result must stand in. Nothing outside of runs."""
    run = current_run.get()
    if run is not None:
        run.evidence.extend(texts)


def validator(check: Validator) -> Validator:
    """Judge every run's result by a function `(envelope, run)` before it leaves; a text that it returns, or False, rejects
    the result. `unregister(check)` takes it back."""
    plugin = _validators.setdefault(check, ValidatorPlugin(check))
    shared_guard().register(plugin)
    return check


def register(plugin: object) -> None:
    """Add a rule, a store, a price or a decision plugin for this process."""
    shared_guard().register(plugin)


def unregister(plugin: object) -> None:
    """Take a plugin back."""
    shared_guard().unregister(_validators.pop(plugin, plugin) if callable(plugin) else plugin)
