"""Clients of a local model server, and a process that is left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

import mas_guard
from mas_guard.testing.model_server import ModelServer

MODEL = "gpt-4o-mini"
QUESTION = [{"role": "user", "content": "What is owed?"}]


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    mas_guard.uninstrument()


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Starts model servers that end with the test."""
    servers: list[ModelServer] = []

    def start(script: Any = ("Paid.",), **options: Any) -> ModelServer:
        options.setdefault("repeat_last", isinstance(script, list | tuple))
        server = ModelServer(list(script) if isinstance(script, tuple) else script, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def client() -> Iterator[Callable[..., OpenAI]]:
    """Makes synchronous clients."""
    clients: list[OpenAI] = []

    def make(server: ModelServer, **options: Any) -> OpenAI:
        clients.append(OpenAI(base_url=server.url, api_key="x", **{"max_retries": 0, **options}))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


@pytest.fixture
def async_client() -> Callable[..., AsyncOpenAI]:
    """Makes asynchronous clients."""

    def make(server: ModelServer, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=server.url, api_key="x", **{"max_retries": 0, **options})

    return make
