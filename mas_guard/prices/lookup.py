"""What is known of a model: the settings first, then our own table, then `genai-prices` where it is installed."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from mas_guard.prices import published
from mas_guard.prices.facts import ModelFacts, Price, Tier
from mas_guard.prices.names import published_names, tuned_from
from mas_guard.prices.table import AS_OF, TABLE, Row
from mas_guard.types import NANO_USD_PER_USD

if TYPE_CHECKING:
    from mas_guard.config import ModelSettings, Policy

REMEMBERED = 1_000  # model names per policy; an app that makes names up must not fill the memory


def model_facts(name: str, policy: Policy) -> ModelFacts:
    """What is known of the model *name* under *policy*. Worked out once per name and policy.

    The price is `None` where nobody knows it; UNKNOWN_PRICE stands for it where that is a figure.
    """
    known: dict[str, ModelFacts] = policy.remembered.setdefault("model facts", {})
    facts = known.get(name)
    if facts is None:
        if len(known) >= REMEMBERED:
            known.clear()
        facts = known[name] = _with_unknown_price(_facts(name, policy, ()), policy)
    return facts


def _facts(name: str, policy: Policy, passed: tuple[str, ...]) -> ModelFacts:
    own, key = _settings_of(name, policy)
    if own is None:
        return _published_facts(name)
    base = own.base if own.base is not None and own.base not in (*passed, name) else None
    facts = _published_facts(name) if base is None else replace(_facts(base, policy, (*passed, name)), name=name)
    if own.max_output is not None:
        facts = replace(facts, max_output=own.max_output)
    if own.input_price is not None and own.output_price is not None:
        plain = _nano(own.input_price)
        cached = plain if own.cached_price is None else _nano(own.cached_price)
        price = Price(plain, _nano(own.output_price), cached, plain)
        facts = replace(facts, price=price, tiers=(), source=f"settings [models.{key!r}]")
    return facts


def _settings_of(name: str, policy: Policy) -> tuple[ModelSettings | None, str]:
    if not policy.models:
        return None, ""
    for candidate in (name, *published_names(name)):
        found = policy.models.get(candidate)
        if found is not None:
            return found, candidate
    return None, ""


def _published_facts(name: str) -> ModelFacts:
    for candidate in published_names(name):
        row = TABLE.get(candidate)
        if row is not None:
            return _from_row(name, candidate.removeprefix("ft:"), row)
    found = published.facts_of(name)
    tuned = tuned_from(name)
    if tuned:
        # Its price is its own and unknown so far; how much it may answer is its base's.
        base = _published_facts(tuned)
        return replace(
            found,
            base=base.base,
            max_output=base.max_output,
            context_window=base.context_window,
        )
    return found


def _from_row(name: str, base: str, row: Row) -> ModelFacts:
    tiers: tuple[Tier, ...] = ()
    if row.long is not None:
        tiers = (Tier(row.long[0], _price(*row.long[1:])),)
    price = _price(row.input, row.output, row.cached, row.written)
    return ModelFacts(
        name,
        base,
        row.max_output,
        row.context_window,
        price,
        tiers,
        f"own table as of {AS_OF}",
    )


def _price(plain: str, output: str, cached: str, written: str) -> Price:
    return Price(
        _nano(Decimal(plain)),
        _nano(Decimal(output)),
        _nano(Decimal(cached or plain)),
        _nano(Decimal(written or plain)),
    )


def _with_unknown_price(facts: ModelFacts, policy: Policy) -> ModelFacts:
    if facts.priced or policy.unknown_price == "block":
        return facts
    figure = _nano(policy.unknown_price)
    return replace(facts, price=Price(figure, figure, figure, figure), source="UNKNOWN_PRICE")


def _nano(usd_per_million: Decimal) -> int:
    return int((usd_per_million * NANO_USD_PER_USD).to_integral_value(ROUND_CEILING))
