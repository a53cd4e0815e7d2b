"""The parts of a policy: budgets, repetition thresholds, and what holds for one agent, tool, model or rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Literal

from mas_guard.types import NANO_USD_PER_USD, Limits

Mode = Literal["enforce", "observe", "off"]

POLL_ALLOWANCE = 1_000
"""Equal calls with equal results that a tool named in POLL_TOOLS may make; the budget ends it long before."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent; `None` is no limit.

    Attributes:
        tokens: Tokens, input and output together.
        model_calls: Model calls.
        tool_calls: Tool calls.
        usd: US dollars.
        limits: The same for the ledger, in nano-USD, rounded down.
    """

    tokens: int | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    usd: Decimal | None = None
    limits: Limits = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out the ledger's figures once."""
        nano = None if self.usd is None else int((self.usd * NANO_USD_PER_USD).to_integral_value(ROUND_FLOOR))
        object.__setattr__(self, "limits", Limits(self.tokens, self.model_calls, self.tool_calls, nano))


@dataclass(frozen=True, slots=True)
class Repetition:
    """From which equal call with equal result on something is done; `None` is never."""

    redirect: int | None
    block: int | None
    stop: int | None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often what failed is tried again; `None` leaves it to the framework."""

    per_call: int | None
    per_task: int | None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What holds for one agent.

    Attributes:
        budget: Per invocation; what is not set for this agent is AGENT_BUDGET's.
        step_timeout: Seconds of a step's own time, `None` for no limit; unset it is STEP_TIMEOUT's.
        targets: The agents it may hand on to, `None` for any that exist.
        is_agent: Whether this node counts as an agent, `None` to find out.
        loop: Whether it plans or manages in rounds.
        max_rounds, patience, done_when: When its loop ends; see the settings of these names.
        contract: What its output must have, as it was declared; `mas_guard.contracts.contract_of` reads it.
        failure_output: What it gives where it fails; `None` where nobody said.
    """

    budget: Budget
    step_timeout: float | None = None
    targets: tuple[str, ...] | None = None
    is_agent: bool | None = None
    loop: bool = False
    max_rounds: int | None = None
    patience: int | None = None
    done_when: str | None = None
    contract: str | Mapping[str, Any] | None = None
    failure_output: Any = None


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What holds for one tool; `None` where nothing is said of it alone.

    Attributes:
        repeat: How many equal calls with equal results are let through.
        once: The arguments that tell one effect of it from another, as they were given.
    """

    repeat: int | None = None
    once: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the user says about one model; `None` is as published. Prices are USD per million tokens."""

    max_output: int | None = None
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    cached_price: Decimal | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How a person is asked for a decision.

    Attributes:
        channel: queue, terminal, interrupt, webhook or callable; `None` where nobody is ever asked.
        timeout: Seconds that a review can be answered.
        on_timeout: Always reject.
        store: Where reviews are kept.
        fallback: The text in place of a rejected result, or `None`.
        webhook_url: Where the webhook is, or `None`.
        webhook_secret: What signs it, or `None`.
    """

    channel: str | None
    timeout: float
    on_timeout: str
    store: str
    fallback: str | None
    webhook_url: str | None
    webhook_secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What holds for one rule: `mode` is enforce, observe or off."""

    mode: Mode
