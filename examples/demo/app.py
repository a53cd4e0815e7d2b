"""An invoice desk: three agents, each of which may hand a case on to the next. It knows nothing of mas-guard.

Billing owns the invoices, disputes owns the objections, accounts owns the payments. Each of them is right to say
that the missing piece lies with the next one, and so a case can go round for ever.

    OPENAI_BASE_URL=… OPENAI_API_KEY=… python app.py
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph_swarm import create_handoff_tool, create_swarm

QUESTION = (
    "Invoice 4711 charges me twice for the March licence, 240 EUR each. I paid one of them. What do I still owe you?"
)

model = ChatOpenAI(model="gpt-4o")  # the address comes from OPENAI_BASE_URL


def agent(name: str, duty: str, hands_on_to: str) -> object:
    """One agent of the desk, with a single colleague to hand a case on to."""
    return create_agent(
        model,
        tools=[create_handoff_tool(agent_name=hands_on_to)],
        system_prompt=f"You are {name}. {duty} If a case needs somebody else first, transfer it to {hands_on_to}.",
        name=name,
    )


billing = agent("billing", "You explain and correct invoices.", "disputes")
disputes = agent("disputes", "You decide whether an objection to an invoice is justified.", "accounts")
accounts = agent("accounts", "You know what has been paid.", "billing")

app = create_swarm([billing, disputes, accounts], default_active_agent="billing").compile()


def main() -> None:
    """Ask the desk one question and print its answer."""
    result = app.invoke({"messages": [("user", QUESTION)]})
    print(result["messages"][-1].content)


if __name__ == "__main__":
    main()
