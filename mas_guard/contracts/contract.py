"""What an agent declares of its output, and the version that a change of it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from mas_guard.contracts.canonical import canonical_json, fingerprint, resolved

FREE_TEXT: Mapping[str, Any] = {"type": "string"}
"""The schema of an agent that answers in words."""

NOT_DECLARED: Any = type("NotDeclared", (), {"__repr__": lambda self: "NOT_DECLARED"})()
"""Stands for "no failure output was declared", since `None` can be one."""


@dataclass(frozen=True)
class Contract:
    """An agent's declared output.

    Attributes:
        schema: The JSON schema of the output.
        failure_output: What the agent gives where it fails, `NOT_DECLARED` where nobody said.
        consumers: The agents that take this output, as far as they are known. Not part of the version.
        source: Where it was declared: `settings`, `app`, or `runs` where it was learned.
    """

    schema: Mapping[str, Any]
    failure_output: Any = NOT_DECLARED
    consumers: tuple[str, ...] = ()
    source: str = ""

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits, equal for contracts that ask for the same: titles, descriptions, the order of
        keys and the names of definitions do not count.
        """
        digest = fingerprint(self.schema)
        if self.failure_output is not NOT_DECLARED:
            digest = sha256((digest + canonical_json(self.failure_output)).encode("ascii")).hexdigest()
        return digest[:12]

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that every output has."""
        schema = resolved(self.schema, self.schema)
        return tuple(sorted(schema.get("required") or ())) if isinstance(schema, Mapping) else ()

    @property
    def is_text(self) -> bool:
        """True where the agent answers in words and nothing more is promised."""
        return self.version == Contract(FREE_TEXT, self.failure_output).version
