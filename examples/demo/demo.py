"""What mas-guard is for, on one page: the same three apps bare and guarded. No key, nothing beyond this machine.

python examples/demo/demo.py
"""

from __future__ import annotations

import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

from scene import GIVES_UP_AFTER, Seen, play
from show import WIDTH, heading, paragraph, scale, side_by_side, timeline

FAN_OUT_BUDGET = 8  # calls

OPENING = f"""
mas-guard lets no run of a multi-agent app spend more than it may, circle for ever, or end without an answer from
somebody accountable. Here are three apps, two of LangGraph and one of the OpenAI Agents SDK, each run twice: as it is, and
under mas-guard with no line changed. The model is a scripted server on this machine, spoken to over real HTTP; it gives up
after {GIVES_UP_AFTER} calls. No key, no network. Every figure in the tables is counted by that server.
"""


def main() -> None:
    """Play the scenes, two at a time, and print what the model server saw."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    print(heading("mas-guard demo"))
    print(paragraph(OPENING), flush=True)
    with ThreadPoolExecutor(2) as stage:
        loop = [stage.submit(play, "app.py", guarded=guarded) for guarded in (False, True)]
        parcel = [stage.submit(play, "parcel.py", guarded=guarded) for guarded in (False, True)]
        budget = f"budget.model_calls={FAN_OUT_BUDGET}"
        wide = [
            stage.submit(play, "fan_out.py", guarded=False),
            stage.submit(play, "fan_out.py", budget, guarded=True),
        ]
        show_loop(*(scene.result() for scene in loop))
        show_parcel(*(scene.result() for scene in parcel))
        show_fan_out(*(scene.result() for scene in wide))
    print(heading("Yours"))
    print(textwrap.indent(NEXT_STEPS, "  "))


def show_loop(bare: Seen, guarded: Seen) -> None:
    """Scene 1: three agents that hand a case round."""
    print(heading("Three agents hand a customer's case round and round"))
    print(textwrap.indent(textwrap.fill(f'"{bare.question}"', WIDTH - 4), "    "))
    print()
    print(
        paragraph(
            "Billing needs disputes first, disputes needs accounts first, accounts needs billing first. Nothing in the "
            "app ends that; LangGraph itself would end it after 10,007 steps."
        )
    )
    print("\n" + side_by_side(bare, guarded))
    print("\n  Who held control, call by call:\n")
    print(timeline(f"without: it would go on; the server gave up after {len(bare.callers)} calls", bare))
    print()
    print(timeline("with mas-guard: after twelve hops control is back with billing, the owner, who answers", guarded))
    print(scale(len(bare.callers)))
    print("\n  What mas-guard run wrote when the app ended:\n")
    print(_summary(guarded))


def show_parcel(bare: Seen, guarded: Seen) -> None:
    """Scene 2: the same pattern in the Agents SDK, whose turns end before the hops do."""
    print(heading("Three agents of the OpenAI Agents SDK, and ten turns"))
    print(textwrap.indent(textwrap.fill(f'"{bare.question}"', WIDTH - 4), "    "))
    print()
    print(
        paragraph(
            "Each agent reads what it has and hands the case on. The SDK ends that after ten turns with an exception, and "
            "all that was read is lost. mas-guard gives control back to the agent that owns the case."
        )
    )
    print("\n" + side_by_side(bare, guarded))
    print("\n  Who held control, call by call:\n")
    print(timeline("without: after ten turns there is an exception", bare))
    print()
    print(timeline("with mas-guard: after ten turns control is back with support, the owner, who answers", guarded))
    print(scale(len(guarded.callers)))
    print("\n  What mas-guard run wrote when the app ended:\n")
    print(_summary(guarded))


def show_fan_out(bare: Seen, guarded: Seen) -> None:
    """Scene 3: fifty branches at once on a budget of eight calls."""
    print(heading(f"Fifty branches at once on a budget of {FAN_OUT_BUDGET} calls"))
    print(
        paragraph(
            "A coordinator starts fifty checks with Send. A counter that is read before each call and raised after "
            "it lets all fifty through: none has been counted yet when the others ask. mas-guard reserves before it "
            "sends, and keeps one call for the owner, so that the user still gets an answer."
        )
    )
    print("\n" + side_by_side(bare, guarded))
    print("\n  Who held control, call by call:\n")
    print(timeline("without: all fifty are sent, then the coordinator sums up", bare))
    print()
    print(timeline("with mas-guard: what fits is sent, then the coordinator sums up what there is", guarded))
    print(scale(len(bare.callers)))


def _summary(seen: Seen) -> str:
    lines = seen.summary.splitlines()
    return "\n".join(
        textwrap.fill(line, WIDTH - 4, initial_indent="    ", subsequent_indent=" " * 8, drop_whitespace=True)
        if len(line) > WIDTH - 4
        else f"    {line}"
        for line in lines
    )


NEXT_STEPS = """\
mas-guard run app.py                  guard an app without changing it
graph = mas_guard.wrap(graph)         or one graph, in code
agent = mas_guard.wrap(triage)        or one agent of the Agents SDK, and all that it can reach
mas-guard doctor                      what is armed here, and what is not
docs/                                 tutorial, how-tos, every setting, what it cannot see"""

if __name__ == "__main__":
    main()
