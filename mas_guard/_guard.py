"""The front door: `wrap`, `instrument`, `uninstrument`, `run`, `group`, `status`, and the outcome's readers."""

from __future__ import annotations

import difflib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

from mas_guard._boundary import joined_groups
from mas_guard._engine import Engine
from mas_guard._group import Group, open_group
from mas_guard._imports import import_watch
from mas_guard._plain_run import PlainRun, open_plain_run
from mas_guard._plugins import Plugins
from mas_guard._run import Run, current_run, live_runs
from mas_guard._tenant import tenant_of_run
from mas_guard._threads import thread_patches
from mas_guard.adapter import Adapter
from mas_guard.config import Policy, load_policy
from mas_guard.errors import AdapterError, AdapterNotFound, ConfigError, GuardStopped
from mas_guard.types import Outcome

logger = logging.getLogger("mas_guard")

App = TypeVar("App")


class Guard:
    """Everything one process is guarded with. The module-level functions use one shared guard."""

    def __init__(self, plugins: tuple[object, ...] = (), *, engine: Engine | None = None) -> None:
        self._lock = threading.RLock()
        self._extra_plugins = list(plugins)
        self._engine = engine
        self._armed: dict[str, Adapter] = {}
        self.not_armed: dict[str, str] = {}
        self._process_policy: Policy | None = None
        self._process_options: dict[str, Any] = {}
        self._launched = False
        self._sites: set[tuple[str, int]] = set()
        self._unwrapped_told: set[str] = set()

    # -- plugins and engine ------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The shared engine, made at first use under the policy of the settings alone."""
        with self._lock:
            if self._engine is None:
                policy = self._process_policy or load_policy()
                self._engine = Engine(policy, plugins=Plugins(self._extra_plugins))
            return self._engine

    def register(self, plugin: object) -> None:
        """Add a rule, a store, or another plugin."""
        self._extra_plugins.append(plugin)
        if self._engine is not None:
            self._engine.plugins.register(plugin)

    def unregister(self, plugin: object) -> None:
        """Take a plugin back."""
        if plugin in self._extra_plugins:
            self._extra_plugins.remove(plugin)
        if self._engine is not None:
            self._engine.plugins.unregister(plugin)

    def adapters(self) -> list[Adapter]:
        """Every installed adapter."""
        return self.engine.plugins.adapters()

    # -- arming ------------------------------------------------------------------------------------

    def wrap(self, app: App, policy: Policy | None = None, **overrides: Any) -> App:
        """Return *app* guarded; see `mas_guard.wrap`."""
        options: dict[str, Any] = {name: overrides.pop(name) for name in ("on_outcome", "tenant") if name in overrides}
        chosen = policy if policy is not None else load_policy(overrides)
        if policy is not None and overrides:
            raise ConfigError(
                f"wrap got policy= and {', '.join(overrides)}: give one of them, or load_policy({{…}}).",
                source="wrap",
                key=next(iter(overrides)),
            )
        if chosen.mode == "off":
            return app
        adapter = next((adapter for adapter in self.adapters() if adapter.can_wrap(app)), None)
        if adapter is None:
            kinds = ", ".join(adapter.name for adapter in self.adapters()) or "none"
            raise AdapterNotFound(
                f"No adapter can wrap a {type(app).__module__}.{type(app).__qualname__}. Installed adapters: {kinds}. "
                'For plain Python use `with mas_guard.run("task"):`; for another framework install its adapter.'
            )
        adapter.check_version()
        self._arm(adapter)
        self._arm_companions()
        thread_patches.apply()
        wrapped: App = adapter.wrap(app, self, chosen)
        kept = adapter.options_of(wrapped)
        if kept is not None:
            kept.update(options)
        return wrapped

    def _arm_companions(self) -> None:
        # What works inside a wrapped app belongs to the same run: a raw client, a graph in a tool, a runner in a node.
        for adapter in self.adapters():
            if adapter.name in self._armed or adapter.found_version() is None:
                continue
            if adapter.loaded() and not import_watch.under_way(adapter.module):
                self._arm_companion(adapter)
            else:
                import_watch.when_imported(adapter.module, partial(self._arm_companion, adapter, later=True))

    def _arm_companion(self, adapter: Adapter, *, later: bool = False) -> None:
        if adapter.name in self._armed or (later and not self._armed):
            return
        try:
            adapter.check_version()
            self._arm(adapter)
        except AdapterError as error:
            self.not_armed[adapter.name] = str(error)
            logger.warning("%s", error)

    def instrument(self, **overrides: Any) -> None:
        """Guard everything in this process; see `mas_guard.instrument`."""
        if self._launched:
            self.uninstrument()  # the app's own word beats the command line that started it
        if self._process_policy is not None:
            logger.warning("mas-guard is instrumented already; uninstrument() first to change its settings.")
            return
        options: dict[str, Any] = {name: overrides.pop(name) for name in ("on_outcome", "tenant") if name in overrides}
        policy = load_policy(overrides)
        if policy.mode == "off":
            return
        self._process_policy = policy
        self._process_options = options
        disabled = set(policy.disable)
        thread_patches.apply()
        for adapter in self.adapters():
            if adapter.name in disabled or "*" in disabled:
                self.not_armed[adapter.name] = "left out by MAS_GUARD_DISABLE"
            elif adapter.found_version() is None:
                self.not_armed[adapter.name] = f"{adapter.target} is not installed"
            elif adapter.loaded() and not import_watch.under_way(adapter.module):
                self._arm_or_tell(adapter, policy)
            else:
                self._arm_when_imported(adapter, policy)

    def launch(self) -> None:
        """Instrument for `mas-guard run`; an `instrument()` of the app's own takes this one's place."""
        if self._process_policy is None:
            self.instrument()
            self._launched = self._process_policy is not None
        if self._launched:
            from mas_guard._child_processes import child_patches
            from mas_guard._context import enter_inherited

            child_patches.apply()
            enter_inherited()

    def _arm_or_tell(self, adapter: Adapter, policy: Policy) -> None:
        try:
            adapter.check_version()
            self._arm(adapter)
        except AdapterError as error:
            self.not_armed[adapter.name] = str(error)
            logger.error("mas-guard goes on without its %s adapter: %s", adapter.name, error)
            if policy.require_armed:
                raise

    def _arm_when_imported(self, adapter: Adapter, policy: Policy) -> None:
        if policy.require_armed:
            adapter.check_version()

        def imported() -> None:
            if self._process_policy is policy:
                self._arm_or_tell(adapter, policy)

        import_watch.when_imported(adapter.module, imported)

    def _arm(self, adapter: Adapter) -> None:
        with self._lock:
            if adapter.name not in self._armed:
                adapter.arm(self)
                self._armed[adapter.name] = adapter
                self.not_armed.pop(adapter.name, None)

    def uninstrument(self) -> list[str]:
        """Take everything back; returns the seams that another library wrapped on top of ours."""
        with self._lock:
            self._process_policy = None
            self._process_options = {}
            self._launched = False
            left = [seam for adapter in self._armed.values() for seam in adapter.disarm()]
            left += thread_patches.remove()
            if (children := sys.modules.get("mas_guard._child_processes")) is not None:
                left += children.child_patches.remove()
            self._armed.clear()
            self.not_armed.clear()
            return left

    @property
    def process_policy(self) -> Policy | None:
        """The policy of `instrument()`; `None` where only wrapped apps are guarded."""
        return self._process_policy

    @property
    def armed(self) -> Mapping[str, Adapter]:
        """The adapters whose seams are in."""
        return self._armed

    # -- runs --------------------------------------------------------------------------------------

    def open_run(
        self,
        policy: Policy,
        *,
        name: str = "",
        owner: str = "",
        run_id: str = "",
        thread: str = "",
        tenant: str | Callable[[], str] | None = None,
        within: Run | None = None,
        joins: Mapping[str, Any] | None = None,
    ) -> Run:
        """Open a run for an adapter's outermost boundary, or one that counts for itself inside another's time and money."""
        told = tenant if tenant is not None else self._process_options.get("tenant")
        run = Run(
            self.engine,
            policy,
            name=name,
            owner=owner,
            groups=joined_groups(),
            run_id=run_id,
            thread=thread,
            tenant=tenant_of_run(told, policy.tenant, within, joins),
            joins=joins,
            root=within.root if within is not None else "",
        )
        if within is not None:
            run.go_within(within)
        if run_id:
            self.engine.apply_top_ups(run)
        return run

    def on_outcome(self, policy: Policy, options: Mapping[str, Any]) -> Callable[[Outcome], None] | None:
        """The callback that applies to a run."""
        return options.get("on_outcome") or self._process_options.get("on_outcome")

    def call_outside_run(self, what: str) -> None:
        """A call outside of every run: told once per call site under `instrument()`, refused where set so."""
        policy = self._process_policy
        if policy is None:
            return
        site = _call_site()
        if site not in self._sites:
            self._sites.add(site)
            logger.warning(
                "%s at %s:%d is outside of every guarded run: nothing limits it. Put it into "
                '`with mas_guard.run("…"):`, or set MAS_GUARD_OUTSIDE_RUN=refuse. Told once per call site.',
                what,
                *site,
            )
            self.engine.event(None, "outside_run", site=f"{site[0]}:{site[1]}", reason=what)
        if policy.outside_run == "refuse" and policy.mode == "enforce":
            raise GuardStopped(
                f"{what} at {site[0]}:{site[1]} is outside of every guarded run and OUTSIDE_RUN=refuse. "
                'Put it into `with mas_guard.run("…"):`, or set MAS_GUARD_OUTSIDE_RUN=pass.'
            )

    def unguarded(self, what: str) -> None:
        """A stretch that no seam covers: told once, recorded, and noted in the outcome of the run it is part of."""
        run = current_run.get()
        if run is None and self._process_policy is None and not self._armed:
            return
        if run is not None:
            run.note(f"unguarded: {what}")
        if what not in self._unwrapped_told:
            self._unwrapped_told.add(what)
            logger.warning("Unguarded: %s. Told once.", what)
        self.engine.event(run, "unguarded", reason=what)

    def unwrapped_app(self, name: str) -> None:
        """An unwrapped app runs beside wrapped ones: told once per app."""
        if self._process_policy is None and name not in self._unwrapped_told:
            self._unwrapped_told.add(name)
            logger.warning(
                "%s runs unguarded beside guarded apps: wrap it too, or use mas_guard.instrument(). Told once.", name
            )

    def run(self, name: str = "", *, owner: str = "", **overrides: Any) -> AbstractContextManager[PlainRun]:
        """A run in plain Python; see `mas_guard.run`."""
        return open_plain_run(self, name, owner, overrides)

    def arm_loaded(self) -> None:
        """Arm the adapters whose framework is loaded, for a run in plain Python."""
        thread_patches.apply()
        if self._process_policy is not None:
            return
        for adapter in self.adapters():
            if adapter.name not in self._armed and adapter.loaded():
                try:
                    adapter.check_version()
                    self._arm(adapter)
                except AdapterError as error:
                    self.not_armed[adapter.name] = str(error)

    @contextmanager
    def bypass(self, *, reason: str) -> Iterator[None]:
        """Leave the run for a block; see `mas_guard.bypass`."""
        if not reason.strip():
            raise ConfigError(
                "bypass needs a reason, which is recorded: bypass(reason=…).", source="bypass", key="reason"
            )
        run = current_run.get()
        if run is None:
            yield
            return
        run.note(f"bypassed: {reason}")
        self.engine.event(run, "bypass", reason=reason)
        token = current_run.set(None)
        try:
            yield
        finally:
            current_run.reset(token)

    def group(self, name: str, **limits: Any) -> AbstractContextManager[Group]:
        """Many runs under one budget; see `mas_guard.group`."""
        known = ("tokens", "model_calls", "tool_calls", "usd")
        for key in limits:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else f" It takes {', '.join(known)}."
                raise ConfigError(f"group({name!r}) got the unknown limit {key!r}.{hint}", source="group", key=key)
        thread_patches.apply()
        return open_group(self.engine, name, **limits)

    def status(self) -> dict[str, Any]:
        """What is armed, running, and spent now."""
        store = self.engine.store(self.engine.policy)
        return {
            "mode": (self._process_policy or self.engine.policy).mode,
            "armed": {name: adapter.found_version() for name, adapter in self._armed.items()},
            "not_armed": dict(self.not_armed),
            "internal_errors": self.engine.plugins.errors.count,
            "store": {"place": store.place, "shared": store.shared, "reachable": store.reachable},
            "runs": [
                {
                    "id": run.id,
                    "name": run.name,
                    "hops": run.hops,
                    "owner": run.owner,
                    "spent": run.spent()._asdict(),
                    "seconds": round(run.clock.elapsed, 3),
                }
                for run in list(live_runs)
                if run.outcome is None
            ],
        }


def _call_site() -> tuple[str, int]:
    for frame in reversed(traceback.extract_stack(sys._getframe(1), limit=40)):
        if "mas_guard" not in frame.filename and "site-packages" not in frame.filename:
            return frame.filename, frame.lineno or 0
    return "<unknown>", 0


_shared: Guard | None = None
_shared_lock = threading.Lock()


def shared_guard() -> Guard:
    """The process's guard, made at first use."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Guard()
        return _shared
