"""What the agents of an app declare to give, and who takes it: for contracts that are checked before anything runs."""

from __future__ import annotations

from typing import Any

from mas_guard_openai_agents._agents import reachable, target_of


def declared_outputs(entry: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Each reachable agent's output type, and the agents that get its output: those that hold it as a tool, and those that
    it hands over to."""
    agents = list(reachable(entry))
    found: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for agent in agents:
        takers = [taker.name for taker in agents if any(_worker_of(tool) is agent for tool in taker.tools)]
        takers += [target.name for target in map(target_of, agent.handoffs) if target is not None]
        declared = agent.output_type
        inner = getattr(declared, "output_type", declared)  # an AgentOutputSchema names the type that it is for
        found[agent.name] = (inner if inner is not None else str, tuple(dict.fromkeys(takers)))
    return found


def _worker_of(tool: Any) -> Any:
    return getattr(tool, "_agent_instance", None)
