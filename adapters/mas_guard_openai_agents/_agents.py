"""What a tree of agents tells before it runs: who can be reached, who may own a run, and what no seam covers."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from mas_guard import ConfigError, Policy
from mas_guard.adapter import Finding

DEFAULT_TURNS = 10  # the SDK's own default of max_turns
HOSTED_AGENTS = "agents.extensions.experimental.hosted_multi_agent"
OWN_TOOLS = ("FunctionTool",)
LOCAL_TOOLS = ("ComputerTool", "ShellTool", "LocalShellTool", "ApplyPatchTool", "CustomTool")


def reachable(agent: Any) -> Iterator[Any]:
    """*agent*, and every agent that its handoffs and its tools lead to, each once."""
    seen: set[int] = set()
    waiting = [agent]
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting.extend(target for target in map(target_of, found.handoffs) if target is not None)
        for tool in found.tools:
            worker = getattr(tool, "_agent_instance", None)
            if worker is not None and hasattr(worker, "handoffs"):
                waiting.append(worker)


def target_of(handoff: Any) -> Any:
    """The agent that an entry of `handoffs` leads to; `None` where only its own code knows."""
    if hasattr(handoff, "handoffs"):
        return handoff
    reference = getattr(handoff, "_agent_ref", None)
    return reference() if reference is not None else None


def named(entry: Any, name: str) -> Any:
    """The reachable agent called *name*; `None` for none."""
    return next((agent for agent in reachable(entry) if agent.name == name), None)


def check_owner(entry: Any, policy: Policy) -> None:
    """Refuse an owner that cannot be reached."""
    if not policy.owner or named(entry, policy.owner) is not None:
        return
    names = [agent.name for agent in reachable(entry)]
    near = difflib.get_close_matches(policy.owner, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"those are {', '.join(names)}."
    raise ConfigError(
        f"OWNER={policy.owner!r} is no agent that {entry.name!r} can reach: {hint}",
        source=policy.explain("OWNER").source,
        key="OWNER",
    )


def examine(entry: Any) -> list[Finding]:
    """What `doctor` says: the agents, who hands to whom, and what runs unguarded."""
    if not hasattr(entry, "handoffs"):
        return []
    agents = list(reachable(entry))
    findings = [Finding("ok", f"agents: {', '.join(agent.name for agent in agents)}; owner: {entry.name}")]
    names = [agent.name for agent in agents]
    for name in sorted({name for name in names if names.count(name) > 1}):
        findings.append(
            Finding(
                "warning", f"{names.count(name)} agents are called {name!r}: limits count them as one", "rename one"
            )
        )
    for agent in agents:
        hosted = sorted({type(tool).__name__ for tool in agent.tools if type(tool).__name__ not in OWN_TOOLS})
        for kind in hosted:
            where = "on this machine" if kind in LOCAL_TOOLS else "at the provider"
            findings.append(
                Finding(
                    "warning",
                    f"{agent.name}: {kind} runs {where}, outside of what tool budgets, repetition and deadlines see",
                    "bound it by BUDGET__MODEL_CALLS and BUDGET__USD, or make it a function tool",
                )
            )
        if type(agent.model).__module__.startswith(HOSTED_AGENTS):
            findings.append(
                Finding(
                    "warning",
                    f"{agent.name}: the provider hosts agents that hand over among themselves, where no hop is seen",
                    "bound it by BUDGET__MODEL_CALLS and BUDGET__USD",
                )
            )
        if type(agent).__name__ == "SandboxAgent":
            findings.append(
                Finding("warning", f"{agent.name}: what runs in its sandbox is unguarded", "limit the sandbox itself")
            )
    if len(agents) > 1:
        findings.append(
            Finding("ok", f"a run that reaches max_turns (default {DEFAULT_TURNS}) goes back to {entry.name}")
        )
    return findings
