"""The one attempt to repair a worker's envelope: its model is asked once more, and neither request nor reply is the app's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from mas_guard.adapter import (
    Answer,
    GuardStopped,
    ModelCall,
    Run,
    guard_call,
    guard_call_async,
    repair_request,
)
from mas_guard_langgraph import _translate

Send = Callable[..., Any]


def repair(run: Run, model: Any, batches: Any, call: ModelCall, generate: Send, keywords: dict[str, Any]) -> None:
    """Ask for *call*'s envelope again where it is missing or does not hold."""
    if not run.envelopes.may_repair(run, call):
        return
    try:
        again, asked, given = _asked(model, batches, call, keywords)
        reply = guard_call(run, asked, lambda: _unseen(model, lambda: generate(again, **given)), _outcome)
        if not isinstance(reply, Answer):
            run.envelopes.settle_repair(run, call, _outcome(reply).text)
    except GuardStopped:
        raise
    except Exception as error:  # the answer is there: what was asked beside it never takes it away
        run.engine.plugins.errors.report("Asking for an envelope again", error)


async def repair_async(
    run: Run, model: Any, batches: Any, call: ModelCall, agenerate: Send, keywords: dict[str, Any]
) -> None:
    """The same, asynchronously."""
    if not run.envelopes.may_repair(run, call):
        return
    try:
        again, asked, given = _asked(model, batches, call, keywords)

        async def send() -> Any:
            token = _entered().set(model)
            try:
                return await agenerate(again, **given)
            finally:
                _entered().reset(token)

        reply = await guard_call_async(run, asked, send, _outcome)
        if not isinstance(reply, Answer):
            run.envelopes.settle_repair(run, call, _outcome(reply).text)
    except GuardStopped:
        raise
    except Exception as error:
        run.engine.plugins.errors.report("Asking for an envelope again", error)


def after(
    chunks: Iterator[Any], run: Run, model: Any, batches: Any, call: ModelCall, keywords: dict[str, Any]
) -> Iterator[Any]:
    """*chunks*, and a repair once they have ended."""
    yield from chunks
    repair(run, model, batches, call, type(model).generate.__wrapped__.__get__(model), keywords)


async def after_async(
    chunks: AsyncIterator[Any], run: Run, model: Any, batches: Any, call: ModelCall, keywords: dict[str, Any]
) -> AsyncIterator[Any]:
    """The same, asynchronously."""
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]
    await repair_async(run, model, batches, call, type(model).agenerate.__wrapped__.__get__(model), keywords)


def _asked(
    model: Any, batches: Any, call: ModelCall, keywords: dict[str, Any]
) -> tuple[Any, ModelCall, dict[str, Any]]:
    from langchain_core.messages import AIMessage, HumanMessage

    assert call.said is not None
    request = HumanMessage(content=repair_request(call.said.problems))
    again = [[*batches[0], AIMessage(content=call.said.text), request]]
    given = {key: value for key, value in keywords.items() if key in ("tools", "model", "model_name")}
    if given.get("tools"):
        given["tool_choice"] = {"type": "none"} if "anthropic" in type(model).__module__ else "none"
    asked = _translate.model_call(model, again, given, call.agent)
    asked.optional, asked.takes_envelope = True, False
    return again, asked, given


def _unseen(model: Any, send: Callable[[], Any]) -> Any:
    token = _entered().set(model)
    try:
        return send()
    finally:
        _entered().reset(token)


def _entered() -> Any:
    from mas_guard_langgraph._chat_model import entered

    return entered


def _outcome(result: Any) -> Any:
    from mas_guard_langgraph._chat_model import outcome_of_result

    return outcome_of_result(result)
