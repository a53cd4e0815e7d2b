"""One invocation of a graph within a run: who has control in it, and how it can be ended."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Any

from mas_guard.adapter import Run, StepScope, current_step
from mas_guard_langgraph._graph import HIDDEN, Graph, graph_of

current_frame: ContextVar[Frame | None] = ContextVar("mas_guard_langgraph_frame", default=None)
current_task: ContextVar[tuple[Frame, Any] | None] = ContextVar("mas_guard_langgraph_task", default=None)


class Frame:
    """One invocation of a graph.

    Attributes:
        run: The run it belongs to.
        graph: The graph's facts.
        root: True for the run's outermost graph.
        in_place: True where the graph can be ended by committing what it has and going nowhere: the outermost
            one, and one that *is* a node of an in-place graph. A graph that user code calls ends by the stop.
        agents: Nodes that are known agents of this graph by now.
        lineage: For each node that may run next, the agent that control came from.
        settling: True for the one superstep in which a stopped run's open tool calls are answered (see `_owed`).
        delegated: For each agent, who handed control to it, for telling a return from a transfer.
    """

    __slots__ = (
        "agents", "answered", "delegated", "graph", "in_place", "lineage", "lock", "loop", "owner_told",
        "pending", "pregel", "refused", "resume_input", "resumed_stopped", "root", "run", "scopes",
        "settled", "settling", "started", "suspended",
    )  # fmt: skip

    def __init__(self, run: Run, pregel: Any, *, root: bool) -> None:
        self.run = run
        self.pregel = pregel
        self.graph: Graph = graph_of(pregel)
        self.root = root
        self.lock = threading.Lock()
        self.agents: set[str] = set(self.graph.subgraphs) | self._declared_agents()
        self.lineage: dict[str, str] = {}
        self.delegated: dict[str, str] = {}
        self.pending: dict[str, tuple[str, str]] = {}
        self.scopes: dict[str, StepScope] = {}
        self.loop: Any = None
        self.started = False
        self.resumed_stopped = False
        self.owner_told = False
        self.suspended = False
        self.refused = False  # a resume of a run that was stopped and not topped up
        self.settling = self.settled = False
        self.answered: set[str] = set()
        self.resume_input: Any = None
        outer = current_task.get()
        self.in_place: bool = root or (
            outer is not None
            and outer[0].run is run
            and outer[0].in_place
            and outer[0].graph.bound.get(outer[1].name) is pregel
        )

    def _declared_agents(self) -> set[str]:
        settings = self.run.policy.agents
        return {name for name, setting in settings.items() if setting.is_agent and name in self.graph.nodes}

    def may_be_agent(self, node: str) -> bool:
        """False for nodes that only ever act for another: tool nodes, middleware, and those declared no agents."""
        setting = self.run.policy.agents.get(node)
        if setting is not None and setting.is_agent is not None:
            return setting.is_agent
        return self.graph.may_be_agent(node)

    def scope_for(self, task: Any) -> StepScope | None:
        """The activation that *task* is part of; `None` where it goes on with the enclosing one."""
        name = task.name
        run = self.run
        if name in HIDDEN:
            return None
        if self.root and not self.owner_told:
            self.owner_told = True
            self.take_default_owner([task.name for task in self.loop.tasks.values()])
        if name in self.agents:
            scope = StepScope(run, name, task.id, current_step.get())
        elif not self.root:
            return None
        elif not self.may_be_agent(name):
            # A tool node acts for the agent that control came from, within the same activation.
            agent = self.lineage.get(name, "")
            return self.scopes.get(agent) if agent or not run.resumed else self._scope_before_the_resume(task)
        else:
            scope = StepScope(run, name, task.id, None)
        if self.loop is not None:
            scope.wave = (id(self), self.loop.step)
        timeout = run.policy.agent_step_timeout(name) if run.policy.agents else run.policy.step_timeout
        if timeout is not None:
            scope.start_clock(timeout)
        self.scopes[name] = scope
        return scope

    def _scope_before_the_resume(self, task: Any) -> StepScope | None:
        """A new activation of the agent that had control when the run was suspended."""
        agent = self.run.path[-1] if self.run.path else ""
        if agent not in self.graph.nodes:
            return None
        if agent not in self.scopes:
            self.scopes[agent] = StepScope(self.run, agent, task.id, current_step.get())
        return self.scopes[agent]

    def know_agents_of(self, tasks: list[Any]) -> None:
        """A node in whose name a model was called is an agent; in an inner graph only declared ones are."""
        if not self.root:
            return
        acting = self.run.agents
        for task in tasks:
            name = task.name
            if name in acting and name not in self.agents and self.may_be_agent(name):
                self.agents.add(name)

    def know_agents_again(self) -> None:
        """After a resume: agents that the run knew are agents again."""
        self.agents |= {name for name in self.run.agents & self.graph.nodes if self.may_be_agent(name)}

    def take_default_owner(self, names: list[str]) -> None:
        """The entry agent owns the run, where nobody was named and it is one agent."""
        run = self.run
        if run.owner and run.owner not in self.graph.nodes:
            return  # the owner is an agent of the framework that opened the run
        run.owner_has_model = self._owner_has_model
        run.other_agents = self._other_agents
        if not run.owner and len(names) == 1 and self.may_be_agent(names[0]):
            run.set_owner(names[0])

    def _owner_has_model(self) -> bool:
        owner = self.run.owner
        if owner not in self.graph.nodes:
            return False
        return owner in self.agents or (owner in self.run.agents and self.may_be_agent(owner))

    def _other_agents(self) -> bool:
        owner = self.run.owner
        return any(agent != owner for agent in self.agents) or any(agent != owner for agent in self.run.agents)
