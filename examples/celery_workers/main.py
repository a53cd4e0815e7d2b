"""Fifty Celery tasks on a budget of eight calls, worked off by four processes: the model server sees exactly eight.

It starts a Redis, a worker with four processes, and the program that sends the tasks, as a web app of yours would. The
budget is one because all of them have the same MAS_GUARD_STORE, and because `one_run.py` hands the run on with each message.
Runs offline against a scripted model: python examples/celery_workers/main.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local_redis import local_redis

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text

HERE = Path(__file__).resolve().parent
BUDGET = 8
PAGES = 50


def reader_model(request: Request) -> Reply:
    """Answers everything."""
    return text("the sea, and who lives by it.")


@contextmanager
def worker(variables: Mapping[str, str]) -> Iterator[None]:
    """`celery -A tasks worker --concurrency 4`, until the block ends."""
    options = ["--concurrency", "4", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-q", "-A", "tasks", "worker", *options]
    started = subprocess.Popen(command, cwd=HERE, env=dict(variables), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        started.terminate()
        started.wait()


def main() -> None:
    """A chord that ends with what there is, and a group whose tasks fail at the limit."""
    with ModelServer(reader_model) as server, local_redis() as redis_url:
        os.environ |= {
            "BROKER_URL": f"{redis_url}/0",
            "MAS_GUARD_STORE": f"{redis_url}/1",  # a database of its own: purging the queue keeps the books
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "offline",
        }
        with worker(os.environ):
            report(server)
            checks(server)


def report(server: ModelServer) -> None:
    """Fifty summaries and a report, under one budget."""
    from celery import chord
    from tasks import put_together, summarise

    with mas_guard.run("report", budget={"model_calls": BUDGET}, on_limit="partial,abort") as run:
        run.result = chord(summarise.s(page) for page in range(PAGES))(put_together.s()).get(timeout=60)
    outcome = run.outcome
    print(run.result)
    print(f"  {outcome.status} by {outcome.rule}: {outcome.spent.model_calls} of {BUDGET} model calls booked")
    print(f"  {server.count} calls sent by four processes, for {PAGES} tasks")


def checks(server: ModelServer) -> None:
    """The same for tasks that know nothing of limits: those beyond the budget fail."""
    from celery import group
    from tasks import check

    before = server.count
    try:
        with mas_guard.run("checks", budget={"model_calls": BUDGET}, on_limit="abort"):
            found = group(check.s(page) for page in range(PAGES))().get(timeout=60, propagate=False)
            print(dict(Counter(type(one).__name__ for one in found)))
    except mas_guard.BudgetExceeded as stop:
        print(f"  {type(stop).__name__}, {stop.outcome.status} by {stop.rule}: {server.count - before} calls sent")


if __name__ == "__main__":
    main()
