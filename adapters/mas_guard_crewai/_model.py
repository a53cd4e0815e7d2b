"""A model's `call` and `acall`, whichever class it is of: reserved before, settled after.

CrewAI wraps both methods of every class with retries of its own for rate limits; the provider's client below retries, too,
and an agent's task above. Here one layer is left to do so, the client, whose attempts are counted one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from traceback import clear_frames
from typing import Any

from pydantic import ValidationError

from mas_guard.adapter import (
    Answer,
    GuardStopped,
    ModelCall,
    Run,
    current_run,
    current_step,
    guard_call,
    guard_call_async,
    outside_run,
    repair_request,
)
from mas_guard_crewai import _translate
from mas_guard_crewai._conclusion import may_take_control, take_control
from mas_guard_crewai._frame import Activation, current_activation
from mas_guard_crewai._sent import Sent, current_sent, show_rest

Make = Callable[..., Any]
NAMES = ("tools", "callbacks", "available_functions", "from_task", "from_agent", "response_model")


def make_call(original: Make) -> Make:
    """Wrap a class's `call`."""

    @functools.wraps(original)
    def call(self: Any, messages: Any, *arguments: Any, **keywords: Any) -> Any:
        run = current_run.get()
        if run is None or current_sent.get() is not None:
            if run is None:
                outside_run(f"A call of {type(self).__name__}")
            # A subclass that calls its parent, a delegate of another class, a second try without a parameter: one call.
            return original(self, messages, *arguments, **keywords)
        given = _given(arguments, keywords) if arguments else keywords
        sent = _begin(run, self, messages, given)

        def send() -> Any:
            sent.leave()
            try:
                told = messages if not sent.call.notes else sent.with_notes()
                reply = original(self, told, *arguments, **keywords)
                if sent.call.asks_envelope:
                    reply = sent.taken_off(reply)
                if sent.last_piece is not None:
                    show_rest(sent)
                return reply
            except GuardStopped as stop:
                clear_frames(stop.__traceback__)  # else the stop would hold the reply's connection open
                raise
            finally:
                sent.come_back()

        activation = current_activation.get()
        if activation is not None:
            activation.call_failed = False
        try:
            reply = guard_call(run, sent.call, send, sent.outcome)
            retries = 0
            while not reply and retries < _retries_of_an_empty_reply(sent):
                retries += 1
                sent = _begin(run, self, messages, given)
                reply = guard_call(run, sent.call, send, sent.outcome)
        except GuardStopped:
            if not may_take_control(run, is_answer=sent.is_answer):
                raise
            sent = _begin(run, self, messages, given)  # the owner's own call was refused: it concludes from here
            reply = guard_call(run, sent.call, send, sent.outcome)
        except Exception as error:
            if activation is not None:
                activation.call_failed = _was_tried_again(self, activation, error)
            raise
        if activation is not None and (reply is None or reply == ""):
            activation.call_failed = True  # CrewAI raises over it outside of the call
        if reply and sent.call.asks_envelope and run.envelopes.may_repair(run, sent.call):
            _repair(run, self, sent, original)
        return reply

    return call


def make_acall(original: Make) -> Make:
    """Wrap a class's `acall`."""

    @functools.wraps(original)
    async def acall(self: Any, messages: Any, *arguments: Any, **keywords: Any) -> Any:
        run = current_run.get()
        if run is None or current_sent.get() is not None:
            if run is None:
                outside_run(f"A call of {type(self).__name__}")
            # A subclass that calls its parent, a delegate of another class, a second try without a parameter: one call.
            return await original(self, messages, *arguments, **keywords)
        given = _given(arguments, keywords) if arguments else keywords
        sent = _begin(run, self, messages, given)

        async def send() -> Any:
            sent.leave()
            try:
                told = messages if not sent.call.notes else sent.with_notes()
                reply = await original(self, told, *arguments, **keywords)
                if sent.call.asks_envelope:
                    reply = sent.taken_off(reply)
                if sent.last_piece is not None:
                    show_rest(sent)
                return reply
            except GuardStopped as stop:
                clear_frames(stop.__traceback__)  # else the stop would hold the reply's connection open
                raise
            finally:
                sent.come_back()

        activation = current_activation.get()
        if activation is not None:
            activation.call_failed = False
        try:
            reply = await guard_call_async(run, sent.call, send, sent.outcome)
            retries = 0
            while not reply and retries < _retries_of_an_empty_reply(sent):
                retries += 1
                sent = _begin(run, self, messages, given)
                reply = await guard_call_async(run, sent.call, send, sent.outcome)
        except GuardStopped:
            if not may_take_control(run, is_answer=sent.is_answer):
                raise
            sent = _begin(run, self, messages, given)  # the owner's own call was refused: it concludes from here
            reply = await guard_call_async(run, sent.call, send, sent.outcome)
        except Exception as error:
            if activation is not None:
                activation.call_failed = _was_tried_again(self, activation, error)
            raise
        if activation is not None and (reply is None or reply == ""):
            activation.call_failed = True  # CrewAI raises over it outside of the call
        if reply and sent.call.asks_envelope and run.envelopes.may_repair(run, sent.call):
            await _repair_async(run, self, sent, original)
        return reply

    return acall


def _retries_of_an_empty_reply(sent: Sent) -> int:
    """How often an agent's call that came back empty is sent again. CrewAI would run the whole task again."""
    retries = sent.run.policy.retries
    if sent.call.heard_refusal or not sent.is_answer or sent.call.concluding or sent.run.policy.mode != "enforce":
        return 0
    return 0 if retries.per_task is None else retries.per_call or 0


def _was_tried_again(llm: Any, activation: Activation, error: Exception) -> bool:
    """True where a failed call must not run its task again: a client has tried, or a tool's effect would happen twice.

    An answer that its type refuses did come, and below a class of the app's own there may be no client that tries again.
    """
    if isinstance(error, ValidationError):
        return False
    kinds = (kind for kind in type(llm).__mro__ if kind.__name__ != "BaseLLM")
    return activation.used_tool or any(kind.__module__.startswith("crewai.") for kind in kinds)


def _given(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**dict(zip(NAMES, arguments, strict=False)), **keywords}


def _begin(run: Run, llm: Any, messages: Any, given: Mapping[str, Any]) -> Sent:
    step = current_step.get()
    is_answer = current_activation.get() is not None and given.get("from_agent") is not None
    if run.stop is not None:
        take_control(run, is_answer=is_answer)
    call = _translate.model_call(llm, messages, given, step.agent if step is not None else "")
    if is_answer and given.get("response_model") is None:  # a typed reply has no last line to spare
        # LiteLLM's pieces go past the seam where the envelope is held back.
        call.takes_envelope = type(llm).__module__ != "crewai.llm" or not getattr(llm, "stream", False)
    if run.policy.mode == "enforce":
        call.retries = run.policy.retries.per_call
    return Sent(run, call, messages, is_answer=is_answer)


def _asked_again(run: Run, llm: Any, sent: Sent) -> tuple[list[Any], ModelCall]:
    said = sent.call.said
    assert said is not None
    again = [
        *_translate.as_messages(sent.messages),
        {"role": "assistant", "content": said.text},
        {"role": "user", "content": repair_request(said.problems)},
    ]
    call = _translate.model_call(llm, again, {}, sent.call.agent)
    call.optional = True
    return again, call


def _repair(run: Run, llm: Any, sent: Sent, original: Make) -> None:
    """The one attempt to repair a worker's envelope: neither request nor reply is the app's."""
    try:
        again, call = _asked_again(run, llm, sent)
        beside = Sent(run, call, again, is_answer=False)

        def send() -> Any:
            beside.leave()
            try:
                return original(llm, again)
            finally:
                beside.come_back()

        reply = guard_call(run, call, send, beside.outcome)
        if not isinstance(reply, Answer):
            run.envelopes.settle_repair(run, sent.call, _translate.reply_text(reply))
    except GuardStopped:
        raise
    except Exception as error:  # the answer is there: what was asked beside it never takes it away
        run.engine.plugins.errors.report("Asking for an envelope again", error)


async def _repair_async(run: Run, llm: Any, sent: Sent, original: Make) -> None:
    try:
        again, call = _asked_again(run, llm, sent)
        beside = Sent(run, call, again, is_answer=False)

        async def send() -> Any:
            beside.leave()
            try:
                return await original(llm, again)
            finally:
                beside.come_back()

        reply = await guard_call_async(run, call, send, beside.outcome)
        if not isinstance(reply, Answer):
            run.envelopes.settle_repair(run, sent.call, _translate.reply_text(reply))
    except GuardStopped:
        raise
    except Exception as error:
        run.engine.plugins.errors.report("Asking for an envelope again", error)
