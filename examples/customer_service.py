"""Customer service with the Agents SDK: triage, two specialists, and a model that does not always transfer well.

Five customers: one goes through without a word from the guard, three handoffs are refused with a reason that the model can
use, and one case that goes round ends with triage, which owns it. Runs offline against a scripted model:
python examples/customer_service.py
"""

from __future__ import annotations

from agents import Agent, OpenAIResponsesModel, RunContextWrapper, Runner, function_tool, handoff, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

import mas_guard
from mas_guard.testing import ModelServer, Reply, Request, call, text

REFUND = {"invoice": 4711, "euros": 240}


class Refund(BaseModel):
    """What refunds needs to know before it takes a case over."""

    invoice: int
    euros: float


@function_tool
def look_up_invoice(number: int) -> str:
    """Look an invoice up."""
    return f"Invoice {number}: March licence, 240 EUR, charged twice, paid once."


def build(base_url: str) -> Agent:
    """Triage hands over to billing, and to refunds with the figures; both can hand back."""
    model = OpenAIResponsesModel("gpt-4o-mini", AsyncOpenAI(base_url=base_url, api_key="offline"))
    billing = Agent(name="billing", instructions="You are billing.", model=model, tools=[look_up_invoice])
    refunds = Agent(name="refunds", instructions="You are refunds.", model=model)

    def open_case(context: RunContextWrapper, refund: Refund) -> None:
        print(f"  (a case of {refund.euros} EUR is opened)")

    def in_office_hours(context: RunContextWrapper, agent: Agent) -> bool:
        return False

    to_refunds = handoff(refunds, input_type=Refund, on_handoff=open_case)
    to_phone = handoff(Agent(name="phone", instructions="You are phone."), is_enabled=in_office_hours)
    triage = Agent(name="triage", instructions="You are triage.", model=model, handoffs=[billing, to_refunds, to_phone])
    billing.handoffs = [triage]
    refunds.handoffs = [triage]
    return triage


def first_choice(question: str) -> Reply:
    """What triage does first: the right transfer, or one of the mistakes that models make."""
    if "phone" in question:
        return call("transfer_to_phone")  # closed at the moment
    if "lawyer" in question:
        return call("transfer_to_legal")  # there is no such agent
    if "money back" in question:
        return call("transfer_to_refunds", invoice="4711", euros="all of it")
    return call("transfer_to_billing")


def scripted_model(request: Request) -> Reply:
    """Speaks for whichever agent asks."""
    question = next(message["content"] for message in request.messages if message["role"] == "user")
    last = request.last_text
    if "[mas-guard]" in last:
        return text("Nobody here could settle it. What we know: 4711 was charged twice and paid once.")
    if "takes other input" in last:
        return call("transfer_to_refunds", **REFUND)
    if "not transferred" in last:
        return text("I cannot send you there. Invoice 4711 was charged twice; please write to billing.")
    if "You are triage." in request.system:
        return first_choice(question)
    if "nobody is responsible" in question:
        return call("transfer_to_triage")
    if "You are refunds." in request.system:
        return text("240 EUR are on their way.")
    return text(last) if last.startswith("Invoice") else call("look_up_invoice", number=4711)


def ask(triage: Agent, question: str) -> None:
    """One customer, one run."""
    print(f"\n{question}")
    result = Runner.run_sync(triage, question, max_turns=30)
    outcome = mas_guard.outcome(result)
    for item in result.to_input_list():
        if item.get("type") == "function_call_output" and str(item["output"]).startswith("not transferred"):
            print(f"  {item['output'].split('. ')[0]}.")
    print(f"  {result.last_agent.name}: {result.final_output}")
    print(f"  {outcome.status}{' by ' + outcome.rule if outcome.rule else ''}, hops: {outcome.hops}")


def main() -> None:
    """Serve five customers."""
    set_tracing_disabled(True)  # the SDK's traces would go to OpenAI
    with ModelServer(scripted_model, max_requests=60) as server:
        triage = mas_guard.wrap(build(server.url))  # the one line
        ask(triage, "Is invoice 4711 right?")
        ask(triage, "I want my money back for invoice 4711.")
        ask(triage, "Can somebody phone me?")
        ask(triage, "I want to speak to your lawyer.")
        ask(triage, "Everybody says that nobody is responsible for my invoice.")


if __name__ == "__main__":
    main()
