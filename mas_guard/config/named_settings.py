"""The settings of one agent, group, window, tool, model or rule, by its name."""

from __future__ import annotations

from mas_guard.config.contract_settings import CONTRACT_SETTINGS
from mas_guard.config.coordination_settings import LOOP_SETTINGS
from mas_guard.config.once_settings import ONCE_OF_TOOL
from mas_guard.config.setting import Setting
from mas_guard.config.window_settings import WINDOW_SETTINGS

NAMED_SETTINGS: tuple[Setting, ...] = (
    *(
        Setting(
            f"AGENTS__*__BUDGET__{unit}",
            "money" if unit == "USD" else "integer",
            f"as AGENT_BUDGET__{unit}",
            f"The most {what} one invocation of this agent may take.",
            f'{{"researcher": {{"budget": {{"{unit.lower()}": {example}}}}}}}',
            unit=measure,
            optional=True,
            limit=True,
            inherits=f"AGENT_BUDGET__{unit}",
            narrowing="smaller",
        )
        for unit, what, example, measure in (
            ("TOKENS", "tokens", "50000", "tokens"),
            ("MODEL_CALLS", "model calls", "10", "calls"),
            ("TOOL_CALLS", "tool calls", "20", "calls"),
            ("USD", "USD", "0.5", "USD"),
        )
    ),
    Setting(
        "AGENTS__*__STEP_TIMEOUT",
        "duration",
        "as STEP_TIMEOUT",
        "This agent's own time per step.",
        '{"researcher": {"step_timeout": "5m"}}',
        unit="time",
        optional=True,
        limit=True,
        positive=True,
        inherits="STEP_TIMEOUT",
        narrowing="smaller",
    ),
    Setting(
        "AGENTS__*__TARGETS",
        "names",
        "any agent that exists",
        "The agents that this one may hand on to.",
        '{"triage": {"targets": ["billing", "refunds"]}}',
        unit="agent names",
        optional=True,
        narrowing="common",
    ),
    Setting(
        "AGENTS__*__IS_AGENT",
        "boolean",
        "found out",
        "Whether this node counts as an agent for hops and ownership.",
        '{"router": {"is_agent": false}}',
        optional=True,
    ),
    *LOOP_SETTINGS,
    *CONTRACT_SETTINGS,
    *(
        Setting(
            f"BUDGETS__*__{unit}",
            "money" if unit == "USD" else "integer",
            "none",
            f"The most {what} that the runs inside `mas_guard.group(NAME)` may take together.",
            f'{{"nightly": {{"{unit.lower()}": {example}}}}}',
            unit=measure,
            optional=True,
            limit=True,
            narrowing="smaller",
        )
        for unit, what, example, measure in (
            ("TOKENS", "tokens", "5000000", "tokens"),
            ("MODEL_CALLS", "model calls", "1000", "calls"),
            ("TOOL_CALLS", "tool calls", "2000", "calls"),
            ("USD", "USD", "40", "USD"),
        )
    ),
    *WINDOW_SETTINGS,
    Setting(
        "TOOLS__*__REPEAT",
        "integer",
        "as REPETITION",
        "How many equal calls with equal results this tool may make before the repetition rule speaks.",
        '{"get_status": {"repeat": 50}}',
        unit="equal calls with equal results",
        optional=True,
        limit=True,
        least=1,
        narrowing="smaller",
    ),
    ONCE_OF_TOOL,
    Setting(
        "MODELS__*__MAX_OUTPUT",
        "integer",
        "as published, or UNKNOWN_MAX_OUTPUT",
        "The largest output that the provider grants this model.",
        '{"my-model": {"max_output": 8192}}',
        unit="tokens",
        least=1,
    ),
    *(
        Setting(
            f"MODELS__*__{part}_PRICE",
            "price",
            default,
            f"What {what} of this model cost.",
            f'{{"my-model": {{"input_price": "2.50", "output_price": "10.00"{more}}}}}',
            unit="USD per million tokens",
        )
        for part, what, default, more in (
            ("INPUT", "input tokens", "as published", ""),
            ("OUTPUT", "output tokens", "as published", ""),
            (
                "CACHED",
                "input tokens read from the provider's cache",
                "as input_price",
                ', "cached_price": "1.25"',
            ),
        )
    ),
    Setting(
        "MODELS__*__BASE",
        "text",
        "read from the name",
        "The model behind this name, for deployments whose name does not tell it.",
        '{"our-deployment": {"base": "gpt-4o"}}',
        unit="model name",
    ),
    Setting(
        "RULES__*__MODE",
        "choice",
        "as MODE",
        "Observe one rule, or switch it off, while the others enforce. Also as MAS_GUARD_RULES__REPETITION__MODE.",
        '{"repetition": {"mode": "observe"}}',
        choices=("enforce", "observe", "off"),
        inherits="MODE",
        narrowing="stricter",
    ),
)
