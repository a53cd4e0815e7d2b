"""A LangGraph app as a worker: each item is one invocation of its graph, within the run that the message brings."""

from __future__ import annotations

import os

from items import work
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

import mas_guard

model = ChatOpenAI(base_url=os.environ["MODEL_URL"], api_key="x", model="gpt-4o-mini", max_tokens=50, max_retries=0)
graph = mas_guard.wrap(create_agent(model, tools=[], system_prompt="You check invoices.", name="checker"))

work(lambda: graph.invoke({"messages": [("user", "Is the invoice paid?")]}))
