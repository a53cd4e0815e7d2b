"""One `Runner.run` within a run: who has control in it, who owns it, and what it has so far."""

from __future__ import annotations

from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from mas_guard.adapter import Beside, Run, StepScope, current_run, current_step
from mas_guard_openai_agents._adapter import Mark
from mas_guard_openai_agents._agents import named, reachable
from mas_guard_openai_agents._estimate import Estimate
from mas_guard_openai_agents._owed import OpenCalls
from mas_guard_openai_agents._turns import Turns

current_frame: ContextVar[Frame | None] = ContextVar("mas_guard_openai_agents_frame", default=None)


def active_frame() -> Frame | None:
    """The frame that what happens now belongs to; `None` outside of runs and in a bypassed stretch."""
    frame = current_frame.get()
    return frame if frame is not None and current_run.get() is frame.run else None


class Frame:
    """One `Runner.run`.

    Attributes:
        run: The run it belongs to.
        entry: The wrapped agent, else the one it started at.
        opened: True where the run was opened for it; it joined another's otherwise.
        resumed: The `RunState` that it goes on from; `None` where it begins anew.
        chains: True where the app has the SDK chain its replies, so that the provider keeps the history.
        root: True where a stopped run's control can return to the owner in this very loop: the outermost one.
        agents: Every agent seen, by name.
        answers_unknown_tools: True where the app has chosen that calls of unknown tools are answered by the SDK.
        unguarded: What of it no seam covers, to be said once it begins.
        scope: The activation that is going on.
        outer: The activation it happens within.
        handed_by: For each agent, the agent that handed control to it.
        enabled: For each agent, the targets that its handoffs could reach in its latest turn.
        turns: The app's `max_turns` with room for the owner; `None` where the app's own handling stays.
        refused_input: What a model call that was not sent would have sent.
        items: The run's items so far, the SDK's own, for a stopped run's state.
        models: The stand-ins of the models used so far.
        placeholders: Replies that stand for model calls that were not sent.
        open_calls: Tool calls that the provider's histories wait for.
        cut: The call whose reply was cut off by the guard's own cap.
    """

    __slots__ = (
        "_others", "agents", "answers_unknown_tools", "chains", "cut", "enabled", "entry", "estimate", "handed_by", "items", "mark", "models", "open_calls", "opened", "outer",
        "placeholders", "refused_input", "resumed", "root", "run", "scope", "start", "turns", "unguarded",
    )  # fmt: skip

    def __init__(self, run: Run, entry: Any, mark: Mark | None, start: Any, *, root: bool) -> None:
        self.run = run
        self.entry = entry
        self.mark = mark
        self.start = start
        self.root = root
        self.opened = False
        self.resumed: Any = None
        self.chains = False
        self.agents: dict[str, Any] = {}
        self.scope: StepScope | None = None
        self.outer: StepScope | None = None if root else current_step.get()
        self.handed_by: dict[str, Any] = {}
        self.enabled: dict[str, frozenset[str]] = {}
        self.turns: Turns | None = None
        self.refused_input: Any = None
        self.items: tuple[Any, list[Any]] = ("", [])
        self.estimate = Estimate()
        self.models: dict[int, Any] = {}
        self.placeholders: list[Any] = []
        self.cut: Any = None
        self.open_calls = OpenCalls()
        self.answers_unknown_tools = False
        self.unguarded = ""
        self._others: tuple[Any, bool] | None = None

    def own(self) -> None:
        """Take the run over: its owner is the wrapped or entry agent where nobody else was named."""
        run = self.run
        if not run.owner:
            run.set_owner(self.entry.name)
        run.owner_has_model = self.has_owner
        run.other_agents = self.has_others

    def owner(self) -> Any:
        """The agent that owns the run; `None` where it is not known here."""
        name = self.run.owner
        if self.entry.name == name:
            return self.entry
        return self.agents.get(name) or named(self.entry, name) or named(self.start, name)

    def has_owner(self) -> bool:
        """True where the agent that owns the run is known here."""
        return self.entry.name == self.run.owner or self.owner() is not None

    def has_others(self) -> bool:
        """True where the run has other agents than its owner; looked up anew where the entry agent was given more."""
        name, agents = self.run.owner, self.run.agents
        if len(agents) > 1 or (agents and name not in agents):
            return True
        shape = len(self.entry.handoffs), len(self.entry.tools), name
        if self._others is None or self._others[0] != shape:
            found = any(agent.name != name for start in (self.entry, self.start) for agent in reachable(start))
            self._others = shape, found
        return self._others[1]

    def begin_turn(self, agent: Any) -> StepScope:
        """The activation that *agent*'s turn is part of."""
        run, scope = self.run, self.scope
        name = agent.name
        concluding = run.stop is not None and run.stop.phase == "concluding"
        if (
            scope is not None
            and scope.agent == name
            and self.agents.get(name) is agent
            and scope.concluding == concluding
        ):
            return scope
        self.meet(agent)
        scope = self.scope = StepScope(run, name, outer=self.outer)
        timeout = run.policy.agent_step_timeout(name) if run.policy.agents else run.policy.step_timeout
        if timeout is not None:
            scope.start_clock(timeout)
        return scope

    def meet(self, agent: Any) -> None:
        """Remember *agent*, also for runs that go on from it."""
        if self.agents.get(agent.name) is not agent:
            self.agents[agent.name] = agent
            if self.mark is not None and agent is not self.entry:
                self.mark.reached.put(agent, True)

    def end(self) -> None:
        """Let go of the app's objects: a run is remembered for longer than they should live."""
        # A thread that the run has started may keep this frame for as long as it lives.
        self.entry = self.start = SimpleNamespace(name=self.entry.name, handoffs=(), tools=())
        self.estimate = Estimate()
        self.refused_input = self.resumed = None
        self.models.clear()
        if self.run.adapter_state.get("openai_agents") is self:
            del self.run.adapter_state["openai_agents"]  # the next runner in the same run may go back to its owner
        self.agents.clear()
        self.handed_by.clear()
        self.placeholders.clear()
        self.items = ("", [])

    def state(self) -> Any:
        """What the next turn's input would be: the state so far of a run that was stopped."""
        given, items = self.items
        so_far: list[Any] = list(given) if isinstance(given, list) else [{"role": "user", "content": given}]
        for item in items:
            try:
                so_far.append(item.to_input_item())
            except Exception:  # an approval that waits is no input
                continue
        return so_far


states: Beside[dict[str, Any]] = Beside()
"""What a `RunState` carries of its run."""

runs_of_results: Beside[Run] = Beside()
"""The run that a result, also one that waits for an approval, belongs to."""
