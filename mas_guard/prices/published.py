"""Prices from the package `genai-prices`, where it is installed: public API only, no updates over the network.

Importing it takes about a second, so that happens at the first model that our own table does not have. It knows no
output limits.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from mas_guard.prices.facts import ModelFacts, Price, Tier
from mas_guard.prices.names import provider_of, published_names
from mas_guard.types import NANO_USD_PER_USD

logger = logging.getLogger("mas_guard")

_INPUT_CLASSES = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
)


def facts_of(name: str) -> ModelFacts:
    """What `genai-prices` knows of the model *name*; nothing is priced where it is not installed or does not know."""
    try:
        genai_prices = importlib.import_module("genai_prices")
    except ImportError:
        return ModelFacts(name)
    try:
        found = _lookup(genai_prices, name)
        if found is None:
            return ModelFacts(name)
        return _facts(name, found, f"genai-prices {genai_prices.__version__}")
    except Exception as error:
        logger.warning(
            "genai-prices could not be asked about the model %r (%s: %s); its price is unknown. "
            'Add [models."%s"] to mas-guard.toml, or update genai-prices.',
            name,
            type(error).__name__,
            error,
            name,
        )
        return ModelFacts(name)


def _lookup(genai_prices: Any, name: str) -> list[Any] | None:
    """The calculations of one token at every hour of the next day: some prices depend on the time of day."""
    for reference, provider in _references(name):
        try:
            now = datetime.now(UTC)
            usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
            return [
                genai_prices.calc_price(
                    usage,
                    reference,
                    provider_id=provider,
                    genai_request_timestamp=now + timedelta(hours=hour),
                )
                for hour in range(24)
            ]
        except LookupError:
            continue
    return None


def _references(name: str) -> Iterator[tuple[str, str | None]]:
    host, rest = provider_of(name)
    if host and rest:
        yield rest, host
    for candidate in published_names(name):
        yield candidate, None


def _facts(name: str, calculations: list[Any], source: str) -> ModelFacts:
    model = calculations[0].model
    lists = [calculation.model_price for calculation in calculations]
    starts = sorted({tier.start for prices in lists for value in _values(prices) for tier in _tiers(value)})
    standard = _price(lists, 0)
    if standard is None:
        return ModelFacts(name, base=str(model.id), context_window=model.context_window)
    tiers = tuple(Tier(start, price) for start in starts if (price := _price(lists, start + 1)) is not None)
    return ModelFacts(name, str(model.id), None, model.context_window, standard, tiers, source)


def _price(lists: list[Any], input_tokens: int) -> Price | None:
    plain, output = (_dearest(lists, (part,), input_tokens) for part in ("input_mtok", "output_mtok"))
    if plain is None or output is None or not (plain or output):
        return None  # a missing half, or zero for both, is no price that a limit may rest on
    cached = _dearest(lists, ("cache_read_mtok",), input_tokens)
    written = _dearest(lists, _INPUT_CLASSES, input_tokens)
    return Price(
        plain,
        output,
        plain if cached is None else cached,
        plain if written is None else written,
    )


def _dearest(lists: list[Any], parts: tuple[str, ...], input_tokens: int) -> int | None:
    found = [
        _at(value, input_tokens)
        for prices in lists
        for part in parts
        if (value := getattr(prices, part, None)) is not None
    ]
    return None if not found else int((max(found) * NANO_USD_PER_USD).to_integral_value(ROUND_CEILING))


def _at(value: Any, input_tokens: int) -> Decimal:
    price = getattr(value, "base", value)
    for tier in _tiers(value):
        if input_tokens > tier.start:
            price = tier.price
    return Decimal(price)


def _values(prices: Any) -> Iterator[Any]:
    for part in (*_INPUT_CLASSES, "output_mtok"):
        value = getattr(prices, part, None)
        if value is not None:
            yield value


def _tiers(value: Any) -> list[Any]:
    return sorted(getattr(value, "tiers", ()), key=lambda tier: tier.start)
