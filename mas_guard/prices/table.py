"""List prices and output limits of the main models: what is known without any other package.

As of AS_OF, standard tier, in USD per million tokens: what the authors knew of the providers' lists, held against the
prices that genai-prices publishes, and not read off the providers' pages anew. Discounts (batch, flex)
and surcharges (priority, data residency) are not in it. A name whose price has moved (DeepSeek's and Mistral's
`-latest`) carries the dearest that was published for it. `None` as the largest output means that the author did not
know it for certain: UNKNOWN_MAX_OUTPUT stands for it then. Correct any line with `[models.NAME]` in the settings.
"""

from __future__ import annotations

from typing import NamedTuple

AS_OF = "2026-11-21"


class Row(NamedTuple):
    """One line of the list; prices are decimal strings in USD per million tokens.

    Attributes:
        input: Uncached input.
        output: Output.
        cached: Input read from the cache; empty is the price of input.
        written: Input written to the cache at its dearest; empty is the price of input.
        max_output: Tokens.
        context_window: Tokens.
        long: (more than this many input tokens, and then the price of input, output, cached, written).
    """

    input: str
    output: str
    cached: str = ""
    written: str = ""
    max_output: int | None = None
    context_window: int | None = None
    long: tuple[int, str, str, str, str] | None = None


def _row(
    prices: str,
    max_output: int | None = None,
    context_window: int | None = None,
    long: tuple[int, str] | None = None,
) -> Row:
    """A row of prices written "input/output/cached/written", of which the last two may be left out."""
    above = None if long is None else (long[0], *_four(long[1]))
    return Row(*_four(prices), max_output, context_window, above)


def _four(prices: str) -> tuple[str, str, str, str]:
    plain, output, cached, written = [*prices.split("/"), "", ""][:4]
    return plain, output, cached, written


TABLE: dict[str, Row] = {
    # OpenAI
    "gpt-3.5-turbo": _row("0.50/1.50", 4_096, 16_385),
    "gpt-4": _row("30/60", 8_192, 8_192),
    "gpt-4-turbo": _row("10/30", 4_096, 128_000),
    "gpt-4o": _row("2.50/10/1.25", 16_384, 128_000),
    "gpt-4o-2024-05-13": _row("5/15", 4_096, 128_000),
    "chatgpt-4o": _row("5/15", 16_384, 128_000),
    "gpt-4o-mini": _row("0.15/0.60/0.075", 16_384, 128_000),
    "gpt-4.1": _row("2/8/0.50", 32_768, 1_047_576),
    "gpt-4.1-mini": _row("0.40/1.60/0.10", 32_768, 1_047_576),
    "gpt-4.1-nano": _row("0.10/0.40/0.025", 32_768, 1_047_576),
    "o1": _row("15/60/7.50", 100_000, 200_000),
    "o1-pro": _row("150/600", 100_000, 200_000),
    "o1-mini": _row("1.10/4.40/0.55", 65_536, 128_000),
    "o3": _row("2/8/0.50", 100_000, 200_000),
    "o3-pro": _row("20/80", 100_000, 200_000),
    "o3-mini": _row("1.10/4.40/0.55", 100_000, 200_000),
    "o4-mini": _row("1.10/4.40/0.275", 100_000, 200_000),
    "gpt-5": _row("1.25/10/0.125", 128_000, 400_000),
    "gpt-5-chat": _row("1.25/10/0.125", 16_384, 128_000),
    "gpt-5-codex": _row("1.25/10/0.125", 128_000, 400_000),
    "gpt-5-pro": _row("15/120", 272_000, 400_000),
    "gpt-5-mini": _row("0.25/2/0.025", 128_000, 400_000),
    "gpt-5-nano": _row("0.05/0.40/0.005", 128_000, 400_000),
    "gpt-5.1": _row("1.25/10/0.125", 128_000, 400_000),
    "gpt-5.1-codex": _row("1.25/10/0.125", 128_000, 400_000),
    "gpt-5.2": _row("1.75/14/0.175", 128_000, 400_000),
    "gpt-5.2-pro": _row("21/168", 128_000, 400_000),
    "gpt-5.4": _row("2.50/15/0.25", None, 1_050_000, (272_000, "5/22.50/0.50")),
    "gpt-5.4-mini": _row("0.75/4.50/0.075", None, 400_000),
    "gpt-5.4-nano": _row("0.20/1.25/0.02", None, 400_000),
    "gpt-5.5": _row("5/30/0.50", None, 1_000_000, (272_000, "10/45/1")),
    "gpt-6-sol": _row("2/10/0.20/2.50", None, 1_050_000, (272_000, "4/15/0.40/5")),
    "gpt-6-luna": _row("0.10/0.50/0.01/0.125", None, 1_050_000, (272_000, "0.20/0.75/0.02/0.25")),
    # OpenAI, fine-tuned: a heading of its own in the list, dearer than the base
    "ft:gpt-3.5-turbo": _row("3/6", 4_096, 16_385),
    "ft:gpt-4o": _row("3.75/15/1.875", 16_384, 128_000),
    "ft:gpt-4o-mini": _row("0.30/1.20/0.15", 16_384, 128_000),
    "ft:gpt-4.1": _row("3/12/0.75", 32_768, 1_047_576),
    "ft:gpt-4.1-mini": _row("0.80/3.20/0.20", 32_768, 1_047_576),
    "ft:gpt-4.1-nano": _row("0.20/0.80/0.05", 32_768, 1_047_576),
    # Anthropic; written to the cache for an hour
    "claude-3-haiku": _row("0.25/1.25/0.03/0.50", 4_096, 200_000),
    "claude-3-sonnet": _row("3/15/0.30/6", 4_096, 200_000),
    "claude-3-opus": _row("15/75/1.50/30", 4_096, 200_000),
    "claude-3-5-haiku": _row("0.80/4/0.08/1.60", 8_192, 200_000),
    "claude-3-5-sonnet": _row("3/15/0.30/6", 8_192, 200_000),
    "claude-3-7-sonnet": _row("3/15/0.30/6", 64_000, 200_000),
    "claude-sonnet-4": _row("3/15/0.30/6", 64_000, 1_000_000, (200_000, "6/22.50/0.60/12")),
    "claude-sonnet-4-5": _row("3/15/0.30/6", 64_000, 1_000_000, (200_000, "6/22.50/0.60/12")),
    "claude-sonnet-4-6": _row("3/15/0.30/6", 64_000, 1_000_000),
    "claude-sonnet-5": _row("2/10/0.20/4", None, 1_000_000),
    "claude-opus-4": _row("15/75/1.50/30", 32_000, 200_000),
    "claude-opus-4-1": _row("15/75/1.50/30", 32_000, 200_000),
    "claude-opus-4-5": _row("5/25/0.50/10", 64_000, 200_000),
    "claude-opus-4-6": _row("5/25/0.50/10", 128_000, 1_000_000),
    "claude-opus-5": _row("5/25/0.50/10", None, 1_000_000),
    "claude-haiku-4-5": _row("1/5/0.10/2", 64_000, 200_000),
    # Google; one token less than the largest output of AI Studio, which Vertex AI refuses
    "gemini-1.5-pro": _row("1.25/5/0.3125", 8_192, 2_097_152, (128_000, "2.50/10/0.625")),
    "gemini-1.5-flash": _row("0.075/0.30/0.01875", 8_192, 1_048_576, (128_000, "0.15/0.60/0.0375")),
    "gemini-2.0-flash": _row("0.10/0.40/0.025", 8_192, 1_048_576),
    "gemini-2.0-flash-lite": _row("0.075/0.30", 8_192, 1_048_576),
    "gemini-2.5-pro": _row("1.25/10/0.125", 65_535, 1_048_576, (200_000, "2.50/15/0.25")),
    "gemini-2.5-flash": _row("0.30/2.50/0.03", 65_535, 1_048_576),
    "gemini-2.5-flash-lite": _row("0.10/0.40/0.01", 65_535, 1_048_576),
    "gemini-3-pro-preview": _row("2/12/0.20", 65_535, 1_048_576, (200_000, "4/18/0.40")),
    "gemini-3-flash-preview": _row("0.50/3/0.05", 65_535, 1_048_576),
    # Mistral publishes no largest output
    "mistral-large": _row("2/6"),
    "mistral-large-2411": _row("2/6"),
    "mistral-large-2512": _row("0.50/1.50/0.05", None, 262_144),
    "mistral-medium": _row("1.50/7.50/0.15"),
    "mistral-small": _row("0.15/0.60/0.015"),
    "codestral": _row("0.30/0.90"),
    "magistral-medium": _row("2/5"),
    "magistral-small": _row("0.50/1.50"),
    "ministral-8b": _row("0.15/0.15/0.015"),
    "open-mistral-nemo": _row("0.15/0.15"),
    # DeepSeek
    "deepseek-chat": _row("0.28/1.10/0.07", 8_192, 128_000),
    "deepseek-reasoner": _row("0.55/2.19/0.14", 65_536, 128_000),
    # xAI
    "grok-3": _row("3/15/0.75", None, 131_072),
    "grok-3-mini": _row("0.30/0.50/0.075", None, 131_072),
    # Llama: open weights, so the price is the host's; these names are Groq's own
    "llama-3.3-70b-versatile": _row("0.59/0.79", 32_768, 131_072),
    "llama-3.1-8b-instant": _row("0.05/0.08", 131_072, 131_072),
    "llama-4-scout-17b-16e-instruct": _row("0.11/0.34", 8_192, 131_072),
}

TABLE["claude-sonnet-4-0"] = TABLE["claude-sonnet-4"]
TABLE["claude-opus-4-0"] = TABLE["claude-opus-4"]
