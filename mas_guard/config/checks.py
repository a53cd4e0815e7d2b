"""Values that are sound alone and impossible together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from mas_guard.config.faults import conflict, shown
from mas_guard.config.once import check_once
from mas_guard.config.provenance import Provenance
from mas_guard.config.review_checks import check_review
from mas_guard.config.table import name_in, setting_of
from mas_guard.config.windows import check_windows

Origin = Callable[[str], str]

OF_A_SERVER = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "valkey", "valkeys")


def check(values: Mapping[str, Any], provenance: Mapping[str, Provenance]) -> None:
    """Raise a `ConfigError` for the first combination that makes no sense, with the figures and the fix."""

    def origin(key: str) -> str:
        return provenance[key].source

    _check_repetition(values, origin)
    _check_on_limit(values, origin)
    _check_store(values, origin)
    check_review(values, origin)
    check_once(values, origin)
    check_windows(values, origin)
    _check_models(values, origin)
    _check_termination(values, origin)


def _check_repetition(values: Mapping[str, Any], origin: Origin) -> None:
    stages = [(f"REPETITION__{stage}", values[f"REPETITION__{stage}"]) for stage in ("REDIRECT", "BLOCK", "STOP")]
    counted = [(key, figure) for key, figure in stages if figure is not None]
    for (earlier, low), (later, high) in pairwise(counted):
        if low > high:
            # Blame what was set, not the default that it collides with.
            key = later if origin(earlier) == "default" else earlier
            raise conflict(
                key,
                origin(key),
                f"{earlier} = {low} is above {later} = {high}, so {earlier} would never be reached",
                f"Set {earlier} to at most {high}, or raise {later} to at least {low}.",
            )


def _check_on_limit(values: Mapping[str, Any], origin: Origin) -> None:
    actions = values["ON_LIMIT"]
    if "abort" in actions[:-1]:
        after = ", ".join(actions[actions.index("abort") + 1 :])
        raise conflict(
            "ON_LIMIT",
            origin("ON_LIMIT"),
            f"{','.join(actions)!r} never gets to {after}: abort always succeeds",
            "Put abort last, or leave it out.",
        )


def _check_store(values: Mapping[str, Any], origin: Origin) -> None:
    url = values["STORE"]
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "sqlite" and not (rest.startswith("///") and rest.strip("/")):
        raise conflict(
            "STORE",
            origin("STORE"),
            f"{shown(url)} names no file",
            "Use sqlite:///mas-guard.db for a file beside the app, or sqlite:////var/lib/app/mas-guard.db for one with an "
            "absolute path.",
        )
    if scheme.lower() in OF_A_SERVER and not rest.startswith("//"):
        raise conflict(
            "STORE", origin("STORE"), f"{shown(url)} names no server", f"Write {scheme}://host:port, with two slashes."
        )


def _check_termination(values: Mapping[str, Any], origin: Origin) -> None:
    if not values["REQUIRE_TERMINATION"]:
        return
    for name in endless_loops(values):
        raise conflict(
            "REQUIRE_TERMINATION",
            origin("REQUIRE_TERMINATION"),
            f"the agent {name!r} is declared a loop, and nothing says when it ends",
            f'Add max_rounds, patience or done_when to [agents."{name}"].',
        )


def endless_loops(values: Mapping[str, Any]) -> list[str]:
    """The agents that are declared loops without anything that ends them."""
    found = []
    for key, value in values.items():
        setting = setting_of(key)
        if setting is not None and setting.key == "AGENTS__*__LOOP" and value:
            name = name_in(setting, key)
            ends = (values.get(f"AGENTS__{name}__{part}") for part in ("MAX_ROUNDS", "PATIENCE", "DONE_WHEN"))
            if all(end is None for end in ends):
                found.append(name)
    return found


def _check_models(values: Mapping[str, Any], origin: Origin) -> None:
    bases: dict[str, str] = {}
    for key, value in values.items():
        setting = setting_of(key)
        if setting is None or not setting.key.startswith("MODELS__*"):
            continue
        name = name_in(setting, key)
        if setting.key.endswith("_PRICE"):
            for part in ("INPUT", "OUTPUT"):
                if f"MODELS__{name}__{part}_PRICE" not in values:
                    raise conflict(
                        key,
                        origin(key),
                        f"the model {name!r} has {setting.key[11:].lower()} = {value} and no {part.lower()}_price, "
                        "and half a price is none",
                        f'Add {part.lower()}_price to [models."{name}"], in USD per million tokens.',
                    )
        if setting.key.endswith("__BASE"):
            bases[name] = value
    for name, base in bases.items():
        seen, following = [name], base
        while following in bases and following not in seen:
            seen.append(following)
            following = bases[following]
        if following in seen:
            key = f"MODELS__{name}__BASE"
            raise conflict(
                key,
                origin(key),
                f"the base models go round: {' -> '.join([*seen, following])}",
                "Name a published model, such as gpt-4o, as the last base.",
            )
