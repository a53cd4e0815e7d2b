"""The vocabulary: what adapters hand to the guard, what rules answer, and what a run ends in.

Everything that passes through a hook is defined here, so that a rule or an adapter needs no other import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Unit = Literal["tokens", "model_calls", "tool_calls", "nano_usd"]
UNITS: tuple[Unit, ...] = ("tokens", "model_calls", "tool_calls", "nano_usd")
NANO_USD_PER_USD = 1_000_000_000


class Amounts(NamedTuple):
    """What something costs, one integer per unit. Money is in nano-USD, so that no cent is lost to floats."""

    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    nano_usd: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum, unit by unit."""
        return Amounts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Limits(NamedTuple):
    """The most that may be spent, one ceiling per unit; `None` means that the unit has no limit."""

    tokens: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    nano_usd: int | None = None


ZERO = Amounts()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the provider says a model call used, in tokens. `None` is unknown, never zero.

    Attributes:
        input_tokens: All input tokens, cached ones included.
        output_tokens: All output tokens, reasoning included.
        cached_tokens: The part of the input that was read from the provider's cache.
        cost_nano_usd: What the reply itself says it cost, where it does (0 for a cache hit).
        estimated: True where the figure is the guard's bound instead of the provider's word.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    cost_nano_usd: int | None = None
    estimated: bool = False

    @property
    def known(self) -> bool:
        """True where both token figures are known."""
        return self.input_tokens is not None and self.output_tokens is not None


UNKNOWN_USAGE = Usage()


def sum_usage(usages: Sequence[Usage]) -> Usage:
    """The usage of several requests together; unknown where one of them is, or where there is none."""
    if not usages or not all(usage.known for usage in usages):
        return UNKNOWN_USAGE
    return Usage(
        sum(usage.input_tokens or 0 for usage in usages),
        sum(usage.output_tokens or 0 for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker said of its answer.

    Attributes:
        text: The answer without its last line, which held the envelope.
        envelope: The envelope without its result; `None` where there was none, or none that holds.
        problems: What is wrong with it, for the one attempt to repair it; never its content.
        there: True where there was such a line at all.
    """

    text: str
    envelope: Envelope | None = None
    problems: tuple[str, ...] = ()
    there: bool = False


@dataclass(slots=True)
class ModelCall:
    """One request to a model, as an adapter sees it just before it is sent.

    Attributes:
        model: The model's name as the app gives it.
        agent: The agent on whose behalf it is made; empty where none is known.
        input_bound: An upper bound of the input in tokens (see `mas_guard.prices.input_bound`).
        max_output: The app's own cap on the output in tokens, or `None`.
        choices: How many answers are asked for at once (`n`).
        requests: How many requests it stands for (a batch that a framework sends as one call).
        last_message: The text of the message that is answered, for the repetition rule.
        count_exactly: Counts the input with an installed tokenizer, or answers `None`.
        identity: A stable id where the framework has one, so that a repeated attempt is not booked twice.
        notes: Texts that the adapter adds as last messages, at the model seam only.
        output_cap: The cap that the guard puts on the output; `None` leaves the request as it is.
        concluding: True for the owner's concluding turn: no tool may be chosen.
        usage_heard: What the client below the framework heard of usage, request by request: read only where the
            framework does not pass usage on, because the guard alone asked for it, or an error lost it.
        heard_cut, heard_refusal: True where that client heard that the reply was cut off by length, or that a filter
            took it: some frameworks keep neither.
        takes_envelope: True where the adapter can ask for an envelope with this call and take it off the reply.
        asks_envelope: True where it is asked for.
        said: What was said, once the adapter has taken it off the reply: the answer as it stood, the envelope, and what
            is wrong with it.
        optional: True for a call of the guard's own: where it does not fit, it is left out, and nothing is stopped.
        unseen_input: True where part of the input is not visible here (history kept by the provider, media).
        retries: The most retries of it that the provider's client may make; `None` leaves that to the client.
    """

    model: str
    agent: str = ""
    input_bound: int = 0
    max_output: int | None = None
    choices: int = 1
    requests: int = 1
    last_message: str = ""
    count_exactly: Any = None
    identity: str = ""
    notes: list[str] = field(default_factory=list)
    output_cap: int | None = None
    concluding: bool = False
    takes_envelope: bool = False
    asks_envelope: bool = False
    said: Said | None = None
    optional: bool = False
    unseen_input: bool = False
    retries: int | None = None
    usage_heard: list[Callable[[], Usage]] = field(default_factory=list)
    heard_cut: bool = False
    heard_refusal: bool = False
    kind: Literal["model"] = "model"

    @property
    def usage_seen(self) -> Usage | None:
        """The sum of `usage_heard`; unknown where one of its requests is, `None` where nothing was heard."""
        heard = self.usage_heard
        if not heard or self.requests != 1:  # of a batch it is not known here which requests have answered
            return None
        if len(heard) == 1:
            return heard[0]()
        return sum_usage([usage() for usage in heard])


@dataclass(slots=True)
class ToolCall:
    """One call of a tool, as an adapter sees it just before the tool runs.

    Attributes:
        tool: The tool's name.
        arguments: The arguments as given, JSON-like.
        agent: The agent that asked for it; empty where none is known.
        is_handoff: True where the tool passes control on: the hop counter judges those.
        worker: The agent that acted inside of it, once it has ended: it was a delegation.
        pauses: True where the adapter can pause the app here and ask whoever resumes it (`REVIEW__CHANNEL=interrupt`).
        waits_for: The review that such a pause is to show; empty where there is none.
        from_cache: True where the framework answers it from its own cache, and the tool does not run.
        effect: The id of its effect, where that happens at most once (`ONCE_TOOLS`).
        no_effect: True where the adapter knows that nothing has happened: the framework refused the arguments, or the
            number of uses, before the tool's own code was entered, or the tool has paused the app and begins anew later.
        raised: What the tool raised, where the framework made a text of it.
        told: What the adapter adds to the text that a framework gives in place of the result of a call that failed.
        goes_on: True where the framework has given the call up, as after a time-out of its own, and the tool still runs.
        ended: Where it has an effect: to be called with how the tool ended that went on, once it has.
    """

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    agent: str = ""
    identity: str = ""
    is_handoff: bool = False
    worker: str = ""
    pauses: bool = False
    waits_for: str = ""
    from_cache: bool = False
    effect: str = ""
    no_effect: bool = False
    raised: BaseException | None = None
    told: str = ""
    goes_on: bool = False
    ended: Callable[[CallOutcome], None] | None = None
    kind: Literal["tool"] = "tool"


Call = ModelCall | ToolCall


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended.

    Attributes:
        text: The reply or the tool's result as text, for comparison only; never recorded.
        tool_calls: Names of the tools that a model's reply asks for.
        usage: What it used; unknown where the reply did not say.
        error: The exception that it ended in, or `None`.
        cut: True where the reply ended because of an output cap.
        cached: True where the framework answered from its own cache and nothing was sent.
        answered: True where a model gave a final answer in text: no tool was asked for, and there is no media in it.
        refused: True where the provider says that the model refused, or that a filter did.
        substituted: True where the framework put the text of an error in the place of a tool's result.
    """

    text: str = ""
    tool_calls: tuple[str, ...] = ()
    usage: Usage = UNKNOWN_USAGE
    error: BaseException | None = None
    cut: bool = False
    cached: bool = False
    answered: bool = False
    refused: bool = False
    substituted: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One activation of an agent. `identity` is the framework's id for it, the same again on a resume."""

    agent: str
    identity: str = ""
    has_model: bool = True


HandoffKind = Literal["transfer", "return", "sequence"]


@dataclass(frozen=True, slots=True)
class Handoff:
    """Control passing from one agent to others; several targets are branches started together, one hop.

    Attributes:
        source: The agent that gives control away.
        targets: The agents that get it.
        kind: `transfer` counts as a hop; `return` hands a result back to whoever delegated; `sequence`
            is a move along a declared order that cannot repeat.
        known_targets: Every agent that control may go to, or `None` where the adapter cannot tell.
        content: What is handed on beside control, as text: the handoff's input, and what was said with it. For
            comparison, size and hash; recorded as it is only where `CAPTURE_CONTENT` is on.
        problems: What keeps it from being carried out, in words that a model can use: a disabled target, input that
            is not what the handoff takes.
        carries: False where nobody can say anything with it: an edge of the app's own, a step of plain Python.
        packet: What was said with it, to read its packet from, where `content` does not hold it.
        details: What is wrong with the input, for the model alone: it may repeat content, so it is not recorded.
        sent_bytes, received_bytes: How much history the sender had, and how much of it the receiver gets; `None`
            where the adapter cannot tell.
        history_trimmed: True where a filter takes part of the history away.
        cut_by_length: True where the sender's message was cut off at its length limit.
    """

    source: str
    targets: tuple[str, ...]
    kind: HandoffKind = "transfer"
    known_targets: frozenset[str] | None = None
    content: str = ""
    problems: tuple[str, ...] = ()
    details: str = ""
    carries: bool = True
    packet: str = ""
    sent_bytes: int | None = None
    received_bytes: int | None = None
    history_trimmed: bool = False
    cut_by_length: bool = False


Status = Literal["success", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A worker's answer with what it is worth: `confidence` is 0 to 1, or `None` where nobody said."""

    status: Status
    result: Any = None
    confidence: float | None = None
    reason: str = ""


VerdictKind = Literal["allow", "warn", "modify", "deny", "escalate"]
Action = Literal["none", "redirect", "block", "escalate", "stop"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says about a crossing, and the action it proposes. In observe mode no action is taken.

    Attributes:
        kind: allow, warn, modify, deny or escalate.
        rule: The rule's name as in the settings.
        action: What enforce mode does: `redirect` and `block` answer the model instead of carrying the
            call out, `stop` ends the run.
        reason: What happened, for people: the figures and the next step.
        message: What the model is told, where it is told something.
        stop: The error for a `stop`, without its outcome.
        figures: The numbers behind the verdict, for the record.
    """

    kind: VerdictKind
    rule: str
    action: Action = "none"
    reason: str = ""
    message: str = ""
    stop: Any = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Brief:
    """What the owner is told when control returns to it: the limit, the figures, the path so far."""

    rule: str
    reason: str
    path: tuple[str, ...]
    spent: Amounts
    left: Limits
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The owner's decision: `complete` with a partial result, `escalate` to a human, or `abort`."""

    choice: Literal["complete", "escalate", "abort"]
    result: Any = None
    reason: str = ""


OutcomeStatus = Literal["completed", "partial", "escalated", "aborted"]


@dataclass(slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: completed, partial, escalated or aborted.
        rule: The rule that ended it; empty where none did.
        reason: What ended it, in words.
        envelope: The result with what it is worth.
        spent: What was spent, per unit.
        unspent: What was left of each limit; `None` where a unit has no limit.
        hops: How many hops it took, and `path` through which agents.
        partial: The state so far, where a stopped run has one.
        envelopes: What each agent's latest output was worth; without the outputs themselves.
        notes: What a reader should know: estimated usage, cut replies, unguarded stretches.
        run_id: The run's id, and `run` the run itself while this process knows it.
    """

    status: OutcomeStatus
    run_id: str
    rule: str = ""
    reason: str = ""
    envelope: Envelope | None = None
    spent: Amounts = ZERO
    unspent: Limits = Limits()
    hops: int = 0
    path: tuple[str, ...] = ()
    partial: Any = None
    envelopes: Mapping[str, Envelope] = field(default_factory=dict)
    notes: Sequence[str] = ()
    run: Any = None

    def to_json(self) -> str:
        """This outcome as JSON, for a log or a response; what has no JSON form of its own is given as text."""
        from pydantic_core import to_json  # lazily: it is only needed here

        state = {name: getattr(self, name) for name in self.__slots__ if name != "run"}
        for name in ("spent", "unspent"):
            state[name] = state[name]._asdict()
        return to_json(state, fallback=str).decode()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the live run behind, so that a stop pickles."""
        state = {name: getattr(self, name) for name in self.__slots__}
        state["run"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the fields back."""
        for name, value in state.items():
            setattr(self, name, value)
