"""Making the policy: all sources, in order, into one set of values that each know where they come from."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mas_guard._launched import command_line_settings, settings_directory
from mas_guard.config.checks import check
from mas_guard.config.faults import not_yet, unknown_key, wrong_value
from mas_guard.config.files import VARIABLE, file_layers
from mas_guard.config.policy import Policy, build
from mas_guard.config.provenance import Provenance
from mas_guard.config.setting import Setting
from mas_guard.config.sources import (
    CODE,
    COMMAND_LINE,
    DEFAULT,
    Layer,
    environment_layer,
    mapping_layer,
)
from mas_guard.config.table import SETTINGS, nearest, setting_of
from mas_guard.config.values import UNLIMITED_REPEATS, NotAValueError, NotYetError, read
from mas_guard.config.writing import written

logger = logging.getLogger("mas_guard")

V = TypeVar("V")

REMEMBERED_POLICIES = 64  # a run in plain Python reads its settings anew, and they are nearly always the same
BUILT_IN_RULES = ("budget", "hops", "ownership", "handoff", "repetition", "deadline", "turns")


def load_policy(
    overrides: Mapping[str, Any] | None = None,
    *,
    command_line: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Policy:
    """Return the policy in force.

    Code beats the command line, that beats `MAS_GUARD_*`, that the file MAS_GUARD_CONFIG names, that
    `mas-guard.toml`, that `[tool.mas-guard]` in `pyproject.toml`, that the defaults; but MAS_GUARD_MODE=observe or
    off in the environment beats everything, for the person on call.

    Args:
        overrides: Settings from code, lower case and nested: `{"budget": {"usd": 2}}`.
        command_line: Settings from the command line, nested or flat: `{"BUDGET__USD": "2"}`; by default what
            `mas-guard run` was given, in a process that it started.
        environ: The environment; by default the process's own.
        directory: Where files are looked for; by default where `mas-guard run` was started, else the working
            directory. Its parents are not searched.

    Raises:
        ConfigError: For an unknown setting (with STRICT_CONFIG=false only in code and on the command line), a value
            that is none, a combination that makes no sense, a file that cannot be read, or a setting that this
            version does not have yet. `.key` and `.source` say which and where.
    """
    environ = os.environ if environ is None else environ
    if command_line is None:
        command_line = command_line_settings(environ)
    environment = environment_layer(environ)
    given = [
        mapping_layer(overrides or {}, CODE),
        mapping_layer(command_line, COMMAND_LINE),
        environment,
        *file_layers(Path(directory or settings_directory(environ)), environ.get(VARIABLE, "")),
    ]
    # The same settings give the same object, and with it what it remembers of models and prices.
    settings = repr(given)
    policy = _made.get(settings)
    if policy is None:
        policy = _policy(given, environment)
        while len(_made) >= REMEMBERED_POLICIES:
            _made.pop(next(iter(_made)), None)
        _made[settings] = policy
    return policy


_made: dict[str, Policy] = {}


def policy_of(**overrides: Any) -> Policy:
    """Return the policy of *overrides* and the defaults alone: no file and no variable but MAS_GUARD_MODE counts.

    Raises:
        ConfigError: As `load_policy`.
    """
    mode = os.environ.get("MAS_GUARD_MODE")
    environment = environment_layer({} if mode is None else {"MAS_GUARD_MODE": mode})
    return _policy([mapping_layer(overrides, CODE), environment], environment)


def _policy(layers: Sequence[Layer], environment: Layer) -> Policy:
    candidates = _candidates(layers, environment)
    warnings = _judge_unknown(layers, candidates)
    values: dict[str, Any] = {}
    provenance: dict[str, Provenance] = {}
    for setting in SETTINGS:
        if not setting.named and setting.key not in candidates:
            values[setting.key] = _default(setting.key)
            provenance[setting.key] = Provenance(written(values[setting.key], setting), DEFAULT)
    for key, found in candidates.items():
        setting_found = setting_of(key)
        assert setting_found is not None  # what is unknown was judged above
        values[key], provenance[key] = _decided(setting_found, key, found)
    check(values, provenance)
    warnings += _doubtful_rules(values)
    for warning in warnings:
        _warn_once(warning)
    return build(_in_order(values), _in_order(provenance), tuple(warnings))


def _candidates(layers: Sequence[Layer], environment: Layer) -> dict[str, list[tuple[str, Any]]]:
    """Every key that was given, with all that gave it, the strongest first."""
    candidates: dict[str, list[tuple[str, Any]]] = {}
    for layer in layers:
        for key, value in layer.given.items():
            candidates.setdefault(key, []).append((layer.sources[key], value))
    if "MODE" in environment.given:
        source = environment.sources["MODE"]
        mode = _read(_known("MODE"), "MODE", source, environment.given["MODE"])
        if mode != "enforce":  # the person on call has the last word
            others = [entry for entry in candidates["MODE"] if entry[0] != source]
            candidates["MODE"] = [(source, mode), *others]
    return candidates


def _judge_unknown(layers: Sequence[Layer], candidates: Mapping[str, list[tuple[str, Any]]]) -> list[str]:
    """Refuse what is no setting, or list it where STRICT_CONFIG=false says that it may stand."""
    strict = True
    if "STRICT_CONFIG" in candidates:
        source, value = candidates["STRICT_CONFIG"][0]
        strict = _read(_known("STRICT_CONFIG"), "STRICT_CONFIG", source, value)
    warnings = []
    for layer in layers:
        for key, source in layer.unknown:
            error = unknown_key(key, source)
            if strict or source in (CODE, COMMAND_LINE):
                raise error
            warnings.append(str(error))
    return warnings


def _decided(setting: Setting, key: str, found: Sequence[tuple[str, Any]]) -> tuple[Any, Provenance]:
    source, given = found[0]
    value = _read(setting, key, source, given)
    beaten = [(other, written(raw, setting)) for other, raw in found[1:]]
    if not setting.named:
        beaten.append((DEFAULT, written(_default(key), setting)))
    provenance = Provenance(written(value, setting), source, tuple(beaten))
    if value is None and setting.key == "TOOLS__*__REPEAT":
        value = UNLIMITED_REPEATS
    return value, provenance


def _read(setting: Setting, key: str, source: str, given: Any) -> Any:
    try:
        return read(setting, given)
    except NotYetError as error:
        raise not_yet(key, source, given, str(error)) from None
    except NotAValueError as error:
        raise wrong_value(setting, key, source, given, str(error)) from None


@cache
def _default(key: str) -> Any:
    return read(_known(key), _known(key).default)


def _known(key: str) -> Setting:
    found = setting_of(key)
    assert found is not None
    return found


def _in_order(by_key: Mapping[str, V]) -> dict[str, V]:
    """In the order of the table, names after what has none."""
    order = {setting.key: place for place, setting in enumerate(SETTINGS)}
    return dict(sorted(by_key.items(), key=lambda entry: (order[_known(entry[0]).key], entry[0])))


def _doubtful_rules(values: Mapping[str, Any]) -> list[str]:
    """A rule's name that is nearly a built-in one: a plugin may bring it, a slip of the pen is likelier."""
    warnings = []
    for key in values:
        if key.startswith("RULES__"):
            name = key.split("__")[1]
            near = "" if name in BUILT_IN_RULES else nearest(name, BUILT_IN_RULES)
            if near:
                warnings.append(
                    f"{key}: no built-in rule is called {name!r}; did you mean {near}? It counts only if a plugin "
                    "brings a rule of that name."
                )
    return warnings


_warned: set[str] = set()


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        logger.warning("%s", text)
