"""What the guard changes in a request: the output cap where it binds, and no tool in the owner's concluding turn.

Each provider's class builds its request in a method of its own; what it built is changed there, once, before it is sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mas_guard_crewai._sent import Sent, current_sent

Make = Callable[..., Any]

BUILDERS = (
    "_prepare_completion_params",
    "_prepare_responses_params",
    "_prepare_generation_config",
    "_get_inference_config",
)
NEWER = ("o1", "o3", "o4", "gpt-5")  # models that refuse `max_tokens`


def make_builder(original: Make) -> Make:
    """Wrap one of a provider's builders."""

    @functools.wraps(original)
    def build(self: Any, *arguments: Any, **keywords: Any) -> Any:
        built = original(self, *arguments, **keywords)
        sent = current_sent.get()
        if sent is None or (sent.call.output_cap is None and not sent.call.concluding):
            return built
        try:
            return _changed(self, sent, original.__name__, built)
        except Exception as error:
            sent.run.engine.plugins.errors.report("Changing a request of a CrewAI model", error)
            return built

    return build


def _changed(llm: Any, sent: Sent, builder: str, built: Any) -> Any:
    cap = sent.call.output_cap
    if builder == "_prepare_generation_config":  # Gemini's own type
        if cap is not None:
            built.max_output_tokens = cap
        return built
    if cap is not None:
        built[_cap_key(llm, builder, built)] = cap
    if sent.call.concluding and built.get("tools"):
        anthropic = "anthropic" in type(llm).__module__
        built["tool_choice"] = {"type": "none"} if anthropic else "none"
    return built


def _cap_key(llm: Any, builder: str, built: dict[str, Any]) -> str:
    if builder == "_get_inference_config":
        return "maxTokens"
    if builder == "_prepare_responses_params":
        return "max_output_tokens"
    for key in ("max_completion_tokens", "max_tokens"):
        if key in built:
            return key
    model = str(getattr(llm, "model", "")).rsplit("/", 1)[-1]
    openai = "openai" in type(llm).__module__ or "azure" in type(llm).__module__
    return "max_completion_tokens" if openai and model.startswith(NEWER) else "max_tokens"
