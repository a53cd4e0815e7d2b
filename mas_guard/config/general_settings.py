"""The settings that say how the guard behaves, what stands for the unknown, and where things are kept."""

from __future__ import annotations

from mas_guard.config.setting import Setting

GENERAL_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "MODE",
        "choice",
        "enforce",
        "Enforce the limits, observe what they would have done without taking any action, or switch the guard off. "
        "MAS_GUARD_MODE=observe or off in the environment beats even code.",
        "observe",
        choices=("enforce", "observe", "off"),
        narrowing="stricter",
    ),
    Setting(
        "RESUME",
        "choice",
        "continue",
        "Whether a resume continues the run, or is a new run with new limits (`new_run`: for an app that takes its "
        "user's messages by `interrupt()`).",
        "new_run",
        choices=("continue", "new_run"),
    ),
    Setting(
        "OUTSIDE_RUN",
        "choice",
        "pass",
        "What happens to calls outside any run under `instrument()` and `mas-guard run`. They are reported once per "
        "call site either way.",
        "refuse",
        choices=("refuse", "pass"),
        narrowing="stricter",
    ),
    Setting(
        "ENVELOPES",
        "choice",
        "infer",
        "How failures of workers are found: `infer` reads them off their outputs and changes none; `require` also asks every "
        "worker for an envelope, and tells whoever delegated of everything that is no success; `off` looks at nothing.",
        "require",
        choices=("off", "infer", "require"),
    ),
    Setting(
        "HANDOFFS",
        "choice",
        "infer",
        "What a handoff must carry (task, context, output format, failure instructions): `infer` records what is missing, "
        "`complete` fills it from what the run knows and shows it to the receiver, `require` refuses the handoff with the "
        "list of what is missing, `off` looks at nothing. Targets that do not exist are denied in any case.",
        "complete",
        choices=("off", "infer", "complete", "require"),
    ),
    Setting(
        "CONFIDENCE_THRESHOLD",
        "share",
        "0.7",
        "A result whose agent states less confidence than this is reviewed by a person, where REVIEW__CHANNEL is set; else "
        "it leaves as it is and the outcome is `partial`. Agents state it under `ENVELOPES=require`.",
        "0.8",
        unit="0 to 1",
        narrowing="larger",
    ),
    Setting(
        "UNKNOWN_CONFIDENCE",
        "choice",
        "pass",
        "What happens to a result whose confidence nobody stated: it passes, or a person reviews it (`review`, which "
        "needs REVIEW__CHANNEL).",
        "pass",
        choices=("pass", "review"),
    ),
    Setting(
        "UNKNOWN_PRICE",
        "price",
        "block",
        "Under a USD limit, what a model without a known price costs: `block` refuses the call and names the line to "
        "add; a figure is USD per million tokens, for input and output alike.",
        "15.00",
        unit="USD per million tokens",
        choices=("block",),
        positive=True,
    ),
    Setting(
        "UNKNOWN_MAX_OUTPUT",
        "integer",
        "32 768",
        "What stands for the largest output of a model whose maximum is unknown; [models.NAME] max_output says it "
        "for one model.",
        "16_384",
        unit="tokens",
        least=1,
    ),
    Setting(
        "STORE",
        "url",
        "memory://",
        "Where budgets, windows and the records of runs are kept. `memory://` is this process alone. `sqlite:///mas-guard.db` is "
        "a file that all processes of one machine share (`sqlite:////var/lib/app/mas-guard.db` with an absolute path). "
        "`redis://host:6379/0`, `rediss://`, `unix://`, `valkey://`, `redis+sentinel://host:26379,host:26379/service` and "
        "`redis+cluster://host:6379,host:6379` are a server that many machines share, and need the package redis. Other "
        "schemes come from plugins.",
        "sqlite:///mas-guard.db",
    ),
    Setting(
        "STORE_TIMEOUT",
        "duration",
        "1s",
        "How long the store may take to answer, one retry included, before it counts as lost. No effect with `memory://`.",
        "500ms",
        unit="time",
        positive=True,
    ),
    Setting(
        "RETENTION",
        "duration",
        "7d",
        "How long the records of finished runs, and budgets that nobody uses, are kept in a store that outlives the process. A "
        "window is kept for its own length and a day at the least.",
        "30d",
        unit="time",
        positive=True,
    ),
    Setting(
        "ON_STORE_ERROR",
        "choice",
        "local",
        "When the store is lost: a run known to live in this process alone goes on with what it has left, and what it spent "
        "is booked once the store is back (`local`), or is refused at once (`closed`). What is shared (windows, groups, a run "
        "that other processes take part in) is refused either way. No effect with `memory://`.",
        "closed",
        choices=("closed", "local"),
    ),
    Setting(
        "ON_INTERNAL_ERROR",
        "choice",
        "open",
        "What a bug of the guard itself does: the app goes on, the bug is logged once and counted.",
        "open",
        choices=("open",),
        later=("closed",),
    ),
    Setting(
        "EVENTS",
        "text",
        "none",
        "Where events go as JSON lines: a path, in which `{pid}` and `{date}` are filled in, or `stdout`.",
        "events-{date}-{pid}.jsonl",
        unit="path",
        optional=True,
    ),
    Setting(
        "CAPTURE_CONTENT",
        "boolean",
        "false",
        "Record in full what a handoff carries. Without it events hold its size and a hash, and no content.",
        "true",
    ),
    Setting(
        "REQUIRE_ARMED",
        "boolean",
        "false",
        "Fail at start where an installed framework cannot be guarded, instead of logging an error.",
        "true",
    ),
    Setting(
        "STRICT_CONFIG",
        "boolean",
        "true",
        "Refuse unknown settings in the environment and in files; `false` warns of them.",
        "false",
    ),
    Setting(
        "DISABLE",
        "names",
        "",
        "Adapters that `instrument()` and `mas-guard run` leave out; `*` leaves out all.",
        "openai",
        unit="adapter names",
    ),
    Setting(
        "TENANT",
        "text",
        "none",
        "The tenant that runs are booked and recorded for, where neither `mas_guard.tenant(NAME)` nor `wrap(…, tenant=…)` says "
        "one.",
        "acme",
        optional=True,
    ),
)
