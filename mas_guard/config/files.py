"""Settings files: which are read, and what a broken one says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mas_guard.config.sources import Layer, mapping_layer
from mas_guard.errors import ConfigError

FILE = "mas-guard.toml"
PROJECT_FILE = "pyproject.toml"
VARIABLE = "MAS_GUARD_CONFIG"


def file_layers(directory: Path, named: str) -> list[Layer]:
    """What the file *named* by MAS_GUARD_CONFIG, mas-guard.toml and pyproject.toml in *directory* give, in order.

    Raises:
        ConfigError: Where a file is not there although it was named, cannot be read, or is no TOML.
    """
    layers = []
    if named:
        path = directory / named
        if not path.is_file():
            raise ConfigError(
                f"{VARIABLE} names {named!r}, and there is no such file in {directory.resolve()}. Correct the path, or unset "
                f"{VARIABLE}.",
                source="environment variable " + VARIABLE,
                key="CONFIG",
            )
        layers.append(_layer(path))
    if (directory / FILE).is_file():
        layers.append(_layer(directory / FILE))
    if (directory / PROJECT_FILE).is_file():
        layers.append(_layer(directory / PROJECT_FILE))
    return layers


def _layer(path: Path) -> Layer:
    content = _content(path)
    if path.name != PROJECT_FILE:
        return mapping_layer(_parsed(path, content), f"file {path}")
    if "mas-guard" not in content:
        return Layer()  # Somebody else's file: whether it is sound is not ours to judge, nor worth a parser.
    tools = _parsed(path, content).get("tool")
    table = tools.get("mas-guard") if isinstance(tools, Mapping) else None
    return mapping_layer(table, f"[tool.mas-guard] in {path}") if isinstance(table, Mapping) else Layer()


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"Settings file {path} cannot be read ({error.strerror}). Make it readable, or remove it.",
            source=f"file {path}",
            key="",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"Settings file {path} is not UTF-8 (byte {error.start}). Save it as UTF-8.",
            source=f"file {path}",
            key="",
        ) from None


@lru_cache(maxsize=8)  # a run in plain Python reads its settings anew; parsing them is nearly all that costs
def _toml(content: str) -> Mapping[str, Any]:
    import tomllib  # only where there is a file

    return tomllib.loads(content.replace("\r\n", "\n"))


def _parsed(path: Path, content: str) -> Mapping[str, Any]:
    import tomllib

    try:
        return _toml(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"Settings file {path} is no valid TOML: {error}. Correct that line (text stands in quotes: "
            'owner = "planner"); `mas-guard config check` reads it again.',
            source=f"file {path}",
            key="",
        ) from None
