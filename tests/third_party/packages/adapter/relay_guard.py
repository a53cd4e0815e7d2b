"""An adapter as somebody else would write it: the four crossings of the Relay framework, by public names alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mas_guard.adapter import (
    Adapter,
    Answer,
    CallOutcome,
    Handoff,
    ModelCall,
    Patch,
    PatchSet,
    Step,
    StepScope,
    Usage,
    current_run,
    current_step,
    drive,
    guard_call,
    guard_handoff,
    guard_step,
    hookimpl,
    input_bound,
    run_flow,
)


class RelayAdapter(Adapter):
    """Guards `relay.Relay`."""

    name = "relay"
    target = "relay"
    supports = ">=2,<3"
    module = "relay"

    def __init__(self) -> None:
        self._wrapped: dict[int, tuple[Any, Any]] = {}
        self._patches = PatchSet(
            "relay",
            (
                Patch("relay", "Relay.run", self._run),
                Patch("relay", "Relay.act", self._act),
                Patch("relay", "Relay.pass_on", self._pass_on),
                Patch("relay", "complete", self._complete),
            ),
        )
        self._guard: Any = None

    def can_wrap(self, app: Any) -> bool:
        return type(app).__name__ == "Relay"

    def arm(self, guard: Any) -> None:
        self._guard = guard
        self._patches.apply()

    def disarm(self) -> list[str]:
        self._wrapped.clear()
        return self._patches.remove()

    def wrap(self, app: Any, guard: Any, policy: Any) -> Any:
        self._wrapped[id(app)] = (app, policy)
        return app

    def _policy(self, app: Any) -> Any:
        marked = self._wrapped.get(id(app))
        return marked[1] if marked is not None else self._guard.process_policy

    def _run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(relay: Any, task: str) -> Any:
            policy = self._policy(relay)
            if policy is None or current_run.get() is not None:
                return original(relay, task)
            opened = self._guard.open_run(policy, name="relay", owner=relay.first)
            errors = opened.engine.plugins.errors
            return drive(run_flow(opened), lambda: original(relay, task), lambda _: CallOutcome(), errors)

        return run

    def _act(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def act(relay: Any, name: str, text: str) -> Any:
            run = current_run.get()
            if run is None:
                return original(relay, name, text)
            scope = StepScope(run, name, outer=current_step.get())
            return guard_step(
                run, Step(name), scope, lambda: original(relay, name, text), lambda given: CallOutcome(given[0])
            )

        return act

    def _pass_on(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def pass_on(relay: Any, source: str, target: str) -> Any:
            run = current_run.get()
            if run is None:
                return original(relay, source, target)
            answer = guard_handoff(run, Handoff(source, (target,), known_targets=frozenset(relay.agents)))
            if answer is None:
                return original(relay, source, target)
            if run.stop is not None:
                raise run.raised()
            return source

        return pass_on

    def _complete(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def complete(model: str, prompt: str, max_tokens: int | None = None) -> Any:
            run = current_run.get()
            if run is None:
                return original(model, prompt, max_tokens)
            step = current_step.get()
            call = ModelCall(
                model,
                step.agent if step is not None else "",
                input_bound=input_bound(prompt),
                max_output=max_tokens,
                last_message=prompt,
            )
            answer = guard_call(run, call, lambda: original(model, prompt, call.output_cap or max_tokens), self._read)
            return {"text": answer.text, "usage": None} if isinstance(answer, Answer) else answer

        return complete

    @staticmethod
    def _read(reply: Any) -> CallOutcome:
        usage = reply["usage"]
        return CallOutcome(reply["text"], usage=Usage(usage["input"], usage["output"]))


_adapter = RelayAdapter()


@hookimpl
def mas_guard_adapters() -> list[Adapter]:
    """The one adapter of this package."""
    return [_adapter]
