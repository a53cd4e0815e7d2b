"""A user's own validator of results: a function with a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mas_guard.errors import ResultRejected
from mas_guard.hookspecs import hookimpl
from mas_guard.types import Envelope, Verdict

Check = Callable[..., Any]
Validator = TypeVar("Validator", bound=Check)


class ValidatorPlugin:
    """What a validator function becomes: a plugin that judges results."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.name = getattr(check, "__name__", "validator")

    @hookimpl
    def mas_guard_validate_result(self, envelope: Envelope, run: Any) -> Verdict | None:
        """Ask the function; a text, or False, rejects the result."""
        said = self.check(envelope, run)
        if said is None or said is True or isinstance(said, Verdict):
            return None if said is True else said
        if said is not False and not isinstance(said, str):
            raise TypeError(
                f"the validator {self.name} returned {said!r}; give a text, a truth value, a Verdict or None"
            )
        reason = said if isinstance(said, str) else f"the validator {self.name} said no"
        error = ResultRejected(
            f"Run {run.id}: the validator {self.name} rejected the result: {reason} Mend the app, or the validator.",
            problems=(reason,),
        )
        return Verdict("deny", "result", "stop", reason, stop=error, figures={"validator": self.name})
