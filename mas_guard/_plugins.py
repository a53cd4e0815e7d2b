"""The plugin manager: who is registered, one typed method per hook, hot hooks compiled to tuples.

Calling through pluggy costs about a microsecond a hook; a compiled tuple of plain functions a tenth of it.
Registration and validation stay pluggy's: a misspelt hook is found by `check_pending`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from mas_guard import hookspecs
from mas_guard.errors import ConfigError
from mas_guard.types import Brief, Decision, Usage, Verdict

if TYPE_CHECKING:
    from mas_guard.adapter import Adapter

logger = logging.getLogger("mas_guard")

ENTRY_POINT_GROUP = "mas_guard"
Hook = Callable[..., Any]


class InternalErrors:
    """Faults of plugins and of the guard itself: logged once per place, counted, never raised."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: set[tuple[str, type]] = set()

    def report(self, place: str, error: BaseException) -> None:
        """Log *error* once per place and kind, and count it."""
        self.count += 1
        key = (place, type(error))
        if key not in self._seen:
            self._seen.add(key)
            logger.error(
                "%s failed with %s: %s. The app goes on without it; fix or remove it. Logged once.",
                place,
                type(error).__name__,
                error,
                exc_info=error,
            )


class Plugins:
    """All plugins of one guard, with one typed method or compiled tuple per hook."""

    def __init__(self, plugins: Iterable[object] = (), *, entry_points: bool = True) -> None:
        self.errors = InternalErrors()
        self.failed_entry_points: dict[str, BaseException] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        if entry_points:
            self._load_entry_points()
        for plugin in plugins:
            self._register(plugin)
        self._validate()
        self._compile()

    def register(self, plugin: object) -> None:
        """Add *plugin*; a hook that does not exist is a `ConfigError` naming the nearest one."""
        if self._register(plugin):
            self._validate()
            self._compile()

    def unregister(self, plugin: object) -> None:
        """Take *plugin* back."""
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)
            self._compile()

    def _register(self, plugin: object) -> bool:
        if self._manager.is_registered(plugin):
            return False
        try:
            self._manager.register(plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise ConfigError(
                f"Plugin {plugin!r} cannot be registered: {error}. Compare its arguments with mas_guard.hookspecs.",
                source="plugins",
                key=str(plugin),
            ) from error
        return True

    def _load_entry_points(self) -> None:
        # One by one, so that a plugin that cannot be imported leaves the others standing.
        from importlib.metadata import entry_points

        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            try:
                plugin = entry_point.load()
                if not self._manager.is_registered(plugin):
                    self._manager.register(plugin, name=entry_point.name)
            except Exception as error:  # whatever a third party's module raises
                self.failed_entry_points[entry_point.name] = error
                self.errors.report(f"Plugin entry point {entry_point.name!r}", error)

    def _validate(self) -> None:
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            known = [name for name in vars(hookspecs) if name.startswith("mas_guard_")]
            wrong = str(error).split("'")[1] if "'" in str(error) else str(error)
            near = difflib.get_close_matches(wrong, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see mas_guard.hookspecs for the hooks."
            self._manager.unregister(error.plugin)
            raise ConfigError(
                f"Plugin {error.plugin!r} implements the unknown hook {wrong!r}: {hint}",
                source="plugins",
                key=wrong,
            ) from None

    def _compile(self) -> None:
        self.run_started = self._compiled("mas_guard_run_started", ("run",))
        self.run_finished = self._compiled("mas_guard_run_finished", ("run", "outcome"))
        self.before_step = self._compiled("mas_guard_before_step", ("step", "run"))
        self.after_step = self._compiled("mas_guard_after_step", ("step", "output", "run"))
        self.before_handoff = self._compiled("mas_guard_before_handoff", ("handoff", "run"))
        self.after_handoff = self._compiled("mas_guard_after_handoff", ("handoff", "outcome", "run"))
        self.before_call = self._compiled("mas_guard_before_call", ("call", "run"))
        self.after_call = self._compiled("mas_guard_after_call", ("call", "outcome", "run"))
        self.validate_result = self._compiled("mas_guard_validate_result", ("envelope", "run"))
        self.on_event = self._compiled("mas_guard_on_event", ("event",))
        self.has_price_hook = bool(self._manager.hook.mas_guard_price.get_hookimpls())
        self.has_decide_hook = bool(self._manager.hook.mas_guard_decide.get_hookimpls())

    def _compiled(self, name: str, arguments: tuple[str, ...]) -> tuple[Hook, ...]:
        caller = getattr(self._manager.hook, name)
        implementations = caller.get_hookimpls()
        if any(implementation.hookwrapper or implementation.wrapper for implementation in implementations):

            def through_pluggy(*values: Any) -> Any:
                # Wrappers keep pluggy's semantics; the first answer stands for all.
                answers = caller(**dict(zip(arguments, values, strict=True)))
                return next((answer for answer in answers or () if answer is not None), None)

            return (through_pluggy,)
        return tuple(
            _positional(implementation.function, tuple(implementation.argnames), arguments)
            for implementation in reversed(implementations)
        )

    def tell(self, hooks: tuple[Hook, ...], *arguments: Any) -> None:
        """Call *hooks*; a raising one is reported and the rest go on."""
        for hook in hooks:
            try:
                hook(*arguments)
            except Exception as error:  # a plugin's fault never breaks the app
                self.errors.report(f"Hook {_name(hook)}", error)

    def verdict(self, hook: Hook, *arguments: Any) -> Verdict | None:
        """Ask *hook*; where it raises it abstains."""
        try:
            verdict = hook(*arguments)
        except Exception as error:  # a plugin's fault never breaks the app
            self.errors.report(f"Hook {_name(hook)}", error)
            return None
        if verdict is None or isinstance(verdict, Verdict):
            return verdict
        told = TypeError(f"it returned {verdict!r}; a rule returns a mas_guard.Verdict or None")
        self.errors.report(f"Hook {_name(hook)}", told)
        return None

    def adapters(self) -> list[Adapter]:
        """Every adapter that is installed, whether its framework is or not."""
        return [adapter for found in self._manager.hook.mas_guard_adapters() for adapter in found]

    def stores(self) -> dict[str, Any]:
        """Ledger factories by URL scheme; what is registered last wins."""
        stores: dict[str, Any] = {}
        for found in reversed(self._manager.hook.mas_guard_stores()):
            stores.update(found)
        return stores

    def decide(self, brief: Brief, run: Any) -> Decision | None:
        """Ask for the decision of an owner that is no agent."""
        return self._first("mas_guard_decide", brief=brief, run=run)  # type: ignore[no-any-return]

    def escalate(self, review: Any, run: Any) -> Any:
        """Ask the plugins for a person's decision about *review*."""
        return self._first("mas_guard_escalate", review=review, run=run)

    def price(self, model: str, usage: Usage) -> int | None:
        """Ask the plugins what *usage* of *model* costs, in nano-USD."""
        return self._first("mas_guard_price", model=model, usage=usage)  # type: ignore[no-any-return]

    def add_commands(self, group: Any) -> None:
        """Let plugins add commands to the command line."""
        self._manager.hook.mas_guard_add_commands(group=group)

    def _first(self, name: str, **arguments: Any) -> Any:
        try:
            return getattr(self._manager.hook, name)(**arguments)
        except Exception as error:  # a plugin's fault never breaks the app
            self.errors.report(f"Hook {name}", error)
            return None

    def names(self) -> Mapping[str, object]:
        """The registered plugins by name, for `doctor`."""
        return dict(self._manager.list_name_plugin())


def _positional(function: Hook, takes: tuple[str, ...], given: tuple[str, ...]) -> Hook:
    if takes == given:
        return function
    positions = [given.index(name) for name in takes]

    def call(*values: Any) -> Any:
        return function(*(values[position] for position in positions))

    call.__qualname__ = getattr(function, "__qualname__", repr(function))
    return call


def _name(hook: Hook) -> str:
    return str(getattr(hook, "__qualname__", hook))
