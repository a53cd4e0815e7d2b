"""A tool call whose effect happens at most once in its run: what is recorded before it is carried out and after it has
ended, and what answers a call whose effect was begun before.

`ONCE_TOOLS` names such tools. In a run that only observes nothing is recorded or refused; what would have been is an event.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mas_guard import once
from mas_guard._effects import Answer, Flow
from mas_guard._live_call import live_call
from mas_guard._once_review import Question
from mas_guard.errors import GuardError, NoEffect, StoreUnavailable
from mas_guard.once import RULE, EffectRecord, EffectRecords, NoKey, texts
from mas_guard.types import CallOutcome, ToolCall

if TYPE_CHECKING:
    from mas_guard._budget import Booking
    from mas_guard._run import Run

logger = logging.getLogger("mas_guard")

NOT_GIVEN: Any = object()


def effect_id(default: Any = NOT_GIVEN) -> Any:
    """The id of the effect that the tool around this call carries out: 32 hexadecimal digits, to hand to the provider as its
    idempotency key. The same over retries, resumes and processes; another one for another key, and in another run.

    Args:
        default: What to return outside of such a tool: elsewhere, or where the guard is off.

    Raises:
        LookupError: Outside of a tool that ONCE_TOOLS names, without a default.
    """
    live = live_call.get()
    while live is not None and not isinstance(live.call, ToolCall):
        live = live.outer
    found = live.call.effect if live is not None and isinstance(live.call, ToolCall) else ""
    if found:
        return found
    if default is not NOT_GIVEN:
        return default
    where = (
        f"the tool {live.call.tool!r}" if live is not None and isinstance(live.call, ToolCall) else "no guarded tool"
    )
    raise LookupError(
        f"mas_guard.effect_id() was called inside of {where}, which happens as often as it is called. Name the tool and its "
        "key, as in MAS_GUARD_ONCE_TOOLS=refund:order_id, or give a default: effect_id(None)."
    )


def effect_of(run: Run, call: ToolCall) -> Effect | Answer | None:
    """The effect that *call* has; an answer where it cannot be told which, `None` where the call may be made again."""
    names = run.policy.once_key(call.tool)
    if names is None or call.is_handoff or call.from_cache or run.policy.rule_mode(RULE) == "off":
        return None
    try:
        key = once.key_hash(call.arguments, names)
    except NoKey as error:
        text = texts.without_key(call.tool, names, error.missing, error.unreadable)
        enforced = run.policy.rule_mode(RULE) == "enforce"
        tell(run, call, "no_key", "block" if enforced else "none", text)
        return Answer(text, RULE) if enforced else None
    call.effect = once.effect_id_of(run.id, call.tool, key)
    kind = Effect if run.policy.rule_mode(RULE) == "enforce" else ObservedEffect
    return kind(run, call, names, f"{run.id}:{call.tool}:{key}")


def kept_closed(run: Run, call: ToolCall, flow: Flow) -> Flow:
    """*flow*, the guard's own faults in which do not let the call through, as they do any other."""
    try:
        return (yield from flow)
    except GuardError:
        raise
    except Exception as error:
        if run.policy.rule_mode(RULE) != "enforce":
            raise
        run.engine.plugins.errors.report("The guard's own flow", error)
        text = texts.not_recorded(call.tool, type(error).__name__)
        tell(run, call, "not_recorded", "block", text)
        return Answer(text, RULE)


def tell(run: Run, call: ToolCall, state: str, action: str, reason: str) -> None:
    """Record what became of the effect: names and the effect's id, no contents."""
    fields: dict[str, Any] = {"agent": call.agent, "tool": call.tool, "rule": RULE, "state": state, "action": action}
    if call.effect:
        fields["effect"] = call.effect
    run.engine.event(run, "once", **fields, reason=reason)


def store_lost(run: Run, call: ToolCall, place: str) -> StoreUnavailable:
    """The error for a store that cannot be asked. Nothing is latched: a resume makes the call, once the store is back."""
    return StoreUnavailable(
        f"Run {run.id}: {call.tool} happens at most once, and the store that remembers it ({place}) does not answer: it was "
        "not called. Resume the run once the store is back; MAS_GUARD_ONCE_STORE=memory does without it, for one process.",
        store=place,
    )


class Effect:
    """The effect of one call, as it is recorded.

    Attributes:
        whole: True where nothing may cut the call once it has begun.
    """

    whole = True

    def __init__(self, run: Run, call: ToolCall, names: tuple[str, ...], key: str) -> None:
        self.run = run
        self.call = call
        self.names = names
        self.key = key
        self._records: EffectRecords | None = None

    def begin(self, booking: Booking | None) -> Answer | None:
        """Record that the effect is begun; an answer, with *booking* given back, where it was begun before.

        Raises:
            StoreUnavailable: It cannot be recorded: the tool was not called.
        """
        answer: Answer | None = None
        carried_out = False
        try:
            answer = self._begin()
            carried_out = answer is None
        finally:
            if booking is not None and not carried_out:
                with suppress(StoreUnavailable):  # its lease gives it back
                    booking.release()
        if answer is not None and not self.call.waits_for:
            plugins = self.run.engine.plugins
            plugins.tell(plugins.after_call, self.call, CallOutcome(answer.text, cached=True), self.run)
        return answer

    def _begin(self) -> Answer | None:
        run = self.run
        try:
            store = self._open()
        except GuardError:
            raise
        except Exception as error:  # whatever a driver raises that cannot even connect
            raise run.raised(store_lost(run, self.call, run.store.place)) from error
        try:
            self._records = EffectRecords(store, run.policy.retention)
            return self._claim(self._records)
        except store.driver_errors as error:
            raise run.raised(store_lost(run, self.call, store.place)) from error

    def _open(self) -> Any:
        if self.run.policy.once_store == "memory":
            from mas_guard.records import open_records

            return open_records("memory://", retention=self.run.policy.retention)
        return self.run.store.records

    def _claim(self, records: EffectRecords) -> Answer | None:
        call, names = self.call, self.names
        while True:
            if records.begin(self.key, call.tool, call.effect):
                return None
            record = records.read(self.key)
            if record is None:
                continue  # it was undone in between: nothing has happened
            if record.state == "done":
                tell(
                    self.run,
                    call,
                    "repeated",
                    "block",
                    f"{call.tool} was carried out before: its result is given again",
                )
                return Answer(record.result, RULE, result=True)
            if record.state == "begun" and record.by.is_this:
                return self._answer("under_way", texts.under_way(call.tool, names))
            if record.state == "begun" and record.by.runs():
                return self._answer("under_way", texts.under_way_elsewhere(call.tool, names))
            if record.state == "begun":
                self._give_up(records, record)
                continue
            question = Question(self.run, call, names, self.key, records)
            asked = question.put(record)
            if asked is None:
                continue
            answer = question.answer(asked)
            if answer is None:
                if records.begin(self.key, call.tool, call.effect, version=asked.version):
                    return None
            elif not answer.result:
                return answer if call.waits_for else self._answer("unknown", answer.text)
            elif records.settle(self.key, asked, answer.text):
                tell(self.run, call, "done", "block", f"a person says what {call.tool} has given")
                return answer

    def _give_up(self, records: EffectRecords, record: EffectRecord) -> None:
        here = record.by.host == once.this_process().host
        how = f"the process that called it {'is gone' if here else 'runs on another machine, if at all'}"
        if records.give_up(self.key, record, how):
            self._note_unknown(how)

    def _answer(self, state: str, text: str) -> Answer:
        tell(self.run, self.call, state, "block", text)
        return Answer(text, RULE)

    def end(self, outcome: CallOutcome) -> None:
        """Record how the call ended. What the store does not take now is written with the next chance.

        A tool that goes on after its framework has given it up has not ended: whoever knows when it has calls again.
        """
        records, call = self._records, self.call
        assert records is not None
        if call.goes_on:
            call.goes_on, call.ended = False, self.end
            call.told = texts.after_failure(call.tool)
            text = f"{call.tool} went on after its time-out (effect {call.effect}): its result is in no answer"
            self.run.note(text)
            tell(self.run, call, "under_way", "none", text)
            return
        failure = call.raised if call.raised is not None else outcome.error
        try:
            if call.no_effect or isinstance(failure, NoEffect):
                tell(self.run, call, "no_effect", "none", f"{call.tool} has done nothing and may be called again")
                records.undone(self.key)
            elif failure is None and not outcome.substituted:
                tell(self.run, call, "done", "none", f"{call.tool} was carried out")
                records.done(self.key, outcome.text)
            else:
                how = f"it ended in {type(failure).__name__}" if failure is not None else "it gave an error's text"
                call.told = texts.after_failure(call.tool)
                self._note_unknown(how)
                records.unknown(self.key, how)
                self._ask_person(records)
        except records.driver_errors:
            logger.warning(
                "How the effect %s of %s ended is not in the store yet (%s does not answer). Nobody can repeat it; it is "
                "written with the next effect of this process.",
                call.effect,
                call.tool,
                records.place,
            )
        except Exception as error:  # the record that it was begun stands, and protects
            self.run.engine.plugins.errors.report("Recording how an effect ended", error)

    def _note_unknown(self, how: str) -> None:
        call = self.call
        text = f"it is unknown whether {call.tool} happened (effect {call.effect}): {how}"
        self.run.note(text)
        tell(self.run, call, "unknown", "none", text)

    def _ask_person(self, records: EffectRecords) -> None:
        record = records.read(self.key)
        if record is not None and record.state == "unknown":
            Question(self.run, self.call, self.names, self.key, records).put(record)


class ObservedEffect(Effect):
    """In a run that only observes: what would have been answered is an event."""

    whole = False

    def begin(self, booking: Booking | None) -> Answer | None:
        """Let it through, and record where it is a second time. Of another process nothing is known here."""
        del booking
        begun: set[str] = self.run.rule_state.setdefault(RULE, set())
        if self.key in begun:
            tell(self.run, self.call, "repeated", "none", f"{self.call.tool} was carried out before with the same key")
        begun.add(self.key)
        return None

    def end(self, outcome: CallOutcome) -> None:
        """Nothing was recorded, so nothing is; a tool that has done nothing may be called again."""
        failure = self.call.raised if self.call.raised is not None else outcome.error
        if self.call.no_effect or isinstance(failure, NoEffect):
            self.run.rule_state[RULE].discard(self.key)
