"""The envelopes of one run: what each agent's latest output was worth, and who is still to be told of it.

An output that is no success is told to the next agent that gets control after it, or that waited for it: once, at the
model seam, in words its model can act on. Agents that work beside it are not told.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mas_guard._step_scope import StepScope, current_step
from mas_guard.envelopes import Finding, examine_reply, examine_value, read_trailer
from mas_guard.errors import GuardStopped
from mas_guard.types import CallOutcome, Envelope, ModelCall

if TYPE_CHECKING:
    from mas_guard._run import Run

RULE = "envelope"
LISTED = 3  # violations of a contract that are said
REMEMBERED = 512  # outputs of a run; of more agents, or more texts, the oldest are forgotten
ENDED_IN_ERROR = Finding(
    "exception", "failed", "it ended in an error, and what was given back is only that error's text", proven=True
)
SUCCESS = Envelope("success")
SHORTEST_STALE = 60  # characters; a routing line or a short verdict given twice is nothing to wonder at


class Settled:
    """One agent's latest output.

    Attributes:
        agent: Who gave it.
        envelope: What it is worth; without the result itself.
        proven: True where the failure is certain, not only likely.
        at: When, on the run's own count.
        scope: The activation that gave it, and `within` those that waited for it.
        wave: What was started together with that activation, where the adapter can tell.
        request: A hash of what it answered.
        told: The activations that have been told; of whoever comes next, one.
    """

    __slots__ = ("agent", "at", "envelope", "proven", "request", "scope", "told", "wave", "within")

    def __init__(
        self, agent: str, envelope: Envelope, proven: bool, at: int, scope: StepScope | None, request: int
    ) -> None:
        self.agent = agent
        self.envelope = envelope
        self.proven = proven
        self.at = at
        self.scope = scope
        self.wave = scope.wave if scope is not None else None
        self.request = request
        self.within: list[StepScope] = []
        self.told: set[str] = set()
        while scope is not None:
            if scope.agent != agent:
                self.within.append(scope)
            scope = scope.outer


class EnvelopeBook:
    """See the module's text."""

    __slots__ = ("_repaired", "_replies", "latest", "texts")

    def __init__(self) -> None:
        self.latest: OrderedDict[str, Settled] = OrderedDict()
        self.texts: dict[str, str] = {}  # each agent's latest answer, while the run goes on
        self._repaired: set[str] = set()
        self._replies: OrderedDict[tuple[str, int], tuple[int, StepScope | None]] = OrderedDict()

    def settle_reply(self, run: Run, call: ModelCall, outcome: CallOutcome) -> None:
        """A model has answered for an agent."""
        if not call.agent:
            return
        self.texts[call.agent] = outcome.text
        if not _looks(run):
            return
        finding = examine_reply(outcome.text, cut=outcome.cut, refused=outcome.refused)
        if finding is None and run.policy.agents:
            finding = contract_finding(run, call.agent, outcome.text)
        stale = self._is_stale(call, outcome.text)
        if finding is None and stale:
            finding = Finding("stale", "partial", "the output is the same as for an earlier, different request")
        said = call.said.envelope if call.said is not None else None
        if finding is None:
            envelope = said if said is not None else SUCCESS
        elif said is not None and said.status == "failed":
            envelope = said
        else:
            envelope = Envelope(finding.status, None, said.confidence if said is not None else None, finding.reason)
        self._settle(run, call.agent, envelope, finding, outcome.text, hash(call.last_message))

    def forget_texts(self) -> None:
        """The run has ended: its answers are the app's."""
        self.texts.clear()
        self._replies.clear()
        for settled in self.latest.values():
            settled.within.clear()
            settled.scope = None

    def may_repair(self, run: Run, call: ModelCall) -> bool:
        """True where *call*'s answer has no envelope that holds, and its agent may be asked for one: once in a run, so
        that a model that ignores the request costs one call more."""
        if not call.asks_envelope or call.said is None or call.said.envelope is not None or run.stop is not None:
            return False
        with run.lock:
            if call.agent in self._repaired:
                return False
            self._repaired.add(call.agent)
        return True

    def settle_repair(self, run: Run, call: ModelCall, text: str) -> None:
        """The attempt to repair *call*'s envelope has brought *text*."""
        assert call.said is not None
        said = read_trailer(text)
        before = self.latest.get(call.agent)
        if said.envelope is not None:
            # What shows of the answer itself stands above what the model says of it.
            if before is None or before.envelope.status == "success" or said.envelope.status == "failed":
                self._settle(run, call.agent, said.envelope, None)
        elif call.said.there:
            reason = f"its envelope does not hold ({'; '.join(call.said.problems)})"
            self.settle_finding(run, call.agent, Finding("type", "failed", reason, proven=True))

    def settle_delegation(self, run: Run, worker: str, outcome: CallOutcome, *, inner_error: bool) -> None:
        """A tool call inside which *worker* acted has ended: whoever made it gets what the framework made of it."""
        if not _looks(run):
            return
        error = outcome.error
        interrupted = isinstance(error, tuple(run.signals)) and not isinstance(error, GuardStopped)
        if error is not None and (interrupted or not isinstance(error, Exception)):
            return  # put off, or cancelled: it has not failed
        failed = error is not None or outcome.substituted
        if failed or (inner_error and examine_value(outcome.text) is not None):
            known = self.latest.get(worker)
            if known is None or known.envelope.status != "failed" or not known.proven:
                self.settle_finding(run, worker, ENDED_IN_ERROR)
        else:
            self.settle_output(run, worker, outcome.text)

    def settle_output(self, run: Run, agent: str, value: Any) -> None:
        """A step has given *value* on, beside or instead of its model's answer."""
        if not _looks(run):
            return
        finding = examine_value(value)
        known = self.latest.get(agent)
        if finding is not None and known is not None and known.proven and known.envelope.status != "success":
            return  # what is certain stands above what only seems so
        if finding is not None:
            self._settle(run, agent, Envelope(finding.status, None, None, finding.reason), finding)

    def settle_stop(self, run: Run, agent: str, stop: GuardStopped) -> None:
        """A limit of *agent*'s own has ended it."""
        self.settle_finding(run, agent, Finding("stopped", "failed", f"{stop} Do not call it again", proven=True))

    def settle_finding(self, run: Run, agent: str, finding: Finding) -> None:
        """*finding* is what an adapter knows of *agent*'s output."""
        self._settle(run, agent, Envelope(finding.status, None, None, finding.reason), finding)

    def to_tell(self, run: Run, agent: str, scope: StepScope | None) -> list[str]:
        """What *agent*, about to ask its model, is to be told of the others' outputs."""
        if not agent or run.policy.mode != "enforce" or run.policy.rule_mode(RULE) != "enforce":
            return []
        told = []
        with run.lock:
            for settled in self.latest.values():
                if scope is None or settled.agent == agent or settled.envelope.status == "success":
                    continue
                if not (settled.proven or run.policy.envelopes == "require") or not _receives(scope, settled):
                    continue
                settled.told.add(scope.identity)
                told.append(telling(settled.agent, settled.envelope))
        return told

    def not_successful(self) -> list[Settled]:
        """The agents whose latest output is no success."""
        return [settled for settled in list(self.latest.values()) if settled.envelope.status != "success"]

    def _settle(
        self, run: Run, agent: str, envelope: Envelope, finding: Finding | None, text: str = "", request: int = 0
    ) -> None:
        with run.lock:
            run.tick += 1
            known, scope = self.latest.get(agent), current_step.get()
            if known is not None and _stands_beside(known, envelope, scope, request):
                return
            proven = finding is None or finding.proven  # what the worker says of itself is certain
            self.latest[agent] = Settled(agent, envelope, proven, run.tick, scope, request)
            self.latest.move_to_end(agent)
            while len(self.latest) > REMEMBERED:
                self.latest.popitem(last=False)
        if run.engine.recording(run):
            run.engine.record_envelope(run, agent, envelope, finding.kind if finding is not None else "", text)

    def _is_stale(self, call: ModelCall, text: str) -> bool:
        """True where the agent gave *text* before, in another activation and to another request."""
        if len(text) < SHORTEST_STALE:
            return False
        scope, asked = current_step.get(), hash(call.last_message)
        before = self._replies.setdefault((call.agent, hash(text)), (asked, scope))
        while len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        return scope is not None and before[0] != asked and before[1] is not scope


def _stands_beside(known: Settled, envelope: Envelope, scope: StepScope | None, request: int) -> bool:
    """True where a success does not mend the failure of the agent's other activation: it was one of many that were
    started together. It mends it where it answers the same request, or began after another agent had acted upon that."""
    if known.envelope.status == "success" or envelope.status != "success" or scope is None or scope is known.scope:
        return False
    if scope.wave is not None and known.wave is not None:
        return scope.wave == known.wave
    return scope.agent == known.agent and request != known.request and scope.others_acted <= known.at


def _looks(run: Run) -> bool:
    return run.policy.envelopes != "off" and run.policy.rule_mode(RULE) != "off"


def contract_finding(run: Run, agent: str, text: str) -> Finding | None:
    """How *agent*'s answer misses what `[agents.NAME] contract` declares; `None` where it does not, or nothing is declared."""
    contract = run.policy.contract(agent)
    if contract is None or contract.is_text:
        return None
    from mas_guard.contracts import violations  # lazily: only where a contract is declared

    found = violations(contract, text)
    if not found:
        return None
    return Finding("type", "failed", f"the output misses its contract: {'; '.join(found[:LISTED])}", proven=True)


def telling(agent: str, envelope: Envelope) -> str:
    """What the next model is told of an output that is no success."""
    reason = f": {envelope.reason}" if envelope.reason else ""
    if envelope.status == "failed":
        return (
            f"[mas-guard] The output of {agent!r} has the status failed{reason}. Do not treat it as a result: do "
            "without it, or get it in another way, and say what is missing."
        )
    return (
        f"[mas-guard] The output of {agent!r} has the status partial{reason}. Use it only for what it holds, and say "
        "what is missing."
    )


def _receives(scope: StepScope, settled: Settled) -> bool:
    """True where the activation *scope* is given the output: it waited for it, takes it by a declared order, or is the
    next one that began after it."""
    waited = any(scope is waiting for waiting in settled.within)
    if scope.sources is not None and not waited:
        return settled.agent in scope.sources and scope.identity not in settled.told
    if settled.told:
        return False
    if waited:
        return True
    if scope.began <= settled.at or (scope.wave is not None and scope.wave == settled.wave):
        return False
    # Whoever delegated to both, and asks its own model, is told; the other worker is not.
    around = scope.outer
    while around is not None:
        if around.asks and any(around is waiting for waiting in settled.within):
            return False
        around = around.outer
    return True
