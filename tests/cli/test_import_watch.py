"""A callback comes when a package is imported to its end, whatever imports what in circles."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mas_guard._imports import ImportWatch

CIRCLE = {
    "__init__.py": "",
    "graph/__init__.py": "from circular.graph.state import State",
    "graph/state.py": "import circular.engine\nclass State: ...",
    "engine.py": "READY = True",
    "broken.py": "import circular.engine\nraise ImportError('an optional part')",
    "other.py": "",
}


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImportWatch]:
    """A watch of its own, and a package `circular` to import."""
    for name, code in CIRCLE.items():
        path = tmp_path / "circular" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.meta_path)
    yield ImportWatch()
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "circular"]:
        del sys.modules[name]


def test_it_comes_after_the_outermost_module_and_not_after_the_one_asked_for(watch: ImportWatch) -> None:
    seen: list[bool] = []
    watch.when_imported("circular.engine", lambda: seen.append(hasattr(sys.modules["circular.graph"], "State")))
    importlib.import_module("circular.graph")
    assert seen == [True]


def test_it_comes_once_and_the_finder_goes(watch: ImportWatch) -> None:
    seen: list[str] = []
    watch.when_imported("circular.engine", lambda: seen.append("engine"))
    importlib.import_module("circular.engine")
    importlib.import_module("circular.graph")
    assert seen == ["engine"]
    assert watch not in sys.meta_path


def test_other_modules_of_the_package_are_waited_out(watch: ImportWatch) -> None:
    seen: list[str] = []
    watch.when_imported("circular.engine", lambda: seen.append("engine"))
    importlib.import_module("circular.other")
    assert seen == [] and watch in sys.meta_path


def test_a_module_that_fails_to_import_does_not_keep_the_others_from_being_seen(watch: ImportWatch) -> None:
    seen: list[str] = []
    watch.when_imported("circular.engine", lambda: seen.append("engine"))
    with pytest.raises(ImportError, match="an optional part"):
        importlib.import_module("circular.broken")
    assert seen == ["engine"]


def test_looking_for_a_module_is_not_importing_it(watch: ImportWatch) -> None:
    seen: list[str] = []
    watch.when_imported("circular", lambda: seen.append("circular"))
    assert importlib.util.find_spec("circular") is not None
    assert seen == []


def test_a_module_sees_its_own_loader(watch: ImportWatch) -> None:
    watch.when_imported("circular.engine", lambda: None)
    module = importlib.import_module("circular.engine")
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__ is not None and module.__spec__.loader is module.__loader__


def test_what_the_callback_raises_reaches_the_import(watch: ImportWatch) -> None:
    def refuse() -> None:
        raise RuntimeError("refused")

    watch.when_imported("circular.engine", refuse)
    with pytest.raises(RuntimeError, match="refused"):
        importlib.import_module("circular.engine")


def test_of_two_threads_that_import_at_once_the_last_one_calls_back(watch: ImportWatch) -> None:
    seen: list[str] = []
    watch.when_imported("circular.engine", lambda: seen.append(threading.current_thread().name))
    watch.begun("circular.other")  # another thread is inside this one
    importlib.import_module("circular.engine")
    assert seen == [] and watch.under_way("circular.engine")
    last = threading.Thread(target=watch.ended, args=("circular.other",), name="last")
    last.start()
    last.join()
    assert seen == ["last"]


def test_another_librarys_finder_in_front_does_not_loop(watch: ImportWatch) -> None:
    class AsksAll:
        def find_spec(self, name: str, path: object = None, target: object = None) -> object:
            for finder in list(sys.meta_path):
                if finder is not self and (spec := finder.find_spec(name, path, target)):  # type: ignore[arg-type]
                    return spec
            return None

    seen: list[str] = []
    watch.when_imported("circular.engine", lambda: seen.append("engine"))
    sys.meta_path.insert(0, AsksAll())  # type: ignore[arg-type]
    sys.meta_path.append(AsksAll())  # type: ignore[arg-type]
    importlib.import_module("circular.graph")
    assert seen == ["engine"]
