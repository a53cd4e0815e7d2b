"""An effect of which nobody knows whether it happened is put to a person, once: they say that it may be carried out after
all, what it has given, or that it is to rest. An approval is for exactly the arguments that were shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mas_guard._effects import Answer
from mas_guard._gate import open_review, resolution_at_once
from mas_guard.once import RULE, EffectRecord, EffectRecords, texts
from mas_guard.types import ToolCall

if TYPE_CHECKING:
    from mas_guard._run import Run
    from mas_guard.reviews import Resolution, Review


class Question:
    """What a person is asked about one effect.

    Args:
        run: The run that the effect belongs to.
        call: The call that has met it, or has just ended.
        names: The arguments of its key.
        key: The effect's key in its store.
        records: The records of effects there.
    """

    def __init__(self, run: Run, call: ToolCall, names: tuple[str, ...], key: str, records: EffectRecords) -> None:
        self.run = run
        self.call = call
        self.names = names
        self.key = key
        self.records = records

    def put(self, record: EffectRecord) -> EffectRecord | None:
        """Open a review, where a channel is configured and nobody has done so; `None` where the record has changed."""
        if self.run.policy.review.channel is None or record.review is not None:
            return record
        claimed = self.records.set_review(self.key, record, "")
        if claimed is None:
            return None
        call = self.call
        reason = (
            f"It is unknown whether {call.tool} happened: {record.how}. Look at where it would show. Approve it to have it "
            "carried out when it is called again, answer with its result where it has happened, reject it to let it rest."
        )
        shown = {"tool": call.tool, "arguments": dict(call.arguments), "effect": call.effect, "unknown": record.how}
        review = open_review(self.run, "tool", call.agent, reason, shown)
        return self.records.set_review(self.key, claimed, None if review is None else review.id)

    def answer(self, record: EffectRecord) -> Answer | None:
        """What to answer the call with; `None` where a person lets it be carried out as it stands."""
        call, run = self.call, self.run
        if not record.review or run.policy.review.channel is None:
            return Answer(texts.unknown(call.tool, self.names), RULE)
        try:
            review, resolution = run.engine.desk(run.policy).record(record.review)
            if call.pauses and run.policy.review.channel == "interrupt":
                # Also where it is decided already: a task that runs again must pass the same pauses in the same order.
                call.waits_for = review.id
                return Answer(texts.waits(review.id), RULE)
            if resolution is None:
                resolution = resolution_at_once(run, review)
        except Exception as error:  # reviews that cannot be read decide nothing
            run.engine.plugins.errors.report("Reading a review", error)
            return Answer(texts.unknown(call.tool, self.names), RULE)
        if resolution is None:
            return Answer(texts.unknown(call.tool, self.names, review.id), RULE)
        return self._decided(review, resolution)

    def _decided(self, review: Review, resolution: Resolution) -> Answer | None:
        from mas_guard.reviews.shown import as_data

        call = self.call
        if resolution.decision == "answered":
            return Answer(str(resolution.result), RULE, result=True)
        if resolution.decision == "rejected":
            return Answer(texts.left_by_person(call.tool, self.names, resolution.reason), RULE)
        arguments = resolution.result if resolution.edited else review.shown["arguments"]
        if as_data(dict(call.arguments)) == arguments:
            return None
        return Answer(texts.approved_otherwise(call.tool, arguments), RULE)
