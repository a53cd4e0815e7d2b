"""What is known of a model, and what calls of it cost. Money is in whole nano-USD, always rounded up.

Prices are kept in nano-USD per million tokens: a list price such as 0.075 USD per million is then a whole number, and
nothing is rounded before the sum is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mas_guard.types import Usage

MILLION = 1_000_000


class Price(NamedTuple):
    """The price classes of a model, in nano-USD per million tokens.

    Attributes:
        input: Input tokens that the provider had not cached.
        output: Output tokens, reasoning included.
        cached: Input tokens read from the provider's cache.
        written: Input tokens written to the provider's cache, at the longest lifetime it sells.
    """

    input: int
    output: int
    cached: int
    written: int

    @property
    def dearest_input(self) -> int:
        """The price of an input token whose class is not known yet."""
        return max(self.input, self.cached, self.written)


class Tier(NamedTuple):
    """The price of the whole call once its input has more than `above` tokens."""

    above: int
    price: Price


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model.

    Attributes:
        name: The name as the app gives it.
        base: The published model behind it; empty where none is known.
        max_output: The largest output that the provider grants, in tokens; `None` is unknown.
        context_window: The largest input and output together, in tokens; `None` is unknown.
        price: The price, or `None` where it is unknown: never zero in its place.
        tiers: Other prices from a size of input on, smallest first.
        source: Where the price comes from.
    """

    name: str
    base: str = ""
    max_output: int | None = None
    context_window: int | None = None
    price: Price | None = None
    tiers: tuple[Tier, ...] = ()
    source: str = "unknown"

    @property
    def priced(self) -> bool:
        """True where the price is known."""
        return self.price is not None

    @cached_property
    def per_output_nano(self) -> int:
        """The most that one output token can cost, in nano-USD, whatever the size of the input.

        Raises:
            LookupError: Where the price is unknown.
        """
        return _rounded_up(max(price.output for price in self._prices()))

    def input_cost(self, tokens: int) -> int:
        """The most that *tokens* of input can cost, in nano-USD.

        Every price class counts that such a call can come to: with the cache or without, and of the tiers those
        that up to *tokens* can reach.

        Raises:
            LookupError: Where the price is unknown.
        """
        return _rounded_up(tokens * max(price.dearest_input for price in self._prices(tokens)))

    def price_at(self, input_tokens: int) -> Price:
        """The price of a call with this many input tokens.

        Raises:
            LookupError: Where the price is unknown.
        """
        return self._prices(input_tokens)[-1]

    def _prices(self, input_tokens: int | None = None) -> list[Price]:
        if self.price is None:
            raise LookupError(
                f'The price of model {self.name!r} is unknown: add [models."{self.name}"] input_price and '
                "output_price (USD per million tokens) to mas-guard.toml."
            )
        reached = (tier.price for tier in self.tiers if input_tokens is None or input_tokens > tier.above)
        return [self.price, *reached]


def cost(facts: ModelFacts, usage: Usage, *, written_tokens: int = 0) -> int | None:
    """What *usage* costs at list price, in nano-USD, rounded up; `None` where usage or price is unknown.

    Args:
        facts: What is known of the model.
        usage: What the provider says; where the reply itself names its cost, that counts.
        written_tokens: The part of the input that was written to the provider's cache.
    """
    if usage.cost_nano_usd is not None:
        return usage.cost_nano_usd
    if facts.price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    price = facts.price_at(usage.input_tokens)
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(written_tokens, usage.input_tokens - cached)
    plain = usage.input_tokens - cached - written
    return _rounded_up(
        plain * price.input + cached * price.cached + written * price.written + usage.output_tokens * price.output
    )


def worst_cost(facts: ModelFacts, input_tokens: int, output_tokens: int) -> int | None:
    """The most that a call of at most this size can cost, in nano-USD; `None` where the price is unknown."""
    if facts.price is None:
        return None
    return facts.input_cost(input_tokens) + output_tokens * facts.per_output_nano


def _rounded_up(nano_usd_millionths: int) -> int:
    return -(-nano_usd_millionths // MILLION)
