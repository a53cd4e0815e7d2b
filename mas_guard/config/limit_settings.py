"""The settings that say how much a run may use, and what happens at a limit."""

from __future__ import annotations

from mas_guard.config.setting import Setting

BUDGET_NOTE = "reserved before the call is sent"

LIMIT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "BUDGET__TOKENS",
        "integer",
        "10 000 000",
        "The most tokens a run may use, input and output together, " + BUDGET_NOTE + ". The default only stops "
        "runaways (100 calls with a full window); `mas-guard suggest` gives yours.",
        "200_000",
        unit="tokens",
        optional=True,
        limit=True,
        narrowing="smaller",
    ),
    Setting(
        "BUDGET__MODEL_CALLS",
        "integer",
        "100",
        "The most model calls a run may send, retries included, " + BUDGET_NOTE + ".",
        "40",
        unit="calls",
        optional=True,
        limit=True,
        narrowing="smaller",
    ),
    Setting(
        "BUDGET__TOOL_CALLS",
        "integer",
        "200",
        "The most tool calls a run may make, " + BUDGET_NOTE + ".",
        "80",
        unit="calls",
        optional=True,
        limit=True,
        narrowing="smaller",
    ),
    Setting(
        "BUDGET__USD",
        "money",
        "none",
        "The most a run may cost at list price, " + BUDGET_NOTE + ". With it set, a model without a known price is "
        "refused (see UNKNOWN_PRICE).",
        "2.50",
        unit="USD",
        optional=True,
        limit=True,
        narrowing="smaller",
    ),
    *(
        Setting(
            f"AGENT_BUDGET__{unit}",
            "money" if unit == "USD" else "integer",
            "none",
            f"The most {what} one invocation of an agent may take. Reaching it ends that invocation with a "
            "`failed` envelope to whoever called it, not the run.",
            example,
            unit=measure,
            optional=True,
            limit=True,
            narrowing="smaller",
        )
        for unit, what, example, measure in (
            ("TOKENS", "tokens", "50_000", "tokens"),
            ("MODEL_CALLS", "model calls", "10", "calls"),
            ("TOOL_CALLS", "tool calls", "20", "calls"),
            ("USD", "USD", "0.50", "USD"),
        )
    ),
    Setting(
        "DEADLINE",
        "duration",
        "30m",
        "The active time of a run; it stands still while the run is suspended.",
        "10m",
        unit="time",
        optional=True,
        limit=True,
        positive=True,
        narrowing="smaller",
    ),
    Setting(
        "STEP_TIMEOUT",
        "duration",
        "none",
        "A step's own time, the time of the steps inside it apart.",
        "90s",
        unit="time",
        optional=True,
        limit=True,
        positive=True,
        narrowing="smaller",
    ),
    Setting(
        "MAX_HOPS",
        "integer",
        "12",
        "How often control may pass from one agent to a different one; control goes to the owner instead of the "
        "next one.",
        "6",
        unit="hops",
        optional=True,
        limit=True,
        narrowing="smaller",
    ),
    Setting(
        "OWNER",
        "text",
        "none",
        "The one agent accountable for the outcome, by name. `none` is the wrapped or entry agent, where it has a "
        "model.",
        "supervisor",
        optional=True,
    ),
    Setting(
        "OWNER_RESERVE",
        "share",
        "0.1",
        "The share of tokens, USD, tool calls and deadline, rounded down, that is kept for the owner's concluding "
        "turn where control can return to an owner; and exactly one model call.",
        "0.2",
        unit="share of the limit",
        below=1,
    ),
    Setting(
        "ON_LIMIT",
        "choices",
        "owner,abort",
        "What happens at a limit, in this order: the owner's concluding turn, the partial result from committed "
        "state, a review by a person (`escalate`, which needs REVIEW__CHANNEL), or abort with the rule's error. Where "
        "nothing in the list can be done the run aborts.",
        "owner,partial,abort",
        choices=("owner", "partial", "escalate", "abort"),
    ),
    Setting(
        "BUDGET_WAIT",
        "duration",
        "none",
        "How long a call waits for holds of others to come back; `none` is as long as the deadline, 0 refuses at once.",
        "20s",
        unit="time",
        optional=True,
        narrowing="smaller",
    ),
    *(
        Setting(
            f"REPETITION__{stage}",
            "integer",
            default,
            meaning,
            example,
            unit="equal calls with equal results",
            optional=True,
            limit=True,
            least=2,
            narrowing="smaller",
        )
        for stage, default, example, meaning in (
            (
                "REDIRECT",
                "3",
                "4",
                "From this repeat on the model is told what it repeated and what to do instead.",
            ),
            ("BLOCK", "4", "6", "From this repeat on the call is not made."),
            ("STOP", "6", "10", "This repeat ends the run."),
        )
    ),
    Setting(
        "POLL_TOOLS",
        "names",
        "",
        "Tools that are meant to be called again and again until something changes: each may give the same result "
        "1 000 times. [tools.NAME] repeat gives one tool a figure of its own.",
        "get_status,wait_for",
        unit="tool names",
        narrowing="common",
    ),
)
