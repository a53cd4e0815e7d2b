"""Tells when a package has been imported, to its end.

A seam can be patched only once its module has run to the end, and frameworks import themselves in circles:
`langgraph.graph.state` imports `langgraph.pregel`, so that a hook on the second would find the first half made. A
callback therefore waits until no module of the package is being executed any more, in any thread.

Standard library only: `mas-guard run` needs this before anything else is loaded.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


class ImportWatch:
    """A finder at the head of `sys.meta_path` that is there only while somebody waits."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: dict[str, list[tuple[str, Callable[[], None]]]] = {}
        self._executing: dict[str, int] = {}
        self._asking = threading.local()

    def when_imported(self, module: str, callback: Callable[[], None]) -> None:
        """Call *callback* once *module* is imported and the outermost import of its package has ended.

        It is called in the importing thread; what it raises is raised by the import statement. A module that is
        there already is the caller's to look for.
        """
        with self._lock:
            self._waiting.setdefault(_package(module), []).append((module, callback))
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)

    def under_way(self, module: str) -> bool:
        """True while a module of *module*'s package is being executed. Known only of packages waited for."""
        return self._executing.get(_package(module), 0) > 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find *name* as the finders after this one do, and watch its execution."""
        if _package(name) not in self._waiting or name in self._names_asked_for():
            return None
        self._names_asked_for().add(name)
        try:
            spec = self._found_by_others(name, path, target)
        finally:
            self._names_asked_for().discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _WatchedLoader(spec.loader, self)  # type: ignore[assignment]
        return spec

    def _names_asked_for(self) -> set[str]:
        # Other libraries' finders ask all finders in turn; they must not come round to this one.
        names: set[str] | None = getattr(self._asking, "names", None)
        if names is None:
            names = self._asking.names = set()
        return names

    def _found_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :] if self in finders else finders:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None

    def begun(self, name: str) -> None:
        """A module of a package waited for begins to execute."""
        with self._lock:
            self._executing[_package(name)] = self._executing.get(_package(name), 0) + 1

    def ended(self, name: str) -> None:
        """It has been executed; the last one of its package calls back."""
        package = _package(name)
        with self._lock:
            self._executing[package] -= 1
            if self._executing[package]:
                return
            waiting = self._waiting.pop(package, [])
            due = [callback for module, callback in waiting if module in sys.modules]
            still = [entry for entry in waiting if entry[0] not in sys.modules]
            if still:
                self._waiting[package] = still
            if not self._waiting and self in sys.meta_path:
                sys.meta_path.remove(self)
        for callback in due:
            callback()


class _WatchedLoader:
    """A module's own loader, which the module sees from its first line on; here only its end is noted."""

    def __init__(self, loader: Any, watch: ImportWatch) -> None:
        self._loader = loader
        self._watch = watch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader does."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """As the loader does; then say so."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._watch.begun(module.__name__)
        try:
            self._loader.exec_module(module)
        finally:
            self._watch.ended(module.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _package(module: str) -> str:
    return module.partition(".")[0]


import_watch = ImportWatch()
