"""What a setting is: its key, what it takes, what it means, and how an inner run may narrow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "integer",
    "money",
    "share",
    "duration",
    "boolean",
    "text",
    "names",
    "choice",
    "choices",
    "price",
    "url",
    "contract",
    "value",
]
"""How a value is written:

- `integer`: `10000000`, `10_000_000` or `10 000 000`
- `money`: USD as a decimal, `2.50`
- `price`: USD per million tokens as a decimal
- `share`: a fraction, `0.1`
- `duration`: `90s`, `10m`, `1h30m`, or a number of seconds
- `boolean`: `true` or `false`
- `text`, `url`: as it stands
- `names`: a list by comma
- `contract`: `module:Name`, the path of a `.json` file, or a JSON schema as a table
- `value`: any value that JSON has
- `choice`, `choices`: one of the choices, or several by comma in order
"""

Narrowing = Literal["stays", "smaller", "larger", "stricter", "common", "joined", "added"]
"""What an inner run that sets it in code does to the outer run's value: nothing (`stays`), the smaller or
the larger figure counts, the stricter choice counts (choices stand strictest first), what both allow, what either of them
names (`joined`), or it counts only where the outer run has nothing of that name (`added`)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        key: The name, upper case, nested with `__`; `*` stands for the own name of an agent, tool,
            model, rule, group or window.
        kind: How its value is written, see `Kind`.
        default: The default as it is written; for a key with `*` what holds where it is not set.
        meaning: What it does, for the reference.
        example: A value as it is written in a variable.
        unit: The unit of a figure.
        optional: True where `none` is a value.
        limit: True where `none` lifts a limit.
        choices: What a `choice` may be, strictest first where it can be narrowed.
        later: Choices that this version does not have yet.
        least: The smallest figure that is accepted; a `positive` one must be above zero.
        below: The figure must be smaller than this.
        inherits: For a key with `*`, the key whose value holds where this is not set.
        narrowing: What an inner run may do to it.
        secret: True where the value is never shown, in no message and no list.
    """

    key: str
    kind: Kind
    default: str
    meaning: str
    example: str
    unit: str = ""
    optional: bool = False
    limit: bool = False
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    least: int = 0
    positive: bool = False
    below: int | None = None
    inherits: str = ""
    narrowing: Narrowing = "stays"
    secret: bool = False

    @property
    def named(self) -> bool:
        """True where part of the key is the name of an agent, tool, model, rule, group or window."""
        return "*" in self.key

    @property
    def variable(self) -> str:
        """The environment variable; keys with a name are given as JSON in the variable of their table."""
        return "MAS_GUARD_" + (self.key.split("__*")[0] if self.named else self.key)

    @property
    def dotted(self) -> str:
        """The key as files and code write it: `budget.usd`."""
        return self.key.lower().replace("__", ".").replace("*", "NAME")
