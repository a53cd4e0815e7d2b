"""A parcel desk on the OpenAI Agents SDK: three agents, each of which may hand a case on. It knows nothing of mas-guard.

Support owns the orders, the warehouse what has left it, the carrier what is on its way. Each of them reads what it has,
and then says rightly that the missing piece lies with the next one.

    OPENAI_BASE_URL=… OPENAI_API_KEY=… python parcel.py
"""

from __future__ import annotations

from agents import Agent, Runner, function_tool

QUESTION = "My parcel 88 is nine days late. Where is it, and what did I pay for it?"


@function_tool
def read_order() -> str:
    """Read the order."""
    return "order 88: one lamp, 59 EUR, paid"


@function_tool
def read_shipment() -> str:
    """Read what has left the warehouse."""
    return "parcel 88 left the warehouse on 3 March"


@function_tool
def read_scans() -> str:
    """Read where the parcel was scanned."""
    return "last scan on 4 March, depot Lyon"


MODEL = "gpt-4o"  # the address comes from OPENAI_BASE_URL
support = Agent(name="support", instructions="You are support. You own the case.", model=MODEL, tools=[read_order])
warehouse = Agent(name="warehouse", instructions="You are warehouse.", model=MODEL, tools=[read_shipment])
carrier = Agent(name="carrier", instructions="You are carrier.", model=MODEL, tools=[read_scans])
support.handoffs, warehouse.handoffs, carrier.handoffs = [warehouse], [carrier], [support]


def main() -> None:
    """Ask the desk one question and print its answer."""
    print(Runner.run_sync(support, QUESTION).final_output)


if __name__ == "__main__":
    main()
