"""How requests are read: which are model calls, how much they can cost, and what is not counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import mas_guard
from mas_guard.adapter import current_run
from mas_guard_openai import _kinds
from mas_guard_openai._event_stream import EventStream
from mas_guard_openai._replies import read_reply
from mas_guard_openai._translate import model_call


def _fail(place: str, error: BaseException) -> None:
    pytest.fail(f"{place}: {error}")


def _options(url: str, body: Any = None, method: str = "post") -> Any:
    return SimpleNamespace(url=url, method=method, json_data=body, extra_json=None, content=None)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/chat/completions", _kinds.CHAT),
        ("/deployments/mine/chat/completions", _kinds.CHAT),
        ("https://elsewhere.example/v1/chat/completions?api-version=1", _kinds.CHAT),
        ("/responses", _kinds.RESPONSES),
        ("/responses/compact", _kinds.COMPACTION),
        ("/completions", _kinds.COMPLETIONS),
        ("/embeddings", _kinds.EMBEDDINGS),
        ("/responses/input_tokens", None),
        ("/responses/resp_1/cancel", None),
        ("/files", None),
    ],
)
def test_an_endpoint_is_known_by_the_end_of_its_path(url: str, kind: Any) -> None:
    assert _kinds.kind_of(_options(url)) is kind
    assert _kinds.kind_of(_options(url, method="get")) is None


def _read(kind: Any, **body: Any) -> Any:
    with mas_guard.run("x"):
        run = current_run.get()
        assert run is not None
        return model_call(run, kind, {"model": "gpt-4o-mini", **body})


def test_the_bound_covers_everything_that_a_model_reads() -> None:
    tools = [{"type": "function", "function": {"name": "pay", "description": "d" * 1000}}]
    messages = [{"role": "user", "content": "ü" * 1000}, {"role": "assistant", "content": None}]
    call = _read(_kinds.CHAT, messages=messages, tools=tools, n=3, max_completion_tokens=50)
    assert call.input_bound > 3000
    assert (call.choices, call.max_output) == (3, 50)


def test_token_numbers_count_as_tokens() -> None:
    call = _read(_kinds.EMBEDDINGS, input=[[1, 2, 3], [4, 5, 6]])
    assert 6 <= call.input_bound < 100
    assert call.max_output == 0


def test_the_legacy_endpoint_answers_every_prompt_with_sixteen_tokens_unless_told_otherwise() -> None:
    call = _read(_kinds.COMPLETIONS, prompt=["One", "Two"], n=2)
    assert (call.choices, call.max_output) == (4, 16)
    assert _read(_kinds.COMPLETIONS, prompt=[1, 2, 3], best_of=5).choices == 5


def test_an_answer_of_the_legacy_endpoint_is_read() -> None:
    body = b'{"choices":[{"text":"Hi","finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    outcome, _ = read_reply(_kinds.COMPLETIONS, body)
    assert (outcome.text, outcome.usage.input_tokens, outcome.usage.output_tokens) == ("Hi", 3, 4)
    assert outcome.cut


@pytest.mark.parametrize("said", [{}, {"prompt_tokens": None, "completion_tokens": 4}, {"total_tokens": 7}])
def test_usage_that_is_not_said_is_unknown(said: dict[str, Any]) -> None:
    from mas_guard_openai._replies import usage_of

    assert not usage_of(said).known
    assert usage_of({"prompt_tokens": 0, "completion_tokens": 0}).known


def test_the_closing_event_waits_for_the_usage_that_follows_it() -> None:
    reader = EventStream(_kinds.CHAT, 1, True, _fail)
    assert reader.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n')
    closing = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    assert reader.feed(closing) == b""
    assert not reader.finished
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    assert reader.feed(usage[:20]) == b""
    assert reader.feed(usage[20:]) == closing
    assert reader.finished
    assert reader.feed(b"data: [DONE]\n\n") == b"data: [DONE]\n\n"


def test_a_closing_event_that_is_not_the_last_is_passed_on_with_the_next_one() -> None:
    reader = EventStream(_kinds.CHAT, 2, True, _fail)
    first = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    piece = b'data: {"choices":[{"index":1,"delta":{"content":"Hi"}}]}\n\n'
    assert reader.feed(first) == b""
    assert reader.feed(piece) == first + piece
    assert not reader.finished


def test_a_running_total_is_no_usage_before_the_end() -> None:
    reader = EventStream(_kinds.CHAT, 1, False, _fail)
    reader.feed(b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n')
    assert not reader.outcome().usage.known
    reader.end()
    assert reader.outcome().usage.known


def test_what_costs_and_is_not_counted_is_said(serve: Any, client: Any) -> None:
    server = serve()
    with mas_guard.run("x") as run, pytest.raises(Exception, match="Invalid URL"):
        client(server).images.generate(model="gpt-image-1", prompt="An invoice")
    assert any("/images/generations" in note for note in run.outcome.notes)
    assert run.spent.model_calls == 0
