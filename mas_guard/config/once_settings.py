"""The settings of tools whose effect must happen at most once in a run."""

from __future__ import annotations

from mas_guard.config.setting import Setting

ONCE_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "ONCE_TOOLS",
        "names",
        "",
        "Tools whose effect happens at most once per run, over retries, resumes, re-plans and processes, each with the "
        "arguments that tell one effect from another: `tool:argument`, or `tool:argument+argument`. Calls with equal keys are "
        "one effect, whatever their other arguments say.",
        "refund:order_id,send_mail:to+subject",
        unit="tool:argument+argument",
        narrowing="joined",
    ),
    Setting(
        "ONCE_STORE",
        "choice",
        "none",
        "Where it is remembered what has happened: `none` is STORE, which must then outlive the process; `memory` says that "
        "this one process is enough, and that a crash may repeat an effect.",
        "memory",
        optional=True,
        choices=("memory",),
    ),
)

ONCE_OF_TOOL = Setting(
    "TOOLS__*__ONCE",
    "names",
    "as ONCE_TOOLS",
    "The arguments of this tool that tell one effect from another: a call with the same ones happens at most once per run. "
    "`none` takes the tool out of ONCE_TOOLS.",
    '{"refund": {"once": ["order_id"]}}',
    unit="argument names",
    optional=True,
    narrowing="added",
)
