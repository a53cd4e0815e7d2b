"""Requests as what the guard needs of them: the model, an upper bound of the input, the app's own cap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mas_guard.adapter import ModelCall, Run, current_step, exact_counter, input_bound
from mas_guard.prices import PER_MEDIA, PER_MESSAGE, held_history, model_facts, visible
from mas_guard_openai._kinds import COMPLETIONS, EMBEDDINGS, Kind

LEGACY_OUTPUT = 16  # tokens; what the legacy completions endpoint answers with at most, unless told otherwise


def model_call(run: Run, kind: Kind, body: Mapping[str, Any]) -> ModelCall:
    """Translate one request."""
    name = str(body.get("model") or "unknown")
    seen, media, tokens = visible({key: body[key] for key in kind.input_keys if body.get(key)})
    text = json.dumps(seen, ensure_ascii=False, default=_plain) if seen else ""
    beside = _messages(kind, body) * PER_MESSAGE + media * PER_MEDIA + tokens
    unseen = held_history.unseen_tokens(body, model_facts(name, run.policy).context_window)
    if media or unseen:
        run.note(
            "part of the input of at least one call is not visible here (media, hosted tools, history that the "
            "provider keeps) and was held at an estimate"
        )

    def count_exactly() -> int | None:
        count = exact_counter(name)
        return None if count is None else count(text) + beside + unseen

    step = current_step.get()
    return ModelCall(
        name,
        step.agent if step is not None and step.run is run else "",
        input_bound=input_bound(text) + beside + unseen,
        max_output=own_cap(kind, body),
        choices=_choices(kind, body),
        last_message=_last_text(kind, body),
        count_exactly=count_exactly,
        unseen_input=bool(media or unseen),
    )


def unreadable_call(body: Mapping[str, Any]) -> ModelCall:
    """A request of an unexpected shape: counted, and stopped once the run is."""
    return ModelCall(str(body.get("model") or "unknown"), input_bound=len(repr(body)), unseen_input=True)


def own_cap(kind: Kind, body: Mapping[str, Any]) -> int | None:
    """The app's own cap on the output, in tokens."""
    if kind is EMBEDDINGS:
        return 0
    for key in kind.cap_keys:
        value = body.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return LEGACY_OUTPUT if kind is COMPLETIONS else None


def _choices(kind: Kind, body: Mapping[str, Any]) -> int:
    asked = [body.get("n"), body.get("best_of") if kind is COMPLETIONS else None]
    choices = max([1, *(number for number in asked if isinstance(number, int))])
    prompts = body.get("prompt")
    many = kind is COMPLETIONS and isinstance(prompts, list) and not all(isinstance(part, int) for part in prompts)
    return choices * max(1, len(prompts)) if many and isinstance(prompts, list) else choices


def _messages(kind: Kind, body: Mapping[str, Any]) -> int:
    entries = body.get("messages") or body.get("input") or body.get("prompt")
    if kind is EMBEDDINGS or not isinstance(entries, list | tuple):
        return 1
    return 1 + len(entries)


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def _last_text(kind: Kind, body: Mapping[str, Any]) -> str:
    entries = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if kind is EMBEDDINGS or isinstance(entries, str):
        return entries if isinstance(entries, str) else ""
    last = entries[-1] if isinstance(entries, list | tuple) and entries else ""
    return text_of(last.get("content") or last.get("output")) if isinstance(last, Mapping) else str(last)


def text_of(content: Any) -> str:
    """The readable text of a message's content."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = (part.get("text") or part.get("refusal") for part in content if isinstance(part, Mapping))
    return "".join(text for text in texts if isinstance(text, str))
