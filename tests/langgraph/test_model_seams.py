"""Every way of calling a model is counted once: plain, streamed, cached, nested, and round the usual entries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseLLM, FakeListChatModel
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text
from tests.langgraph.apps import model


def answering(request: Request) -> Reply:
    return text("a fine answer", input_tokens=12, output_tokens=5)


@pytest.mark.parametrize("options", [{}, {"use_responses_api": True}], ids=["chat", "responses"])
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream", "batch", "generate"])
def test_each_way_counts_one_call_and_the_providers_own_usage(way: str, options: dict[str, Any]) -> None:
    with ModelServer(answering) as server:
        chat = model(server.url, **options)
        with mas_guard.run("one call") as run:
            if way == "invoke":
                chat.invoke("hello")
            elif way == "stream":
                assert "".join(str(chunk.text) for chunk in chat.stream("hello")) == "a fine answer"
            elif way == "ainvoke":
                asyncio.run(chat.ainvoke("hello"))
            elif way == "astream":

                async def read() -> str:
                    return "".join([str(chunk.text) async for chunk in chat.astream("hello")])

                assert asyncio.run(read()) == "a fine answer"
            elif way == "batch":
                chat.batch(["hello"])
            else:
                chat.generate([[("user", "hello")]]) if False else chat.generate_prompt([_prompt("hello")])
        assert server.count == 1
    assert run.spent == (17, 1, 0, 12 * 150 + 5 * 600)


def _prompt(question: str) -> Any:
    from langchain_core.prompt_values import StringPromptValue

    return StringPromptValue(text=question)


def test_a_usage_chunk_that_only_the_guard_asked_for_is_kept_from_the_app() -> None:
    with ModelServer(answering) as server:
        chat = model(server.url)
        bare = list(chat.stream("hello"))
        with mas_guard.run("streamed") as run:
            guarded = list(chat.stream("hello"))
        asked = [request.body.get("stream_options") for request in server.requests]
    assert asked == [None, {"include_usage": True}]
    assert [chunk.content for chunk in guarded] == [chunk.content for chunk in bare]
    assert all(chunk.usage_metadata is None for chunk in guarded)
    assert run.spent.tokens == 17


def test_an_endpoint_that_refuses_the_option_is_asked_once_more_without_it_and_remembered() -> None:
    with ModelServer(answering, refuse_stream_options=True) as server:
        chat = model(server.url)
        with mas_guard.run("refusing") as run:
            for _ in range(2):
                assert "".join(str(chunk.text) for chunk in chat.stream("hello")) == "a fine answer"
        assert ["stream_options" in request.body for request in server.requests] == [True, False, False]
    assert run.outcome is not None and any("estimated" in note for note in run.outcome.notes)


def test_a_cache_hit_is_refunded() -> None:
    with ModelServer(answering) as server:
        chat = model(server.url, cache=InMemoryCache())
        with mas_guard.run("cached") as run:
            for _ in range(3):
                chat.invoke("hello")
        assert server.count == 1
    assert run.spent.model_calls == 1 and run.spent.tokens == 17


class OverridesGenerate(FakeListChatModel):
    """A user's model that goes round LangChain's own entry."""

    def generate(self, messages: Any, stop: Any = None, callbacks: Any = None, **keywords: Any) -> Any:
        from langchain_core.callbacks import CallbackManager

        manager = CallbackManager.configure(callbacks, None)
        (run,) = manager.on_chat_model_start({}, messages)
        result = LLMResult(generations=[ChatResult(generations=[ChatGeneration(message=_answer())]).generations])
        run.on_llm_end(result)
        return result


def _answer() -> Any:
    from langchain_core.messages import AIMessage

    return AIMessage("done", usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})


class Completion(BaseLLM):
    """A text-completion model."""

    def _generate(self, prompts: Any, stop: Any = None, run_manager: Any = None, **keywords: Any) -> LLMResult:
        return LLMResult(generations=[[Generation(text="done")] for _ in prompts])

    @property
    def _llm_type(self) -> str:
        return "own"


@pytest.mark.parametrize("chat", [OverridesGenerate(responses=["done"]), Completion()], ids=["chat", "completion"])
def test_a_model_that_goes_round_the_entries_is_still_counted_and_refused(chat: Any) -> None:
    with pytest.raises(mas_guard.BudgetExceeded) as caught, mas_guard.run("round", budget={"model_calls": 2}):
        for _ in range(5):
            chat.invoke("hello")
    assert caught.value.outcome.spent.model_calls == 2


def test_the_clients_own_retries_count_as_calls() -> None:
    from mas_guard.testing import fault

    with ModelServer(lambda request: fault(500, "down")) as server:
        chat = model(server.url, max_retries=5)
        with pytest.raises(mas_guard.BudgetExceeded), mas_guard.run("retries", budget={"model_calls": 3}):
            chat.invoke("hello")
        assert server.count == 3


def test_our_cap_is_sent_only_where_it_binds_and_a_cut_reply_is_named() -> None:
    with ModelServer(lambda request: text("word " * 4000, output_tokens=4000)) as server:
        chat = model(server.url)
        with mas_guard.run("capped", budget={"tokens": 8_000}) as run:
            chat.invoke("hello")
        assert server.requests[0].body["max_completion_tokens"] <= 2_000
    assert run.outcome is not None and run.outcome.status == "partial"
    assert any("cut by the guard's cap" in note for note in run.outcome.notes)
