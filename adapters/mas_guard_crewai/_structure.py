"""What a crew's own fields tell: its agents, who owns its runs, and what its tasks declare to give."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from mas_guard import ConfigError, Policy
from mas_guard.adapter import Finding

MANAGER = "Crew Manager"


def role_of(agent: Any) -> str:
    """The name that an agent acts under: its role."""
    return str(getattr(agent, "role", "") or "").strip()


def is_crew(app: Any) -> bool:
    """True for a crew."""
    return hasattr(app, "tasks") and hasattr(app, "agents")


def is_hierarchical(crew: Any) -> bool:
    """True where a manager hands the tasks out."""
    process = getattr(crew, "process", None)
    return getattr(process, "value", process) == "hierarchical"


def agents_of(app: Any) -> Iterator[Any]:
    """Every agent of a crew, its manager among them; an agent itself; none of a flow, whose methods are code."""
    if not is_crew(app):
        if hasattr(app, "role"):
            yield app
        return
    seen: set[int] = set()
    tasks = [task.agent for task in app.tasks]
    for agent in (*app.agents, *tasks, app.manager_agent):
        if agent is not None and id(agent) not in seen:
            seen.add(id(agent))
            yield agent


def default_owner(crew: Any) -> str:
    """Who answers for a crew's run: the manager, or the agent of the last task."""
    if is_hierarchical(crew):
        return role_of(crew.manager_agent) or MANAGER
    return next((role_of(task.agent) for task in reversed(crew.tasks) if task.agent is not None), "")


def named(app: Any, role: str) -> Any:
    """The agent of *app* with that role, as it stands or with its placeholders (`{topic} Writer`); `None` for none."""
    return next((agent for agent in agents_of(app) if role in names_of(agent)), None)


def names_of(agent: Any) -> tuple[str, str]:
    """An agent's role as it stands now, and as it was written."""
    return role_of(agent), str(getattr(agent, "_original_role", None) or "").strip()


def check_owner(app: Any, policy: Policy) -> None:
    """Refuse an owner that is no agent of a crew."""
    if not policy.owner or not is_crew(app):
        return
    managed = is_hierarchical(app) and app.manager_agent is None  # CrewAI makes one at kickoff, under that name
    if named(app, policy.owner) is not None:
        return
    names = sorted({role_of(agent) for agent in agents_of(app)} | ({MANAGER} if managed else set()))
    if policy.owner in names:
        return
    near = difflib.get_close_matches(policy.owner, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}."
    raise ConfigError(
        f"OWNER={policy.owner!r} is no agent of this crew: {hint}", source=policy.explain("OWNER").source, key="OWNER"
    )


def declared_outputs(app: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """The type that each task's agent declares to give, and the agents whose tasks take it as context."""
    if not is_crew(app):
        return {}
    found: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for at, task in enumerate(app.tasks):
        if task.agent is None:
            continue
        takers = [
            role_of(later.agent)
            for later in app.tasks[at + 1 :]
            if later.agent is not None and (not isinstance(later.context, list) or task in later.context)
        ]
        declared = task.output_pydantic or task.output_json or task.response_model or str
        found[role_of(task.agent)] = (declared, tuple(dict.fromkeys(takers)))
    return found


def examine(app: Any) -> list[Finding]:
    """What `doctor` says: the agents, the owner, and what waits or repeats by settings of CrewAI's own."""
    if not is_crew(app):
        return []
    names = [role_of(agent) for agent in agents_of(app)]
    findings = [Finding("ok", f"agents: {', '.join(names)}; owner: {default_owner(app) or 'none'}")]
    for name in sorted({name for name in names if names.count(name) > 1}):
        findings.append(
            Finding(
                "warning",
                f"{names.count(name)} agents have the role {name!r}: limits count them as one",
                "give each a role of its own",
            )
        )
    if any(task.human_input for task in app.tasks):
        findings.append(
            Finding(
                "warning",
                "a task asks for human input on the console: in a server nobody sees it",
                "set a provider with crewai.core.providers.human_input.set_provider, or take human_input out",
            )
        )
    unlinked = [task for task in app.tasks[1:] if not isinstance(task.context, list)]
    if unlinked and not is_hierarchical(app):
        findings.append(
            Finding(
                "ok",
                f"{len(unlinked)} tasks take everything before them as context; only an explicit context=[…] lets a "
                "failed task hold back just those that need it",
            )
        )
    return findings
