"""A crew as a worker: each item is one kickoff, within the run that the message brings."""

from __future__ import annotations

import os

from crewai import LLM, Agent, Crew, Task
from items import work

import mas_guard

llm = LLM(model="openai/gpt-4o-mini", base_url=os.environ["MODEL_URL"], api_key="x", max_tokens=50)
checker = Agent(role="Checker", goal="Check invoices", backstory="Careful.", llm=llm)
task = Task(description="Is the invoice paid?", expected_output="Yes or no.", agent=checker)
crew = mas_guard.wrap(Crew(agents=[checker], tasks=[task]))

work(crew.kickoff)
