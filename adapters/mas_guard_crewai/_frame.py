"""One kickoff of a crew within a run: which tasks are done, which failed, and which are held back."""

from __future__ import annotations

import json
import threading
from contextvars import ContextVar
from typing import Any

from mas_guard import Envelope
from mas_guard.adapter import GuardStopped, Handoff, Run, StepScope, guard_handoff
from mas_guard.envelopes import Finding
from mas_guard_crewai._structure import role_of

current_frame: ContextVar[Frame | None] = ContextVar("mas_guard_crewai_frame", default=None)
current_activation: ContextVar[Activation | None] = ContextVar("mas_guard_crewai_activation", default=None)


class Activation:
    """One agent at work on one task.

    Attributes:
        agent: CrewAI's agent.
        task: What it works on; `None` for an agent that was kicked off by itself.
        call_failed: True where the latest call of its model failed, or came back empty.
        retries: How often its task was run again for such a call.
        used_tool: True once a tool has run in it.
    """

    __slots__ = ("agent", "call_failed", "retries", "task", "used_tool")

    def __init__(self, agent: Any, task: Any) -> None:
        self.agent = agent
        self.task = task
        self.call_failed = False
        self.retries = 0
        self.used_tool = False


class Frame:
    """One kickoff of a crew.

    Attributes:
        run: The run that it is part of.
        crew: The crew.
        root: True where the run was opened for it: what ends the run is answered here.
        outputs: What its tasks gave, in the order in which they ended.
        errors: What tasks raised that were isolated.
        restoring: True until the crew that a checkpoint holds is there.
        owner: The agent that owns the run, where it is one of the crew's.
    """

    def __init__(self, run: Run, crew: Any, *, root: bool) -> None:
        self.run = run
        self.crew = crew
        self.root = root
        self.outputs: list[Any] = []
        self.errors: list[Exception] = []
        self.restoring = False
        self.owner: Any = None
        self._stand_ins: list[Any] = []
        self._last = ""
        self._failed: dict[int, str] = {}
        self._scopes: dict[int, StepScope] = {}
        self._lock = threading.Lock()

    @property
    def isolates(self) -> bool:
        """True where a failed task holds back what depends on it, and nothing else."""
        policy = self.run.policy
        return policy.mode == "enforce" and policy.envelopes == "require" and policy.rule_mode("envelope") == "enforce"

    def held_back(self, task: Any, role: str) -> str:
        """Why *task* may not begin; empty where it may. Raises where the run is over for the outer ones to answer."""
        if self.owner is not None and role_of(self.owner) != self.run.owner:
            self.run.rename_owner(role_of(self.owner))  # its placeholders were filled in when the kickoff began
        stop = self.run.stop
        if stop is not None and self.run.policy.mode == "enforce":
            if not self.root or stop.action not in ("owner", "partial"):
                raise self.run.raised()
            if stop.action == "owner" and stop.phase == "latched" and self._is_owners_last(task, role):
                return ""
            return f"the run was stopped: {stop.error.rule}"
        if self.isolates and isinstance(task.context, list):
            failed = [self._failed[id(one)] for one in task.context if id(one) in self._failed]
            if failed:
                return f"it needs what failed: {'; '.join(failed)}"
        return ""

    def sources_of(self, task: Any) -> frozenset[str] | None:
        """The roles whose outputs *task* is given as its context; `None` for a task that is none of the crew's own."""
        tasks = self.crew.tasks
        at = next((at for at, one in enumerate(tasks) if one is task), None)
        if at is None:
            return None
        given = task.context if isinstance(task.context, list) else tasks[:at] if task.context else ()
        return frozenset(role_of(one.agent) for one in given if one.agent is not None)

    def comes_to(self, role: str) -> None:
        """Control moves on along the order of the tasks, which cannot repeat."""
        with self._lock:
            last, self._last = self._last, role
        if last and last != role:
            guard_handoff(self.run, Handoff(last, (role,), "sequence", carries=False))

    def begins(self, task: Any, scope: StepScope) -> None:
        """*task* is worked on in *scope*: begun anew for a guardrail, what it gave before counts no longer."""
        if self.crew is None or not any(one is task for one in self.crew.tasks):
            return
        before, self._scopes[id(task)] = self._scopes.get(id(task)), scope
        with self.run.lock:
            latest = self.run.envelopes.latest.get(scope.agent)
            if before is not None and latest is not None and latest.scope is before:
                del self.run.envelopes.latest[scope.agent]

    def done(self, task: Any, role: str, output: Any) -> Any:
        """*task* has given *output*."""
        found = self._failure_of(task, role)
        if self.isolates and found is not None:
            self._failed[id(task)] = f"{name_of(task, role)} ({found.reason or 'no reason given'})"
        with self._lock:
            self.outputs.append(output)
        return output

    def skipped(self, task: Any, role: str, why: str) -> Any:
        """*task* does not begin: what stands in for its output."""
        if self.run.stop is None:
            self._fails(task, role, Finding("blocked", "failed", why, proven=True))
        return self._output_of(task, role)

    def stopped(self, task: Any, role: str, stop: GuardStopped) -> Any:
        """*task* ended in a stop: of the run, which is answered at the end, or of its agent alone."""
        latched = self.run.stop
        if latched is not None:
            if not self.root or latched.action not in ("owner", "partial"):
                raise self.run.raised() from stop
            return self._output_of(task, role)
        self.errors.append(stop)
        self._failed[id(task)] = f"{name_of(task, role)} ({stop.rule})"
        self.run.envelopes.settle_stop(self.run, role, stop)
        return self._output_of(task, role)

    def failed(self, task: Any, role: str, error: Exception) -> Any:
        """*task* raised *error*: what does not depend on it goes on."""
        if self.run.policy.envelopes == "off":
            raise error
        found = self._failure_of(task, role)
        reason = (found.reason if found is not None else "") or f"its task ended in {type(error).__name__}"
        self._fails(task, role, Finding("exception", "failed", reason, proven=True))
        if not self.isolates:
            raise error  # the outcome names the task all the same
        self.errors.append(error)
        return self._output_of(task, role)

    def state(self) -> list[Any]:
        """What there is so far, for the outcome of a run that was stopped."""
        return list(self.outputs)

    def ends_without_result(self) -> bool:
        """True where the last task was held back or failed: CrewAI would give an earlier task's text for its own."""
        last = self.crew.tasks[-1] if self.crew.tasks else None
        return last is not None and any(last.output is output for output in self._stand_ins)

    def let_go(self) -> None:
        """The kickoff is over: keep no object of the app."""
        self.outputs, self._stand_ins = [], []
        self.crew = self.owner = None

    def _is_owners_last(self, task: Any, role: str) -> bool:
        if role != self.run.owner:
            return False
        own = [one for one in self.crew.tasks if one.agent is None or role_of(one.agent) == role]
        return not own or own[-1] is task

    def _failure_of(self, task: Any, role: str) -> Envelope | None:
        """What the agent gave for this very task, where that failed: it may have several tasks."""
        latest = self.run.envelopes.latest.get(role)
        if latest is None or latest.scope is not self._scopes.get(id(task)) or latest.envelope.status != "failed":
            return None
        return latest.envelope

    def _fails(self, task: Any, role: str, finding: Finding) -> None:
        self._failed[id(task)] = f"{name_of(task, role)} ({finding.reason})"
        self.run.envelopes.settle_finding(self.run, role, finding)

    def _output_of(self, task: Any, role: str) -> Any:
        from crewai.tasks.task_output import TaskOutput

        settings = self.run.policy.agents.get(role)
        given = settings.failure_output if settings is not None else None
        raw = given if isinstance(given, str) else "" if given is None else json.dumps(given)
        output = TaskOutput(
            name=task.name or task.description,
            description=task.description,
            expected_output=task.expected_output,
            raw=raw,
            agent=role,
        )
        task.output = output
        self._stand_ins.append(output)
        return output


def name_of(task: Any, role: str) -> str:
    """How a person would call a task."""
    said = " ".join(str(task.name or task.description or "").split())
    return f"{role}: {said[:80]}" if said else role
