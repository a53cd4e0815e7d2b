"""A model call of the SDK as what the guard needs of it, and the changes that the guard makes, always in copies."""

from __future__ import annotations

import copy
from typing import Any

from mas_guard.adapter import ModelCall, Usage, exact_counter, repair_request
from mas_guard.prices import held_history, model_facts
from mas_guard_openai_agents._frame import Frame
from mas_guard_openai_agents._text import text_of

NAMES = ("system_instructions", "input", "model_settings", "tools", "output_schema", "handoffs", "tracing")
CAP_KEYS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


class Request:
    """The arguments of `Model.get_response` or `stream_response`, by name.

    Attributes:
        owed: Answers that go out with it because an earlier request of the conversation was not sent.
        answered: The calls that the provider waited for before it took this request.
    """

    __slots__ = ("answered", "arguments", "owed")

    def __init__(self, positional: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.arguments = {**dict(zip(NAMES, positional, strict=False)), **keywords} if positional else keywords
        self.owed: list[Any] = []
        self.answered: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    @property
    def history(self) -> str:
        """The conversation, or the reply, whose history the provider keeps for it; empty for none."""
        return str(self["conversation_id"] or self["previous_response_id"] or "")

    @property
    def held_by_provider(self) -> bool:
        """True where the provider keeps the history."""
        return bool(self["previous_response_id"] or self["conversation_id"])

    def unseen_tokens(self, context_window: int | None) -> int:
        """The tokens to hold for input that is not in the request; 0 where all of it is."""
        if not self.held_by_provider and self["prompt"] is None:
            if all(type(tool).__name__ == "FunctionTool" for tool in self["tools"] or ()):
                return 0
        return held_history.unseen_tokens(self.as_body(), context_window)

    def remember(self, reply_id: str, usage: Usage) -> None:
        """Note how much the provider keeps after the reply."""
        if reply_id or self["conversation_id"]:
            held_history.remember({"conversation": self["conversation_id"]}, reply_id, usage)

    def as_body(self) -> dict[str, Any]:
        """What tells how much of the input is not here."""
        hosted = [tool for tool in self["tools"] or () if type(tool).__name__ != "FunctionTool"]
        return {
            "previous_response_id": self["previous_response_id"],
            "conversation": self["conversation_id"],
            "prompt": {} if self["prompt"] is not None else None,
            "input": self["input"] if self.held_by_provider else None,
            "tools": [{"type": type(tool).__name__} for tool in hosted],
        }

    def call(self, frame: Frame, model: Any) -> ModelCall:
        """Translate it."""
        run, settings = frame.run, self["model_settings"]
        name = model_name(model)
        if self.owed:
            self.arguments["input"] = [*self.owed, *as_items(self["input"])]
        tools = [*(self["tools"] or ()), *(self["handoffs"] or ())]
        bound = frame.estimate.bound(self["system_instructions"], self["input"], tools, self["output_schema"])
        media = frame.estimate.media
        unseen = self.unseen_tokens(model_facts(name, run.policy).context_window)
        if media or unseen:
            run.note(
                "part of the input of at least one call is not visible here (media, hosted tools, history that the "
                "provider keeps) and was held at an estimate"
            )
        return ModelCall(
            name,
            frame.scope.agent if frame.scope is not None else "",
            input_bound=bound + unseen,
            max_output=own_cap(settings),
            last_message=last_text(self["input"]),
            count_exactly=lambda: self._count(name, tools, unseen, media),
            unseen_input=bool(media or unseen),
            # What a provider keeps cannot be taken off again.
            takes_envelope=is_plain_text(self["output_schema"]) and not (self.held_by_provider or frame.chains),
        )

    def repair(self, call: ModelCall) -> dict[str, Any] | None:
        """The arguments that ask for *call*'s envelope once more; `None` where the provider would keep that."""
        if self.held_by_provider or call.said is None:
            return None
        items = [*as_items(self["input"]), {"role": "assistant", "content": call.said.text}]
        items.append({"role": "user", "content": repair_request(call.said.problems)})
        settings = copy.copy(self["model_settings"])
        if self["tools"] or self["handoffs"]:
            settings.tool_choice = "none"
        return {**self.arguments, "input": items, "model_settings": settings}

    def _count(self, name: str, tools: list[Any], unseen: int, media: int) -> int | None:
        from mas_guard_openai_agents._estimate import Estimate

        count = exact_counter(name)
        if count is None:
            return None
        return Estimate(count).bound(self["system_instructions"], self["input"], tools, self["output_schema"]) + unseen

    def changed(self, call: ModelCall, *, chained: bool) -> dict[str, Any]:
        """The arguments to send: as the app gave them, but for the guard's notes, cap, and tool choice. *chained* is
        True where the reply begins a history that the provider keeps."""
        if not (call.notes or call.concluding or call.output_cap is not None):
            return self.arguments
        changed = dict(self.arguments)
        if call.notes:
            if chained or self.held_by_provider:
                # What stands in the input would stay in the history that the provider keeps.
                given = self["system_instructions"]
                changed["system_instructions"] = "\n\n".join([*filter(None, [given]), *call.notes])
            else:
                # User messages: several providers refuse a system message anywhere but first.
                notes = [{"role": "user", "content": note} for note in call.notes]
                changed["input"] = [*as_items(self["input"]), *notes]
        settings = copy.copy(self["model_settings"])
        if call.concluding and (self["tools"] or self["handoffs"]):
            settings.tool_choice = "none"
        if call.output_cap is not None:
            cap_output(settings, call.output_cap)
        changed["model_settings"] = settings
        return changed


def model_name(model: Any) -> str:
    """The model's name as its provider knows it, else the name of its class."""
    name = getattr(model, "model", None)
    return name if isinstance(name, str) and name else type(model).__name__


def is_plain_text(schema: Any) -> bool:
    """True where the answer is text, not a declared type."""
    if schema is None:
        return True
    try:
        return bool(schema.is_plain_text())
    except Exception:  # a schema of the app's own kind
        return False


def as_items(given: Any) -> list[Any]:
    """The input as a list of items."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())


def own_cap(settings: Any) -> int | None:
    """The app's own cap on the output, in tokens."""
    found = [settings.max_tokens]
    for extra in (settings.extra_args, settings.extra_body):
        if isinstance(extra, dict):
            found += [extra.get(key) for key in CAP_KEYS]
    caps = [cap for cap in found if isinstance(cap, int) and not isinstance(cap, bool) and cap > 0]
    return max(caps) if caps else None


def cap_output(settings: Any, cap: int) -> None:
    """Cap *settings*, a copy, wherever the app has put its own cap."""
    placed = False
    for field in ("extra_args", "extra_body"):
        extra = getattr(settings, field, None)
        if isinstance(extra, dict) and any(key in extra for key in CAP_KEYS):
            setattr(settings, field, {key: cap if key in CAP_KEYS else value for key, value in extra.items()})
            placed = True
    if not placed or settings.max_tokens is not None:
        settings.max_tokens = cap


def last_text(given: Any) -> str:
    """The text of the message that is answered, for telling repeats."""
    if isinstance(given, str):
        return given
    last = given[-1] if given else None
    if not isinstance(last, dict):
        return str(last) if last is not None else ""
    return text_of(last.get("content") if last.get("content") is not None else last.get("output"))
