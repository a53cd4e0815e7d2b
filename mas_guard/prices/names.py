"""From the name that an app gives a model to the published one.

Only what names are known to carry is taken off: a provider, a region, a date, a revision. A name that merely begins
like a published one (`gpt-4o-prod`, `gpt-4o-audio-preview`) is a different model until somebody says otherwise.
"""

from __future__ import annotations

import re

_PROVIDERS = frozenset(
    [
        "anthropic",
        "azure",
        "azure_ai",
        "azure_openai",
        "bedrock",
        "bedrock_converse",
        "cohere",
        "deepseek",
        "google",
        "google_anthropic_vertex",
        "google_genai",
        "google_vertexai",
        "groq",
        "litellm",
        "mistral",
        "mistralai",
        "models",
        "openai",
        "openrouter",
        "vertex_ai",
        "vertexai",
        "xai",
    ]
)
_BEDROCK_REGION = re.compile(r"^(?:us|us-gov|eu|apac|jp|au|ca|sa|global)\.(?=[a-z0-9]+\.)")
_BEDROCK_VENDOR = re.compile(r"^(?:anthropic|meta|mistral|deepseek|openai|amazon|cohere)\.")
_BEDROCK_REVISION = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$|(?<=\d):\d+$")
_SUFFIXES = (
    re.compile(r"[-@]\d{4}-\d{2}-\d{2}$"),  # OpenAI: gpt-4o-2024-08-06
    re.compile(r"[-@]20\d{6}$"),  # Anthropic: claude-sonnet-4-20250514
    re.compile(r"(?<=gemini).*?(-\d{3})$"),  # Google: gemini-2.0-flash-001
    re.compile(r"-latest$"),
)
_SAME = {"gpt-35-turbo": "gpt-3.5-turbo"}  # Azure takes no dots in names


def published_names(name: str) -> tuple[str, ...]:
    """The names under which *name* may be published, the most exact first; lower case.

    A fine-tuned model is priced under its own heading (`ft:gpt-4o-mini`), so its base is not among them: see
    `tuned_from`.
    """
    text = name.strip().lower()
    found: dict[str, None] = {}
    if text.startswith("ft:"):
        tuned = text.split(":")[1]
        for candidate in _undated(tuned):
            found["ft:" + candidate] = None
        return tuple(found)
    for variant in _without_provider(text):
        for candidate in _undated(variant):
            found[_SAME.get(candidate, candidate)] = None
    return tuple(found)


def tuned_from(name: str) -> str:
    """The model that a fine-tuned one was made of: its output limit holds; empty for other names."""
    text = name.strip().lower()
    return text.split(":")[1] if text.startswith("ft:") else ""


def provider_of(name: str) -> tuple[str, str]:
    """The host that *name* begins with and the rest, `("groq", "llama-...")`; the host is empty where none is named."""
    host, slash, rest = name.strip().lower().partition("/")
    return (host, rest) if slash else ("", host)


def _without_provider(text: str) -> list[str]:
    """*text* as it is, and then with what stands before the model's own name taken off step by step."""
    variants = [text]
    prefix, colon, rest = text.partition(":")
    if colon and prefix in _PROVIDERS:
        text = rest
        variants.append(text)
    if "/" in text:
        text = text.rsplit("/", 1)[1]
        variants.append(text)
    bare = _BEDROCK_VENDOR.sub("", _BEDROCK_REGION.sub("", text))
    if bare != text:
        variants.append(bare)
        text = _BEDROCK_REVISION.sub("", bare)
        variants.append(text)
    if text.startswith("claude"):
        variants.append(text.replace(".", "-").split(":")[0])  # OpenRouter writes claude-sonnet-4.5
    return variants


def _undated(text: str) -> list[str]:
    """*text*, and what is left when its date or revision is taken off."""
    found = [text]
    for suffix in _SUFFIXES:
        match = suffix.search(text)
        if match is not None:
            start = match.start(1) if match.re.groups else match.start()
            found.append(text[:start])
    return found
