"""Reading one value as its setting wants it; what is no value is said in words that a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from mas_guard.config.setting import Setting

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_SECONDS = (86_400, 3_600, 60, 1, 0.001)
_TRUE, _FALSE = (
    frozenset({"true", "yes", "on", "1"}),
    frozenset({"false", "no", "off", "0"}),
)
UNLIMITED_REPEATS = 2**63 - 1
"""What `repeat = "none"` of a tool stands for."""


class NotAValueError(ValueError):
    """What was given is no value of the setting; the text says what is expected."""


class NotYetError(NotAValueError):
    """The value is part of the contract, and this version cannot do it yet."""

    def __init__(self, choice: str, choices: tuple[str, ...]) -> None:
        super().__init__(f"this version does not have {choice!r} yet; use {_listed(choices)}")


def read(setting: Setting, given: Any) -> Any:
    """Return *given* as a value of *setting*; `None` stands for `none`.

    Raises:
        NotAValueError: Where it is not one, with what is expected instead.
    """
    if isinstance(given, str):
        given = given.strip()
    if given is None or (isinstance(given, str) and given.lower() == "none"):
        if not setting.optional:
            raise NotAValueError("it cannot be none")
        return None
    if given == "" and setting.kind != "names":
        raise NotAValueError("it is empty" + ("; none lifts the limit" if setting.limit else ""))
    return _READERS[setting.kind](setting, given)


def _integer(setting: Setting, given: Any) -> int:
    if isinstance(given, bool):
        raise NotAValueError("it must be a whole number")
    if isinstance(given, str):
        digits = given.replace("_", "").replace(" ", "")
        if not re.fullmatch(r"[+-]?\d+", digits, re.ASCII):
            raise NotAValueError("it must be a whole number")
        given = int(digits)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if not isinstance(given, int):
        raise NotAValueError("it must be a whole number")
    _check_range(setting, given)
    return given


def _decimal(setting: Setting, given: Any) -> Decimal:
    wanted = "it must be an amount in USD"
    if isinstance(given, bool) or not isinstance(given, str | int | float | Decimal):
        raise NotAValueError(wanted)
    try:
        # A float is read as it is printed, so that 0.1 stays a tenth.
        amount = Decimal(str(given).replace("_", "").replace(" ", ""))
    except InvalidOperation:
        raise NotAValueError(wanted) from None
    if not amount.is_finite():
        raise NotAValueError(wanted + ", and not infinite")
    _check_range(setting, amount)
    return amount


def _price(setting: Setting, given: Any) -> Decimal | str:
    if setting.choices and isinstance(given, str) and given.lower() in setting.choices:
        return given.lower()
    try:
        return _decimal(setting, given)
    except NotAValueError as error:
        if setting.choices:
            raise NotAValueError(f"{error} per million tokens, or {' or '.join(setting.choices)}") from None
        raise NotAValueError(f"{error} per million tokens") from None


def _share(setting: Setting, given: Any) -> float:
    if isinstance(given, bool):
        raise NotAValueError("it must be a fraction between 0 and 1")
    try:
        share = float(given)
    except (TypeError, ValueError):
        raise NotAValueError("it must be a fraction between 0 and 1") from None
    if not 0 <= share <= 1 or (setting.below is not None and share >= setting.below):
        raise NotAValueError(f"it must be at least 0 and {'below' if setting.below == 1 else 'at most'} 1")
    return share


def _duration(setting: Setting, given: Any) -> float:
    wanted = "it must be a duration such as 90s, 10m, 1h30m or 7d, or a number of seconds"
    if isinstance(given, bool):
        raise NotAValueError(wanted)
    if isinstance(given, int | float):
        seconds = float(given)
    elif hasattr(given, "total_seconds"):
        seconds = float(given.total_seconds())
    elif isinstance(given, str):
        seconds = _seconds(given.replace(" ", "").replace("_", "").lower(), wanted)
    else:
        raise NotAValueError(wanted)
    if not seconds < float("inf"):
        raise NotAValueError(wanted)
    _check_range(setting, seconds)
    return seconds


def _seconds(text: str, wanted: str) -> float:
    if re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise NotAValueError(wanted)
    return float(sum(float(part) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True) if part))


def _boolean(setting: Setting, given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, str | int) and str(given).lower() in _TRUE | _FALSE:
        return str(given).lower() in _TRUE
    raise NotAValueError("it must be true or false")


def _text(setting: Setting, given: Any) -> str:
    if isinstance(given, str):
        return given
    path = getattr(given, "__fspath__", None)
    if path is not None:
        return str(path())
    raise NotAValueError("it must be text")


def _url(setting: Setting, given: Any) -> str:
    if isinstance(given, str) and re.match(r"[a-z][a-z0-9+.-]*:", given, re.IGNORECASE):
        return given
    raise NotAValueError("it must be an address that begins with a scheme, such as memory://")


def _contract(setting: Setting, given: Any) -> Any:
    wanted = "it must be module:Name, the path of a .json file, or a JSON schema as a table"
    if isinstance(given, Mapping) and given:
        return dict(given)
    if isinstance(given, str) and (given.endswith(".json") or re.fullmatch(r"[\w.]+:[\w.]+", given)):
        return given
    raise NotAValueError(wanted)


def _value(setting: Setting, given: Any) -> Any:
    return given


def _names(setting: Setting, given: Any) -> tuple[str, ...]:
    items: Iterable[Any]
    if isinstance(given, str):
        items = [part.strip() for part in given.split(",")]
    elif isinstance(given, list | tuple | set | frozenset):
        items = sorted(given, key=str) if isinstance(given, set | frozenset) else given
    else:
        raise NotAValueError("it must be a list of names")
    names = tuple(dict.fromkeys(item for item in items if item != ""))
    if not all(isinstance(name, str) for name in names):
        raise NotAValueError("it must be a list of names")
    return names


def _choice(setting: Setting, given: Any) -> str:
    choice = given.lower() if isinstance(given, str) else given
    if choice in setting.choices:
        return str(choice)
    if choice in setting.later:
        raise NotYetError(choice, setting.choices)
    raise NotAValueError(f"it must be {_listed(setting.choices)}")


def _choices(setting: Setting, given: Any) -> tuple[str, ...]:
    names = tuple(name.lower() for name in _names(setting, given))
    if not names:
        raise NotAValueError(f"it must name at least one of {_listed(setting.choices, 'and')}")
    for name in names:
        if name in setting.later:
            raise NotYetError(name, setting.choices)
        if name not in setting.choices:
            raise NotAValueError(f"{name!r} is none of {_listed(setting.choices, 'and')}")
    return names


def _check_range(setting: Setting, figure: float | Decimal) -> None:
    if setting.positive and not figure > 0:
        raise NotAValueError("it must be above zero" + ("; none lifts the limit" if setting.limit else ""))
    if figure < setting.least:
        raise NotAValueError(
            f"it must be at least {setting.least}" + ("; none lifts the limit" if setting.limit else "")
        )


def _listed(choices: tuple[str, ...], word: str = "or") -> str:
    if len(choices) < 2:
        return "".join(choices)
    return f"{', '.join(choices[:-1])} {word} {choices[-1]}"


_READERS = {
    "integer": _integer,
    "money": _decimal,
    "price": _price,
    "share": _share,
    "duration": _duration,
    "boolean": _boolean,
    "text": _text,
    "url": _url,
    "contract": _contract,
    "value": _value,
    "names": _names,
    "choice": _choice,
    "choices": _choices,
}
