"""Learns contracts and consumers from recorded runs: from the shapes of outputs, which hold no contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mas_guard.contracts.contract import Contract
from mas_guard.contracts.shapes import merge_shapes


@dataclass(slots=True)
class _Agent:
    """What was seen of one agent."""

    shape: dict[str, Any] | None = None
    outputs: int = 0
    consumers: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Learned:
    """What the records say of one agent's output.

    Attributes:
        contract: What all its successful outputs have in common; `None` where no shape was recorded.
        outputs: How many successful outputs that rests on.
        consumers: The agents that got control from it, or were told its output.
    """

    contract: Contract | None
    outputs: int
    consumers: tuple[str, ...]


class Learning:
    """Takes events one by one. What is kept grows with the agents and their fields, not with the runs."""

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}

    def take(self, event: Mapping[str, Any]) -> str:
        """Take one event; returns what is wrong with it, or an empty string."""
        name, agent = event.get("event"), event.get("agent")
        if name not in ("envelope", "handoff") or not agent:
            return ""
        if not isinstance(agent, str):
            return "the agent's name is no text"
        try:
            if name == "handoff":
                self._handoff(agent, event)
            else:
                self._envelope(agent, event)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            return f"the {name} cannot be read ({type(error).__name__})"
        return ""

    def result(self) -> dict[str, Learned]:
        """What was learned, by agent in order of the names."""
        return {agent: _learned(seen) for agent, seen in sorted(self._agents.items())}

    def _handoff(self, agent: str, event: Mapping[str, Any]) -> None:
        if event.get("verdict") == "deny" and event.get("mode") != "observe":
            return  # control did not pass
        targets = event.get("target")
        if isinstance(targets, str):
            self._of(agent).consumers.update(target for target in targets.split(",") if target and target != agent)

    def _envelope(self, agent: str, event: Mapping[str, Any]) -> None:
        seen = self._of(agent)
        consumers = event.get("consumers") or ()
        seen.consumers.update(str(name) for name in consumers if name and name != agent)
        shape = event.get("shape")
        if event.get("worth", event.get("status")) != "success" or not isinstance(shape, Mapping):
            return
        if shape != seen.shape:
            seen.shape = merge_shapes(shape) if seen.shape is None else merge_shapes(seen.shape, shape)
        seen.outputs += 1

    def _of(self, agent: str) -> _Agent:
        found = self._agents.get(agent)
        if found is None:
            found = self._agents[agent] = _Agent()
        return found


def _learned(seen: _Agent) -> Learned:
    consumers = tuple(sorted(seen.consumers))
    contract = Contract(seen.shape, consumers=consumers, source="runs") if seen.shape else None
    return Learned(contract, seen.outputs, consumers)
