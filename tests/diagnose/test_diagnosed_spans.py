"""OpenTelemetry GenAI spans, in OTLP's JSON and as SDKs print them: a trace is a run."""

from __future__ import annotations

import io
import json
from typing import Any

from mas_guard.config import policy_of
from mas_guard.diagnose import Report, replay

ANSWER = "The label is split at its first dash, so that labels with two dashes lose their last part."


def span(number: int, operation: str, parent: str = "root", trace: str = "t", **said: Any) -> dict[str, Any]:
    """A span as OTLP writes it; each begins when the one before has ended."""
    attributes = {"gen_ai.operation.name": operation, **{key.replace("__", "."): value for key, value in said.items()}}
    return {
        "traceId": trace,
        "spanId": f"s{number}",
        "parentSpanId": parent,
        "name": operation,
        "startTimeUnixNano": str(10 * number),
        "endTimeUnixNano": str(10 * number + 5),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }


def root(trace: str = "t", **times: Any) -> dict[str, Any]:
    return {"traceId": trace, "spanId": "root", "startTimeUnixNano": "0", "endTimeUnixNano": "100000"} | times


def otlp(*spans: dict[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}) + "\n"


def replayed(text: str, **settings: Any) -> list[Report]:
    return list(replay(io.BytesIO(text.encode()), policy_of(**settings)))


def chat(number: int, asked: str = "go on", answered: str = "", agent: str = "clerk", **more: Any) -> dict[str, Any]:
    reply: list[dict[str, Any]] = [{"type": "text", "content": answered}]
    if not answered:
        reply = [{"type": "tool_call", "id": f"call-{number}", "name": "look_up", "arguments": {"q": 1}}]
    return span(
        number,
        "chat",
        gen_ai__agent__name=agent,
        gen_ai__request__model="gpt-4o",
        gen_ai__input__messages=json.dumps([{"role": "user", "parts": [{"type": "text", "content": asked}]}]),
        gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": reply}]),
        **more,
    )


def tool(number: int, **captured: str) -> dict[str, Any]:
    said = {f"gen_ai__tool__call__{key}": value for key, value in captured.items()}
    return span(number, "execute_tool", gen_ai__agent__name="clerk", gen_ai__tool__name="look_up", **said)


def actions(report: Report) -> list[tuple[str, str, int]]:
    return [(finding.rule, finding.action, finding.event) for finding in report.findings]


def test_equal_tool_calls_with_equal_results_are_repeats() -> None:
    spans = [
        each
        for number in range(1, 9, 2)
        for each in (chat(number, f"step {number}"), tool(number + 1, arguments='{"q": 1}', result="nothing"))
    ]
    (report,) = replayed(otlp(*reversed(spans), root()))
    assert report.run == "t"
    assert actions(report) == [("repetition", "redirect", 6), ("repetition", "block", 8)]


def test_tool_calls_whose_content_was_not_captured_are_only_counted() -> None:
    spans = [each for number in range(1, 15, 2) for each in (chat(number), tool(number + 1))]
    (report,) = replayed(otlp(*spans, root()), budget={"tool_calls": 5})
    assert [finding.rule for finding in report.findings] == ["budget"]


def test_the_same_answer_to_the_same_message_is_a_repeat() -> None:
    (report,) = replayed(otlp(*[chat(number, answered=ANSWER) for number in range(1, 4)], root()))
    assert actions(report) == [("repetition", "redirect", 3)]


def test_agents_invoked_one_after_the_other_are_hops_and_those_invoked_together_are_one() -> None:
    one_by_one = [span(number, "invoke_agent", gen_ai__agent__name="ab"[number % 2]) for number in range(15)]
    (report,) = replayed(otlp(*one_by_one, root()))
    assert actions(report) == [("hops", "redirect", 14)]
    together = [{**each, "endTimeUnixNano": "99999"} for each in one_by_one]
    (report,) = replayed(otlp(*together, root()))
    assert not report.findings


def test_spans_as_sdks_print_them_are_read_too() -> None:
    printed = ""
    for each in [*(chat(number, answered=ANSWER) for number in range(1, 4)), root()]:
        attributes = {entry["key"]: entry["value"]["stringValue"] for entry in each.get("attributes", ())}
        start = f"2026-01-01T00:00:0{each['spanId'][1:] if attributes else 0}.000000Z"
        written = {
            "name": each.get("name", "root"),
            "context": {"trace_id": "0xabc", "span_id": f"0x{each['spanId']}"},
            "parent_id": "0xroot" if attributes else None,
            "start_time": start,
            "end_time": start,
            "attributes": attributes,
        }
        printed += json.dumps(written, indent=4) + "\n"
    (report,) = replayed(printed)
    assert report.run == "abc"
    assert actions(report) == [("repetition", "redirect", 3)]


def test_traces_that_are_mixed_are_runs_of_their_own_in_the_order_of_their_ends() -> None:
    lines = otlp(chat(1) | {"traceId": "first"}) + otlp(chat(1) | {"traceId": "second"}) + otlp(root("second"))
    assert [report.run for report in replayed(lines + otlp(root("first")))] == ["second", "first"]


def test_traces_of_something_else_are_no_runs() -> None:
    assert replayed(otlp(root())) == []
