"""A payment that a person has to approve: one process asks and saves its state to a file, another one goes on from it.

Both are the same run: what the first one has used counts in the second, against the same limits. Runs offline against a
scripted model: python examples/approval.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from agents import Agent, OpenAIResponsesModel, Runner, RunState, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

BUDGET = 5  # model calls, over both processes


@function_tool(needs_approval=True)
def pay_back(invoice: int, euros: float) -> str:
    """Pay money back to the customer."""
    print(f"  (paying {euros} EUR)")
    return f"{euros} EUR are paid back for invoice {invoice}"


def build(base_url: str) -> Agent:
    """Triage hands over to refunds, which may pay once somebody has approved."""
    model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=base_url, api_key="offline"))
    refunds = Agent(name="refunds", instructions="You are refunds.", model=model, tools=[pay_back])
    triage = Agent(name="triage", instructions="You are triage.", model=model, handoffs=[refunds])
    return mas_guard.wrap(triage, budget={"model_calls": BUDGET})


def scripted_model(request: Request) -> Reply:
    """Hands over, asks to pay, and reports what came of it."""
    if "You are triage." in request.system:
        return call("transfer_to_refunds")
    answers = [message["content"] for message in request.messages if message["role"] == "tool"]
    return text(f"Done: {answers[-1]}.") if "paid back" in answers[-1] else call("pay_back", invoice=4711, euros=240)


async def ask(url: str, saved: Path) -> None:
    """The first process: run until somebody has to decide."""
    result = await Runner.run(build(url), "I want my money back for invoice 4711.")
    asked = result.interruptions[0]
    print(f"  waits for a decision about {asked.name} {asked.arguments}")
    saved.write_text(result.to_state().to_string(), "utf-8")
    tell()


async def approve(url: str, saved: Path) -> None:
    """The second process: approve, and go on."""
    triage = build(url)
    state = await RunState.from_string(triage, saved.read_text("utf-8"))
    for asked in state.get_interruptions():
        state.approve(asked)
    result = await Runner.run(triage, state)
    print(f"  {result.last_agent.name}: {result.final_output}")
    tell()


def tell() -> None:
    """What the run has used so far."""
    outcome = mas_guard.last_outcome()
    assert outcome is not None
    how = outcome.reason or outcome.status
    print(f"  {how}; hops: {outcome.hops}, {outcome.spent.model_calls} of {BUDGET} model calls")
    print(f"  run {outcome.run_id[:8]}")


def main() -> None:
    """Start both processes, one after the other."""
    with ModelServer(scripted_model, max_requests=60) as server, tempfile.TemporaryDirectory() as folder:
        for step in (ask, approve):
            print(f"{step.__name__}, a process of its own:", flush=True)
            saved = str(Path(folder) / "state.json")
            subprocess.run([sys.executable, __file__, step.__name__, server.url, saved], check=True)
        print(f"calls that the model server saw: {server.count}")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        set_tracing_disabled(True)  # the SDK's traces would go to OpenAI
        asyncio.run({"ask": ask, "approve": approve}[sys.argv[1]](sys.argv[2], Path(sys.argv[3])))
    else:
        main()
