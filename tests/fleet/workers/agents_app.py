"""An Agents SDK app as a worker: each item is one run of its agent, within the run that the message brings."""

from __future__ import annotations

import os

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner
from items import work
from openai import AsyncOpenAI

import mas_guard

client = AsyncOpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)
model = OpenAIChatCompletionsModel("gpt-4o-mini", client)
agent = mas_guard.wrap(Agent(name="checker", model=model, model_settings=ModelSettings(max_tokens=50)))

work(lambda: Runner.run_sync(agent, "Is the invoice paid?"))
