"""A worker fails and says nothing of it: bare, with the defaults, and with `ENVELOPES=require`.

A researcher's answer goes to a writer. Bare, the writer takes whatever comes for a finding. By default it is told what the
provider proves, and the outcome holds the rest; under `require` it is told of all. Runs offline against a scripted model:
python examples/silent_worker.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, text

SURE = '\n<<envelope {"status": "success", "confidence": 0.9, "reason": "all sources agree"}>>'
UNSURE = '\n<<envelope {"status": "partial", "confidence": 0.3, "reason": "two of three sources are missing"}>>'
FINDINGS = {
    "a good answer": text("The harbour was closed for three days." + SURE),
    "refused": Reply(refusal="I cannot help with that."),
    "cut off": text("The harbour was closed and", finish_reason="length"),
    "empty": text(""),
    "a default": text('{"finding": "unknown", "sources": []}'),
    "doubtful": text("The harbour was closed for three days, perhaps." + UNSURE),
}


def build(base_url: str) -> CompiledStateGraph:
    """A researcher, then a writer: each an agent of its own."""
    model = ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key="offline")
    graph = StateGraph(MessagesState)
    for name in ("researcher", "writer"):
        graph.add_node(name, create_agent(model, [], system_prompt=f"You are {name}.", name=name))
    graph.add_edge(START, "researcher")
    graph.add_edge("researcher", "writer")
    graph.add_edge("writer", END)
    return graph.compile()


def model_that_finds(finding: Reply) -> Callable[[Request], Reply]:
    """The researcher's model gives *finding*; the writer's believes what it gets, unless it is told not to."""

    def says(request: Request) -> Reply:
        asked = "<<envelope" in str(request.body)  # a model that does as it is asked, and no more
        if "You are researcher." in request.system:
            return finding if asked else replace(finding, text=finding.text.split("\n<<")[0])
        told = next((one["content"] for one in request.messages if "[mas-guard] The output" in one["content"]), "")
        doubt = told.partition(": ")[2].partition(". ")[0]
        report = f"We could not find out ({doubt})." if told else "It was closed for three days."
        return text(report + SURE if asked else report)

    return says


def report(finding: Reply, guard: Callable[[CompiledStateGraph], CompiledStateGraph]) -> str:
    """One run."""
    with ModelServer(model_that_finds(finding), max_requests=60) as server:
        result = guard(build(server.url)).invoke({"messages": [("user", "How long was the harbour closed?")]})
        return str(result["messages"][-1].text)


def main() -> None:
    """Each kind of answer, three times."""
    for name, finding in FINDINGS.items():
        print(name)
        print("  bare:   ", report(finding, lambda app: app))
        for envelopes in ("infer", "require"):
            said = report(finding, lambda app, envelopes=envelopes: mas_guard.wrap(app, envelopes=envelopes))
            outcome = mas_guard.last_outcome()
            assert outcome is not None
            worth = outcome.envelopes["researcher"]
            print(f"  {envelopes + ':':<9} {said}")
            print(f"            {outcome.status}; the researcher's answer: {worth.status} {worth.reason}".rstrip())


if __name__ == "__main__":
    main()
