"""What a handoff carries: a triage that says little, under each of the four ways of `HANDOFFS`.

By default what is missing is recorded; `complete` fills it in for the receiver; `require` has the sender say it. Runs offline
against a scripted model: python examples/handoff_packets.py
"""

from __future__ import annotations

from typing import Any

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, ToolCallReply, text

EVERYTHING = (
    "Task: settle invoice 4711, which was charged twice. Context: the customer paid 240 EUR once. "
    "Output format: two sentences for the customer. If it fails: hand back to triage with what is missing."
)


def build(base_url: str) -> Agent:
    """Triage hands over to billing, which can hand back."""
    model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=base_url, api_key="offline"))
    triage = Agent(name="triage", instructions="You are triage.", model=model)
    billing = Agent(name="billing", instructions="You are billing.", model=model, handoffs=[triage])
    triage.handoffs = [billing]
    return triage


def scripted_model(request: Request) -> Reply:
    """Triage says little until it is asked for more; billing asks back where it was told nothing."""
    if "You are triage." in request.system:
        said = EVERYTHING if "say before you hand over" in request.last_text else "Please settle it."
        return Reply(text=said, tool_calls=[ToolCallReply("transfer_to_billing")])
    known = "If it fails" in str(request.messages)
    return text("240 EUR are on their way. We are sorry." if known else "What is this about, please?")


class Missing:
    """Notes what each handoff lacks, from the events."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    @mas_guard.hookimpl
    def mas_guard_on_event(self, event: dict[str, Any]) -> None:
        """Keep what a packet lacks."""
        if event.get("rule") == "packet" and event["event"] == "verdict":
            self.parts = event["figures"]["missing"]


def ask(handoffs: str) -> None:
    """One run."""
    missing = Missing()
    mas_guard.register(missing)
    with ModelServer(scripted_model, max_requests=60) as server:
        result = Runner.run_sync(
            mas_guard.wrap(build(server.url), handoffs=handoffs), "Invoice 4711 was charged twice."
        )
        print(f"{handoffs}: {result.last_agent.name} says: {result.final_output}")
        print(f"  recorded as missing: {', '.join(missing.parts) or 'nothing'}")
        for item in result.to_input_list():
            if str(item.get("output", "")).startswith("not transferred"):
                print(f"  triage was told: {item['output']}")
        if "[mas-guard]" in server.requests[-1].last_text:
            shown = server.requests[-1].last_text.replace("\n\n", "\n").replace("\n", "\n    ")
            print(f"  billing was shown:\n    {shown}")
    mas_guard.unregister(missing)


def main() -> None:
    """The same customer, four times."""
    set_tracing_disabled(True)  # the SDK's traces would go to OpenAI
    for handoffs in ("off", "infer", "complete", "require"):
        ask(handoffs)


if __name__ == "__main__":
    main()
