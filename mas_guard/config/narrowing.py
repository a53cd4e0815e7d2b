"""How an inner run's policy narrows the outer one's: only what it sets in code counts, and only downwards.

Defaults, variables and files are the same for both runs; were they compared too, a default of the inner run would
undo what the outer one was given in code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mas_guard.config.faults import ENVIRONMENT
from mas_guard.config.groups import POLL_ALLOWANCE
from mas_guard.config.once import once_tools, split
from mas_guard.config.provenance import Provenance
from mas_guard.config.setting import Setting
from mas_guard.config.sources import CODE
from mas_guard.config.table import name_in, setting_of
from mas_guard.config.writing import written

_NOT_SET = object()


def narrowed(
    outer: Mapping[str, Any],
    outer_provenance: Mapping[str, Provenance],
    inner: Mapping[str, Any],
    inner_provenance: Mapping[str, Provenance],
) -> tuple[dict[str, Any], dict[str, Provenance]]:
    """The outer run's values and their origin, with what the inner run's code narrows."""
    values, provenance = dict(outer), dict(outer_provenance)
    for key in [*outer, *(key for key in inner if key not in outer)]:
        setting = setting_of(key)
        if setting is None or setting.narrowing == "stays":
            continue
        if key == "MODE" and outer_provenance[key].source.startswith(ENVIRONMENT):
            continue  # the person on call has the last word
        asked, origin = _asked(setting, key, inner, inner_provenance)
        if asked is _NOT_SET:
            continue
        if setting.narrowing == "added" and _is_known(setting, key, outer):
            continue
        held = _held(setting, key, outer)
        result = asked if held is _NOT_SET else _narrower(setting, held, asked)
        if result == held:
            continue
        before = outer_provenance.get(key)
        beaten = () if before is None else ((before.source, before.value), *before.beaten)
        values[key] = result
        provenance[key] = Provenance(written(result, setting), f"{origin} of an inner run", beaten)
    return values, provenance


def _asked(
    setting: Setting,
    key: str,
    inner: Mapping[str, Any],
    provenance: Mapping[str, Provenance],
) -> tuple[Any, str]:
    if setting.narrowing == "added":
        given = _family(setting, key, inner)
        if key in inner and any(provenance[one].source == CODE for one in given):
            return inner[key], provenance[key].source
        return _NOT_SET, ""
    # An inner AGENT_BUDGET also narrows an outer budget of one agent; a mode says nothing of one rule's.
    for candidate in (key, setting.inherits if setting.narrowing == "smaller" else ""):
        if candidate in inner:
            origin = provenance[candidate].source
            return (inner[candidate], origin) if origin == CODE else (_NOT_SET, "")
    return _NOT_SET, ""


def _held(setting: Setting, key: str, outer: Mapping[str, Any]) -> Any:
    """What the outer policy allows where the inner one sets *key*."""
    if key in outer:
        return outer[key]
    if setting.key == "TOOLS__*__REPEAT":
        if name_in(setting, key) in outer["POLL_TOOLS"]:
            return POLL_ALLOWANCE
        redirect = outer["REPETITION__REDIRECT"]
        return _NOT_SET if redirect is None else redirect - 1
    return outer[setting.inherits] if setting.inherits else _NOT_SET


def _is_known(setting: Setting, key: str, outer: Mapping[str, Any]) -> bool:
    """True where the outer run has settings of its own for the tool or window in *key*."""
    if setting.key == "TOOLS__*__ONCE":
        return name_in(setting, key) in once_tools(outer)
    return bool(_family(setting, key, outer))


def _family(setting: Setting, key: str, values: Mapping[str, Any]) -> list[str]:
    """The settings in *values* that stand or fall together with *key*: for a window all that are of its name."""
    if not setting.key.startswith("WINDOWS__"):
        return [key] if key in values else []
    found = []
    for other in values:
        known = setting_of(other)
        if known is not None and known.key.startswith("WINDOWS__") and name_in(known, other) == name_in(setting, key):
            found.append(other)
    return found


def _narrower(setting: Setting, held: Any, asked: Any) -> Any:
    if setting.narrowing == "stricter":
        return min(held, asked, key=setting.choices.index)
    if held is None or asked is None:  # `none` allows everything
        return asked if held is None else held
    if setting.narrowing == "smaller":
        return min(held, asked)
    if setting.narrowing == "larger":
        return max(held, asked)
    if setting.narrowing == "joined":
        known = {split(entry)[0] for entry in held}
        return (*held, *(entry for entry in asked if split(entry)[0] not in known))
    return tuple(name for name in held if name in asked)
