"""An API with two worker processes: one run that fans out to both, and a daily limit for each tenant.

A service in front begins a run of eight calls and asks forty questions, of both workers. Then tenants ask for themselves,
until one of them has had its twelve calls for today. The processes share `ledger.db`; with more than one machine the store
would be Redis. Runs offline against a scripted model: python examples/fastapi_workers/main.py
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from pathlib import Path

import httpx
from one_run import hand_on

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text

HERE = Path(__file__).resolve().parent
BUDGET = 8
QUESTIONS = 40


def desk_model(request: Request) -> Reply:
    """Answers everything."""
    return text("We are open from nine to five.")


@contextmanager
def workers(port: int) -> Iterator[None]:
    """`uvicorn api:api --workers 2`, until the block ends."""
    options = ["--workers", "2", "--port", str(port), "--app-dir", str(HERE), "--log-level", "critical"]
    started = subprocess.Popen([sys.executable, "-m", "uvicorn", "api:api", *options])
    try:
        yield
    finally:
        started.terminate()
        started.wait()


@asynccontextmanager
async def a_connection_to_each(address: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    """One client to each of the two workers, so that this example has both of them work; a real front needs one."""
    found: dict[int, httpx.AsyncClient] = {}
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        while len(found) < 2:
            client = httpx.AsyncClient(
                base_url=address,
                event_hooks={"request": [hand_on]},
                limits=httpx.Limits(max_connections=1),
                timeout=60,
                trust_env=False,
            )
            await stack.enter_async_context(client)
            try:
                found.setdefault((await client.get("/process")).json(), client)
            except httpx.ConnectError:  # the workers are starting
                await asyncio.sleep(0.1)
        yield list(found.values())


async def main() -> None:
    """Start the workers, ask, and print what came of it."""
    with ModelServer(desk_model) as server, tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "MAS_GUARD_CONFIG": str(HERE / "mas-guard.toml"),
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "offline",
        }
        os.chdir(folder)  # ledger.db is where the processes are started
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with workers(port):
            async with a_connection_to_each(f"http://127.0.0.1:{port}") as clients:
                await research(clients, server)
                await tenants(clients, server)


async def research(clients: list[httpx.AsyncClient], server: ModelServer) -> None:
    """One run of the service in front, in three processes."""
    limits = {"budget": {"model_calls": BUDGET}, "on_limit": "partial,abort"}

    async def ask(client: httpx.AsyncClient, number: int) -> httpx.Response:
        return await client.get("/answer", params={"question": f"Question {number}"})

    with mas_guard.tenant("acme"), mas_guard.run("research", **limits) as run:
        answers = [await ask(client, 0) for client in clients]
        rest = zip(cycle(clients), range(1, QUESTIONS - 1), strict=False)
        answers += await asyncio.gather(*(ask(client, number) for client, number in rest))
    outcome = run.outcome
    processes = {answer.json()["process"] for answer in answers if answer.status_code == 200}
    statuses = Counter(answer.status_code for answer in answers)
    print(f"one run, {len(answers)} questions: {server.count} calls sent by {len(processes)} workers")
    print(
        f"  {outcome.status} by {outcome.rule}, {outcome.spent.model_calls} of {BUDGET} calls; answers: {dict(statuses)}"
    )


async def tenants(clients: list[httpx.AsyncClient], server: ModelServer) -> None:
    """Requests that begin runs of their own; `acme` has had eight of its twelve calls for today."""
    for name in ("acme", "globex"):
        before = server.count
        answers = []
        for number, client in zip(range(6), cycle(clients), strict=False):
            answers.append(await client.get("/answer", params={"question": str(number)}, headers={"X-Tenant": name}))
        refused = [answer.json() for answer in answers if answer.status_code == 429]
        print(f"{name}: {server.count - before} of 6 requests were answered{f', then {refused[0]}' if refused else ''}")


if __name__ == "__main__":
    asyncio.run(main())
