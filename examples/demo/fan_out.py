"""The same desk at the end of the month: fifty open disputes are checked at once. It knows nothing of mas-guard.

A coordinator reads the order, `Send` starts one check per case, and the coordinator sums up what came back.

    OPENAI_BASE_URL=… OPENAI_API_KEY=… python fan_out.py
"""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

ORDER = "Check the open disputes 4701 to 4750 and tell me which are justified."
CASES = range(4701, 4751)

model = ChatOpenAI(model="gpt-4o")  # the address comes from OPENAI_BASE_URL


class Desk(TypedDict):
    """What the desk knows: the findings so far, and the coordinator's last words."""

    findings: Annotated[list[str], operator.add]
    answer: str


class Case(TypedDict):
    """One dispute to check."""

    number: int


async def coordinator(desk: Desk) -> dict[str, str]:
    """Plan the work, and sum it up once findings are there."""
    known = "\n".join(desk.get("findings", [])) or "nothing yet"
    reply = await model.ainvoke(
        [
            ("system", "You are coordinator. Plan the checks; sum up the findings once there are some."),
            ("user", f"{ORDER}\nFindings: {known}"),
        ]
    )
    return {"answer": reply.text}


async def check(case: Case) -> dict[str, list[str]]:
    """Check one dispute."""
    reply = await model.ainvoke(
        [
            ("system", "You are checker. Say in one line whether the dispute is justified."),
            ("user", f"Dispute {case['number']}"),
        ]
    )
    return {"findings": [reply.text]}


def next_step(desk: Desk) -> list[Send] | str:
    """All fifty checks at once; afterwards the end."""
    if desk.get("findings"):
        return END
    return [Send("check", {"number": number}) for number in CASES]


graph = StateGraph(Desk)
graph.add_node("coordinator", coordinator)
graph.add_node("check", check)
graph.add_edge(START, "coordinator")
graph.add_conditional_edges("coordinator", next_step, ["check", END])
graph.add_edge("check", "coordinator")
app = graph.compile()


def main() -> None:
    """Give the desk its order and print the answer."""
    result = asyncio.run(app.ainvoke({"findings": [], "answer": ""}))
    print(result["answer"])


if __name__ == "__main__":
    main()
