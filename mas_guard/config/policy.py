"""The policy: the limits and settings in force, made once and read on every crossing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from mas_guard.config.faults import unknown_key
from mas_guard.config.grouping import parts_of
from mas_guard.config.groups import (
    POLL_ALLOWANCE,
    AgentSettings,
    Budget,
    Mode,
    ModelSettings,
    Repetition,
    Retries,
    ReviewSettings,
    RuleSettings,
    ToolSettings,
)
from mas_guard.config.narrowing import narrowed
from mas_guard.config.provenance import Provenance
from mas_guard.config.table import key_of, setting_of
from mas_guard.config.windows import LONGEST, WindowSettings
from mas_guard.types import Limits

A_DAY = 86_400.0

_WEAKNESS: dict[str, int] = {"enforce": 0, "observe": 1, "off": 2}


if TYPE_CHECKING:
    from mas_guard.contracts import Contract


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Policy:
    """The limits and settings in force. Immutable; made by `load_policy` or `policy_of`.

    Each attribute is the setting of that name (see `SETTINGS` for meaning, unit and default). Durations are
    seconds, money is a `Decimal` in USD, and `None` is no limit.

    Attributes:
        agents, budgets, windows, tools, models, rules: What holds for one agent, group, window, tool, model or rule, by
            name.
        once_tools: The arguments that tell one effect from another, for each tool that happens at most once.
        unlimited: The keys of limits that were lifted with `none`.
        provenance: Where every value comes from, by key.
        warnings: What was wrong in the settings and let pass because of STRICT_CONFIG=false.
        values: Every value by key, as `config show` lists them.
        remembered: Room for what other parts work out once per policy, such as what a model costs.
    """

    mode: Mode
    budget: Budget
    agent_budget: Budget
    deadline: float | None
    step_timeout: float | None
    max_hops: int | None
    owner: str | None
    owner_reserve: float
    on_limit: tuple[str, ...]
    budget_wait: float | None
    resume: str
    outside_run: str
    repetition: Repetition
    retries: Retries
    poll_tools: frozenset[str]
    envelopes: str
    handoffs: str
    confidence_threshold: float
    unknown_confidence: str
    unknown_price: Decimal | Literal["block"]
    unknown_max_output: int
    store: str
    store_timeout: float
    retention: float
    on_store_error: str
    on_internal_error: str
    events: str | None
    capture_content: bool
    require_armed: bool
    handoff_on_failure: str
    replan_max: int | None
    require_termination: bool
    strict_config: bool
    disable: frozenset[str]
    tenant: str | None
    review: ReviewSettings
    once_tools: Mapping[str, tuple[str, ...]]
    once_store: str | None
    agents: Mapping[str, AgentSettings]
    budgets: Mapping[str, Budget]
    windows: Mapping[str, WindowSettings]
    tools: Mapping[str, ToolSettings]
    models: Mapping[str, ModelSettings]
    rules: Mapping[str, RuleSettings]
    unlimited: tuple[str, ...]
    values: Mapping[str, Any] = field(repr=False)
    provenance: Mapping[str, Provenance] = field(repr=False)
    warnings: tuple[str, ...] = ()
    remembered: dict[Any, Any] = field(default_factory=dict, repr=False)

    def rule_mode(self, rule: str) -> Mode:
        """Whether *rule* is enforced, observed or off; MODE can only make it weaker."""
        own = self.rules.get(rule)
        if own is None:
            return self.mode
        return own.mode if _WEAKNESS[own.mode] > _WEAKNESS[self.mode] else self.mode

    def repeat_allowance(self, tool: str) -> int | None:
        """How many equal calls with equal results *tool* may make; `None` where REPETITION alone judges it."""
        own = self.tools.get(tool)
        if own is not None and own.repeat is not None:
            return own.repeat
        return POLL_ALLOWANCE if tool in self.poll_tools else None

    def once_key(self, tool: str) -> tuple[str, ...] | None:
        """The arguments by which one effect of *tool* is told from another; `None` where it may happen again."""
        return self.once_tools.get(tool)

    @property
    def ledger_retention(self) -> float:
        """Seconds that a ledger must keep an account which nobody uses: RETENTION, and never less than the longest
        window and a day, so that no window is forgotten, and granted anew, before it is over."""
        longest = max((LONGEST[window.every] + A_DAY for window in self.windows.values()), default=0.0)
        return max(self.retention, longest)

    def agent_limits(self, agent: str) -> Limits:
        """The limits of one invocation of *agent*."""
        own = self.agents.get(agent)
        return self.agent_budget.limits if own is None else own.budget.limits

    def contract_schema(self, agent: str) -> Mapping[str, Any] | None:
        """The JSON schema of what *agent* declares to give; `None` where the settings say nothing."""
        contract = self.contract(agent)
        return contract.schema if contract is not None else None

    def contract(self, agent: str) -> Contract | None:
        """What *agent* declares to give, by `[agents.NAME] contract`; `None` where the settings say nothing.

        Raises:
            ConfigError: Where it cannot be imported or read.
        """
        settings = self.agents.get(agent)
        if settings is None or settings.contract is None:
            return None
        found = self.remembered.get("contracts")
        if found is None:
            from mas_guard.contracts import contracts_in_settings  # lazily: it loads the user's modules

            found = self.remembered["contracts"] = contracts_in_settings(self)
        return found.get(agent)

    def agent_step_timeout(self, agent: str) -> float | None:
        """The seconds that a step of *agent* may take itself; `None` for no limit."""
        own = self.agents.get(agent)
        return self.step_timeout if own is None else own.step_timeout

    def group_limits(self, name: str) -> Limits:
        """The limits that the settings give the group *name*: `[budgets.NAME]`."""
        own = self.budgets.get(name)
        return Limits() if own is None else own.limits

    def explain(self, key: str) -> Provenance:
        """Where the value of *key* comes from; keys may be written as in variables, files or code.

        Raises:
            ConfigError: Where there is no such setting.
        """
        wanted = key_of(key.removeprefix("MAS_GUARD_").replace(".", "__").split("__"))
        found = self.provenance.get(wanted)
        if found is not None:
            return found
        setting = setting_of(wanted)
        if setting is None:
            raise unknown_key(wanted, "the question")
        inherited = self.provenance.get(setting.inherits)
        return inherited if inherited is not None else Provenance(setting.default, "default")

    def narrowed_by(self, other: Policy) -> Policy:
        """This policy, narrowed by what *other*, an inner run's policy, sets in code. Never wider than this one."""
        values, provenance = narrowed(self.values, self.provenance, other.values, other.provenance)
        return self if provenance == self.provenance else build(values, provenance, self.warnings)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as plain values."""
        return build, (dict(self.values), dict(self.provenance), self.warnings)

    def __copy__(self) -> Policy:
        """Immutable: its own copy."""
        return self

    def __deepcopy__(self, memo: Any) -> Policy:
        """Immutable: its own copy."""
        return self


def build(
    values: Mapping[str, Any],
    provenance: Mapping[str, Provenance],
    warnings: tuple[str, ...] = (),
) -> Policy:
    """Make a policy from read values by key; every setting without a name must be there."""
    return Policy(
        **parts_of(values),
        values=MappingProxyType(dict(values)),
        provenance=MappingProxyType(dict(provenance)),
        warnings=warnings,
    )
