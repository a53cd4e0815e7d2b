"""A small framework that knows nothing of mas-guard: agents that pass a task round until one keeps it."""

from __future__ import annotations

from collections.abc import Callable

Agent = Callable[[str], tuple[str, str]]

asked: list[tuple[str, str, int | None]] = []


def complete(model: str, prompt: str, max_tokens: int | None = None) -> dict[str, object]:
    """Ask the scripted model."""
    asked.append((model, prompt, max_tokens))
    return {"text": "I am not sure. Ask the other one.", "usage": {"input": len(prompt), "output": 10}}


class Relay:
    """Agents by name; each returns its text and who is next, or an empty name."""

    def __init__(self, first: str, agents: dict[str, Agent]) -> None:
        self.first = first
        self.agents = agents

    def run(self, task: str) -> str:
        """Pass *task* round."""
        name, text = self.first, task
        while name:
            text, following = self.act(name, text)
            name = self.pass_on(name, following) if following else ""
        return text

    def act(self, name: str, text: str) -> tuple[str, str]:
        """Let one agent act."""
        return self.agents[name](text)

    def pass_on(self, source: str, target: str) -> str:
        """Pass control on; returns who has it now."""
        return target
