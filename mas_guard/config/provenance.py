"""Where a value comes from, and what it beat."""

from __future__ import annotations

from typing import Any, NamedTuple


class Provenance(NamedTuple):
    """The word of `config explain`.

    Attributes:
        value: The value in force, as it is written in a variable.
        source: Where it was given: `code`, `command line`, `environment variable ...`, `file ...`, `default`.
        beaten: What other sources gave, as (source, value), the strongest first.
    """

    value: Any
    source: str
    beaten: tuple[tuple[str, Any], ...] = ()
