"""A review as an interrupt's payload, and what an interrupt was resumed with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mas_guard.reviews import Desk, Resolution, ReviewError, from_payload, to_payload


def test_a_payload_is_json_that_says_what_is_shown_and_which_answers_are_taken(desk: Desk) -> None:
    fixed = desk.open(None, "tool", "billing", "dear", {"tool": "refund", "arguments": {"usd": 80}})
    editable = desk.open(None, "result", "writer", "doubtful", {"result": "text"}, True)
    payload = json.loads(json.dumps(to_payload(fixed)))
    assert (payload["review"], payload["fingerprint"]) == (fixed.id, fixed.fingerprint)
    assert payload["shown"] == {"tool": "refund", "arguments": {"usd": 80}}
    assert payload["answers"] == ["approve", "reject"]
    assert to_payload(editable)["answers"] == ["approve", "reject", "edit", "answer"]


ANSWERS: list[tuple[Any, Resolution]] = [
    (True, Resolution("approved")),
    (False, Resolution("rejected")),
    (" Approve ", Resolution("approved")),
    ("reject", Resolution("rejected")),
    (
        {"decision": "approve", "by": "anna", "fingerprint": "ab"},
        Resolution("approved", by="anna", fingerprint="ab"),
    ),
    ({"decision": "approved", "result": None}, Resolution("approved")),
    ({"decision": "approve", "result": {"usd": 5}}, Resolution("approved", {"usd": 5}, edited=True)),
    ({"decision": "edit", "result": {"usd": 5}}, Resolution("approved", {"usd": 5}, edited=True)),
    ({"decision": "reject", "reason": "no", "result": "x"}, Resolution("rejected", reason="no")),
    ({"decision": "ANSWER", "result": "80 USD"}, Resolution("answered", "80 USD")),
]


@pytest.mark.parametrize(("answer", "meant"), ANSWERS)
def test_an_answer_is_read_as_it_is_meant(answer: Any, meant: Resolution) -> None:
    assert from_payload(answer) == meant


NO_ANSWERS: list[Any] = [
    "yes, but shorter", "", None, 1, [], {}, {"decision": 1}, {"decision": "maybe"}, {"decision": "edit"},
    {"decision": "answer"}, {"decision": "approve", "by": 5}, {"approved": True},
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=repr)
def test_what_may_mean_anything_is_never_an_approval(answer: Any) -> None:
    with pytest.raises(ReviewError, match="is no answer to a review"):
        from_payload(answer)


def test_a_payload_comes_back_and_is_settled_for_exactly_what_it_showed(desk: Desk) -> None:
    review = desk.open(None, "tool", "billing", "dear", {"tool": "refund"})
    payload = to_payload(review)
    answer = from_payload({"decision": "approve", "fingerprint": payload["fingerprint"], "by": "anna"})
    assert desk.settle(payload["review"], answer).decision == "approved"
