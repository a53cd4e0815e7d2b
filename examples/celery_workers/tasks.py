"""The app as it is: pages are summarised by whichever worker is free, and the summaries put together by one of them.

What the guard takes is the class of `app`: it was `Celery`.
"""

from __future__ import annotations

import os

from one_run import GuardedCelery
from openai import OpenAI

import mas_guard

app = GuardedCelery("reports", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])
app.conf.worker_prefetch_multiplier = 1


def ask(question: str) -> str:
    reply = OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
    return reply.choices[0].message.content or ""


@app.task
def summarise(page: int) -> str | None:
    """Summarise one page; `None` where the run may not spend any more, so that the chord goes on."""
    try:
        return ask(f"Summarise page {page}.")
    except mas_guard.BudgetExceeded:
        return None


@app.task
def put_together(summaries: list[str | None]) -> str:
    """The report, from the summaries that there are."""
    known = [summary for summary in summaries if summary]
    return f"From {len(known)} of {len(summaries)} pages: {known[0] if known else 'nothing'}"


@app.task
def check(page: int) -> str:
    """Check one page; a limit fails the task, as any exception does."""
    return ask(f"What is wrong on page {page}?")
