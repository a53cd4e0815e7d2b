"""Finds the app object that a command names: `app.py:graph` or `package.module:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click


def load_app(place: str) -> Any:
    """Import what *place* names and return it. The module's own code runs, as it does in the app.

    Raises:
        click.UsageError: Where it is named wrongly, cannot be imported, or has no such attribute.
    """
    module_name, separator, attribute = place.rpartition(":")
    if not separator or not module_name or not attribute:
        raise click.UsageError(f"{place!r} names no app: write app.py:graph or package.module:attribute.")
    module = _import(module_name, place)
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = ", ".join(name for name in vars(module) if not name.startswith("_")) or "nothing"
            raise click.UsageError(f"{module_name} has no {attribute!r}; it has {public[:300]}.") from None
    return found


def _import(name: str, place: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _import_file(Path(name))
        sys.path.insert(0, os.getcwd())
        return importlib.import_module(name)
    except click.UsageError:
        raise
    except (Exception, SystemExit) as error:  # whatever the app's own code raises
        raise click.UsageError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise click.UsageError(f"There is no file {str(path)!r} in {os.getcwd()}.")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
