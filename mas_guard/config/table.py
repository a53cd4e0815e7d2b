"""Every setting, once, and how to find one.

Validation, `config schema` and the reference in the docs are all made from this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from mas_guard.config.coordination_settings import COORDINATION_SETTINGS
from mas_guard.config.general_settings import GENERAL_SETTINGS
from mas_guard.config.limit_settings import LIMIT_SETTINGS
from mas_guard.config.named_settings import NAMED_SETTINGS
from mas_guard.config.once_settings import ONCE_SETTINGS
from mas_guard.config.review_settings import REVIEW_SETTINGS
from mas_guard.config.setting import Setting

SETTINGS: tuple[Setting, ...] = (
    *GENERAL_SETTINGS[:1],
    *LIMIT_SETTINGS,
    *GENERAL_SETTINGS[1:],
    *COORDINATION_SETTINGS,
    *REVIEW_SETTINGS,
    *ONCE_SETTINGS,
    *NAMED_SETTINGS,
)

BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}

TABLES = frozenset(setting.key.split("__")[0] for setting in NAMED_SETTINGS)
"""The settings that are tables by name: AGENTS, BUDGETS, WINDOWS, TOOLS, MODELS, RULES."""

GROUPS = frozenset(
    "__".join(parts[:length]) for parts in (key.split("__") for key in BY_KEY) for length in range(1, len(parts))
)
"""Every beginning of a key that is not a key itself: BUDGET, AGENTS, AGENTS__*, AGENTS__*__BUDGET, ..."""

LOWER_CASE_NAMES = frozenset({"RULES"})
"""Tables whose names are always lower case, so that a variable can name them."""

RESERVED_VARIABLES: dict[str, str] = {
    "MAS_GUARD_CONFIG": "the settings file to read instead of looking for mas-guard.toml first",
    "MAS_GUARD_RUN__": "set by `mas-guard run` for the processes it starts",
    "MAS_GUARD_TEST_": "free for test suites",
}
"""Variables, or with a trailing underscore beginnings of variables, that are no settings."""


def template_of(path: Sequence[str]) -> str:
    """The key of *path* with `*` for a name: `("agents", "Bob", "budget")` is `AGENTS__*__BUDGET`."""
    parts = [part.upper() for part in path]
    if len(parts) > 1 and parts[0] in TABLES:
        parts[1] = "*"
    return "__".join(parts)


def key_of(path: Sequence[str]) -> str:
    """The key of *path*: upper case but for the name of an agent, tool, model, rule, group or window."""
    parts = [part.upper() for part in path]
    if len(parts) > 1 and parts[0] in TABLES:
        parts[1] = path[1].lower() if parts[0] in LOWER_CASE_NAMES else path[1]
    return "__".join(parts)


def name_in(setting: Setting, key: str) -> str:
    """The name in *key*, which belongs to *setting*: `Bob` of `AGENTS__Bob__STEP_TIMEOUT`."""
    before, after = setting.key.split("*")
    return key[len(before) : len(key) - len(after)]


@cache
def setting_of(key: str) -> Setting | None:
    """The setting that *key* belongs to, with or without a name in it; `None` where there is none."""
    found = BY_KEY.get(key)
    if found is not None:
        return found if not found.named else None
    for setting in NAMED_SETTINGS:
        before, after = setting.key.split("*")
        if key.startswith(before) and key.endswith(after) and len(key) > len(before) + len(after):
            return setting
    return None


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The known word that *wrong* most likely means; empty where none is near."""
    import difflib  # only needed where something is wrong already

    found = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
