"""The settings of windows: limits over an hour, a day, a week or a month, for each tenant or for all runs together."""

from __future__ import annotations

from mas_guard.config.setting import Setting

EXAMPLE = (
    '{"tenant-day": {"per": "tenant", "every": "day", "usd": "50", "tz": "Europe/Berlin", "start_if_left": "0.5"}}'
)

WINDOW_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "WINDOWS__*__PER",
        "choice",
        "all",
        "Whose runs share this window: `tenant` counts each tenant apart (`mas_guard.tenant(NAME)`, `wrap(…, tenant=…)` or "
        "TENANT; runs without one share a window of their own), `all` counts every run together.",
        EXAMPLE,
        choices=("tenant", "all"),
        narrowing="added",
    ),
    Setting(
        "WINDOWS__*__EVERY",
        "choice",
        "none, it must be set",
        "How long this window is, by the clock of its time zone: a week begins on Monday, and where clocks change a day has "
        "23 or 25 hours.",
        EXAMPLE,
        choices=("hour", "day", "week", "month"),
        narrowing="added",
    ),
    *(
        Setting(
            f"WINDOWS__*__{unit}",
            "money" if unit == "USD" else "integer",
            "none",
            f"The most {what} that the runs of this window may take together until it begins anew; a hold counts in the window "
            "it was reserved in. A window needs at least one limit.",
            f'{{"{name}": {{"every": "{every}", "{unit.lower()}": {example}}}}}',
            unit=measure,
            optional=True,
            limit=True,
            narrowing="smaller",
        )
        for unit, what, name, every, example, measure in (
            ("TOKENS", "tokens", "all-month", "month", "500000000", "tokens"),
            ("MODEL_CALLS", "model calls", "all-hour", "hour", "10000", "calls"),
            ("TOOL_CALLS", "tool calls", "all-hour", "hour", "20000", "calls"),
            ("USD", "USD", "all-day", "day", "200", "USD"),
        )
    ),
    Setting(
        "WINDOWS__*__TZ",
        "text",
        "UTC",
        "The time zone whose clock says when this window begins anew, as in the IANA database.",
        EXAMPLE,
        unit="time zone",
        narrowing="added",
    ),
    Setting(
        "WINDOWS__*__START_IF_LEFT",
        "money",
        "0",
        "A run is not begun where less than this is left in its window, since it would be stopped half-way: USD where the "
        "window has a limit in USD, else in its one other unit. What calls under way hold counts as left.",
        EXAMPLE,
        unit="USD, or the window's one unit",
        narrowing="added",
    ),
)
