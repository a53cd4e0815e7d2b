"""Writes the reference pages from the code: settings, rules, events, errors.

    python docs/generate.py            write them into docs/reference/
    python docs/generate.py --check    exit with 1 where a page differs from what the code says

The pages are committed; a test holds them equal to what this script makes.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mas_guard import errors
from mas_guard.config import SETTINGS, Setting, reference
from mas_guard.records import event_schema

PAGES = Path(__file__).parent / "reference"
MADE = "<!-- Made by docs/generate.py from the code. Change the code, then run `make docs`. -->\n"

SETTINGS_INTRODUCTION = """
Code beats the command line (`mas-guard run --set KEY=VALUE`), which beats variables (`MAS_GUARD_…`), which beat the
file that `MAS_GUARD_CONFIG` names, `mas-guard.toml`, `[tool.mas-guard]` in `pyproject.toml`, and the defaults. One
exception, for the person on call: `MAS_GUARD_MODE=observe` or `off` in the environment beats code. `mas-guard config
explain KEY` says which value holds and where it comes from.

In code the same names stand in lower case, nested by dict: `wrap(app, budget={"usd": 2}, max_hops=8)`. `none` lifts a
limit where it is among the values. An unknown variable or key is refused, with the nearest name.
"""
RULES_INTRODUCTION = """
Each rule can be observed or switched off alone: `MAS_GUARD_RULES__HOPS__MODE=observe`. A rule of your own is an object
with methods marked `@mas_guard.hookimpl`, registered with `mas_guard.register(…)` or by an entry point of the group
`mas_guard`; `mas_guard/hookspecs.py` holds the contract of each hook.
"""
EVENTS_INTRODUCTION = """
`MAS_GUARD_EVENTS=events-{{date}}-{{pid}}.jsonl` writes one JSON object a line; the hook `mas_guard_on_event` gets the
same objects. The schema is `mas_guard/records/event.schema.json`, version {version}: every line carries it as `v`.
Secrets are never in it, and message contents only where `CAPTURE_CONTENT` is on.
"""

HOW_VALUES_ARE_WRITTEN = {
    "integer": "`10000000`, `10_000_000` or `10 000 000`",
    "money": "USD as a decimal: `2.50`",
    "price": "USD per million tokens as a decimal",
    "share": "a fraction: `0.1`",
    "duration": "`90s`, `10m`, `1h30m`, or a number of seconds",
    "boolean": "`true` or `false`",
    "text": "as it stands",
    "url": "as it stands",
    "names": "a list by comma; in a file or in code also a list",
    "choice": "one of the values",
    "choices": "several of the values by comma, in order; in a file or in code also a list",
    "contract": "`module:Name`, the path of a `.json` file, or a JSON schema as a table",
    "value": "as JSON; in a file or in code as it stands there",
}

GROUPS = (
    ("Budget of a run", ("BUDGET__", "BUDGET_WAIT")),
    ("Budget of an agent's invocation", ("AGENT_BUDGET__",)),
    ("Time", ("DEADLINE", "STEP_TIMEOUT")),
    ("Hops and owner", ("MAX_HOPS", "OWNER", "ON_LIMIT")),
    ("Repetition", ("REPETITION__", "POLL_TOOLS")),
    (
        "Loops and re-plans",
        (
            "REPLAN_MAX",
            "RETRIES__PER_CALL",
            "RETRIES__PER_TASK",
            "REQUIRE_TERMINATION",
            "AGENTS__*__LOOP",
            "AGENTS__*__MAX_ROUNDS",
            "AGENTS__*__PATIENCE",
            "AGENTS__*__DONE_WHEN",
        ),
    ),
    ("Windows", ("WINDOWS__",)),
    ("Effects that happen once", ("ONCE_", "TOOLS__*__ONCE")),
    ("One agent, group, tool, model or rule", ("AGENTS__", "BUDGETS__", "TOOLS__", "MODELS__", "RULES__")),
    ("Prices and outputs that are not known", ("UNKNOWN_PRICE", "UNKNOWN_MAX_OUTPUT")),
    ("Envelopes, handoffs, confidence", ("ENVELOPES", "HANDOFF", "CONFIDENCE", "UNKNOWN_CONFIDENCE")),
    ("Reviews by people", ("REVIEW__",)),
    ("Mode and start", ("MODE", "RESUME", "OUTSIDE_RUN", "REQUIRE_ARMED", "DISABLE", "STRICT_CONFIG")),
    (
        "Store, events, tenant",
        ("STORE", "RETENTION", "ON_STORE_ERROR", "ON_INTERNAL_ERROR", "EVENTS", "CAPTURE_", "TENANT"),
    ),
)

BUDGET = """
The most that a run, one invocation of an agent, a group, or the runs of a tenant's day may take, in tokens, model calls,
tool calls and USD.

A call is sent only once an upper bound of what it can cost is held on every level that it belongs to: its input, and
an output cap that is really sent where it binds. It is settled at what the provider says it used; what turns out too
much comes back at once. A call that does not fit only because of what others hold waits for them, in order of arrival.
A call that cannot fit ends the run, or, at an agent's own budget, that agent's invocation.
"""
DEADLINE = """
The active time of a run, and of a step. The clock stands still while the run waits for a human.

A call gets the time that is left as its time-out, a stream is cut after its last chunk, an asynchronous node is
cancelled. A synchronous node that makes no call runs to its end before the stop is raised.
"""
OWNERSHIP = """
Every run has at most one owner: the agent that `OWNER` names, else the entry agent. At a limit it gets control back
for one concluding turn.

Its model is told which limit was reached, the figures, the path so far, and what it may answer; tools stay declared
and cannot be chosen. Its answer is the run's result. An answer whose first line is `ABORT: reason`, an empty one, a
tool call, and a call that does not fit what is left lead to the next action of `ON_LIMIT`.
"""

ENVELOPE = """
What each agent's latest output is worth: `success`, `partial` or `failed`, with a reason, in `outcome.envelopes`. An
output that was no success makes the outcome `partial`.

What the provider or the framework proves (a refusal, an answer cut off at its length limit, an error's text in place of
a result, a declared type that was missed, a stop of the guard's own) is told once to the model of whoever delegated, or
gets control next. What is only likely (an empty output, `null`, a default value, the text of an error, the same answer
as to an earlier, different request) is recorded; under `ENVELOPES=require` it is told, too. Then the model of each agent
is also asked to end its final answer with one line that says what the answer is worth; the line is taken off below the
framework, and asked for once more where it is missing or does not hold. (MAST FM-2.4, FM-3.2.)
"""
TURNS = """
The framework's own limit of turns. An Agents SDK run that reaches its `max_turns` ends in an error with everything
that was learned thrown away; where `ON_LIMIT` begins with `owner` and the run has other agents than the owner, control
goes to the owner for its concluding turn instead. An app that handles `max_turns` itself keeps its own handling, and
the error that is raised where the owner cannot conclude is the framework's own as well.
"""

RULES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # name; its text, or the module whose docstring it is; what comes of it; its settings
    (
        "budget",
        BUDGET,
        "ends the run with {BudgetExceeded}",
        (
            "BUDGET__",
            "AGENT_BUDGET__",
            "WINDOWS__",
            "BUDGET_WAIT",
            "OWNER_RESERVE",
            "UNKNOWN_PRICE",
            "UNKNOWN_MAX_OUTPUT",
        ),
    ),
    (
        "convergence",
        "mas_guard.rules.convergence",
        "tells the loop's model that the criterion is met, or ends the run with {NotConverging}",
        (
            "AGENTS__*__LOOP",
            "AGENTS__*__MAX_ROUNDS",
            "AGENTS__*__PATIENCE",
            "AGENTS__*__DONE_WHEN",
            "REQUIRE_TERMINATION",
        ),
    ),
    ("deadline", DEADLINE, "ends the run with {DeadlineExceeded}", ("DEADLINE", "STEP_TIMEOUT")),
    (
        "envelope",
        ENVELOPE,
        "whoever delegated is told, and the outcome is `partial`; the run goes on",
        ("ENVELOPES", "AGENTS__*__CONTRACT", "AGENTS__*__FAILURE_OUTPUT"),
    ),
    (
        "handoff",
        "mas_guard.rules.handoff",
        "the transfer does not happen and the model is told why; the run goes on",
        ("AGENTS__*__TARGETS",),
    ),
    ("hops", "mas_guard.rules.hops", "ends the run with {HopLimitExceeded}", ("MAX_HOPS", "AGENTS__*__IS_AGENT")),
    (
        "once",
        "mas_guard.once",
        "the call is answered with the recorded result, or its model is told that it is unknown whether it happened; the run "
        "goes on. {StoreUnavailable} where that it is begun cannot be recorded",
        ("ONCE_", "TOOLS__*__ONCE"),
    ),
    (
        "ownership",
        OWNERSHIP,
        "naming an owner that cannot be one is refused with {OwnershipConflict} or {ConfigError}",
        ("OWNER", "OWNER_RESERVE", "ON_LIMIT"),
    ),
    (
        "packet",
        "mas_guard.rules.packet",
        "a warning, a completed packet at the receiver's model, or a refusal that its sender is told; the run goes on",
        ("HANDOFFS", "HANDOFF_ON_FAILURE", "AGENTS__*__CONTRACT"),
    ),
    (
        "repetition",
        "mas_guard.rules.repetition",
        "tells the model, then blocks the call, then ends the run with {RepetitionDetected}",
        ("REPETITION__", "POLL_TOOLS", "TOOLS__*__REPEAT"),
    ),
    (
        "replan",
        "mas_guard.rules.replan",
        "the delegation does not happen and whoever asked gets the brief; the run goes on",
        ("REPLAN_MAX", "ENVELOPES"),
    ),
    (
        "result",
        "mas_guard.rules.result",
        "ends the run with {EscalationRequired} where a person can be asked, else the outcome is `partial`; a validator of "
        "your own ends it with {ResultRejected}",
        ("CONFIDENCE_THRESHOLD", "UNKNOWN_CONFIDENCE", "REVIEW__"),
    ),
    ("turns", TURNS, "gives control to the owner, else {TurnLimitExceeded}", ("ON_LIMIT", "OWNER")),
)

EVENTS = {
    "run_started": "A run was opened; nothing has been sent yet.",
    "run_resumed": "A run goes on from a checkpoint, with the hops and the spend it had.",
    "run_finished": "A run has its outcome, or waits for a human (`status` is `suspended`).",
    "call": "A model or tool call was settled: what it used, and what had been held for it.",
    "handoff": "Control passed from one agent to another; `kind` says whether it counts as a hop.",
    "verdict": "A rule did not simply allow something: what it said, and what was done about it.",
    "stop": "The first fatal verdict of a run was latched; `action` is what follows.",
    "would_stop": "A rule that is only observed would have ended the run here. Once per run and rule.",
    "envelope": "An agent has given an output: what it is worth (`worth`), and what was found wrong with it (`finding`). "
    "The reason is there only where it is the guard's own words, or `CAPTURE_CONTENT` is on.",
    "review": "A person has been asked: the review's id, its fingerprint, and until when it can be answered.",
    "conclusion": "Control went back to the owner for its concluding turn.",
    "agent_budget": "One invocation of an agent reached its own budget and ended; the run goes on.",
    "window": "A window reached 50, 80 or 100 % of a limit (`figures.percent`), or a call did not fit what was left of it. Once "
    "per period, threshold and process.",
    "once": "A tool whose effect happens at most once: the effect's id, what is known of it (`state`), and what was done.",
    "run_joined": "This process takes part in a run that another one began (`extract`, or as a child of `mas-guard run`).",
    "run_left": "This process takes part in it no more; what the run has spent by then.",
    "store": "A call was refused because the store that it needs was lost; nothing is latched.",
    "store_lost": "The store does not answer: what is shared is refused until it is back.",
    "store_back": "The store answers again: how long it was away, and how much was refused meanwhile.",
    "reconciled": "What runs of this process alone had spent meanwhile was told to the store.",
    "budget_wait": "A call waited more than a second for units held by others.",
    "breach": "A reply used more than was held for it; the truth was booked.",
    "top_up": "A run's limits were raised and its stop was lifted.",
    "outside_run": "A call was made outside of every guarded run. Once per call site.",
    "unguarded": "A stretch that no seam covers: a realtime session, a sandbox, agents that the provider hosts.",
    "bypass": "The app left the run for a block, and why.",
}


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    made = {"settings.md": settings(), "rules.md": rules(), "events.md": events(), "errors.md": error_tree()}
    return {name: MADE + "\n" + "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def settings() -> Iterator[str]:
    """Every setting: meaning, unit, default, values, an example in each place where it can be set."""
    yield "# Settings"
    yield ""
    yield from SETTINGS_INTRODUCTION.strip().splitlines()
    yield ""
    yield "| kind | how it is written |"
    yield "|---|---|"
    for kind, written in HOW_VALUES_ARE_WRITTEN.items():
        yield f"| {kind} | {written} |"
    rows = {setting.key: row for setting, row in zip(SETTINGS, reference(), strict=True)}
    left = {setting.key: setting for setting in SETTINGS}
    for title, prefixes in GROUPS:
        yield from ("", f"## {title}", "")
        for key in [key for key in left if key.startswith(prefixes)]:
            yield from _setting(left.pop(key), rows[key])
    if left:
        raise SystemExit(f"docs/generate.py: name a group for {', '.join(left)} in GROUPS")


def _setting(setting: Setting, row: dict[str, str]) -> Iterator[str]:
    yield f"### {row['key']}"
    yield ""
    yield setting.meaning
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| unit | {row['unit'] or 'none'} |"
    default = row["default"]
    yield f"| default | {default if setting.named and default not in ('none', 'true', 'false') else f'`{default}`'} |"
    yield f"| values | {row['values']} |"
    if setting.later:
        yield f"| in a later version | {', '.join(setting.later)} |"
    example = f"'{setting.example}'" if setting.named else setting.example
    yield f"| variable | `{row['variable']}={example}` |"
    yield f"| in a file | `{row['file']}` |"
    yield ""


def rules() -> Iterator[str]:
    """Every rule: what it does, what it raises, what it is set by."""
    yield "# Rules"
    yield ""
    yield from RULES_INTRODUCTION.strip().splitlines()
    keys = [setting.key for setting in SETTINGS]
    for name, source, consequence, prefixes in RULES:
        yield from ("", f"## {name}", "", *_text_of(source), "")
        links = {kind: f"[`{kind}`](errors.md#{kind.lower()})" for kind in vars(errors) if kind[0].isupper()}
        yield f"- what comes of it: {consequence.format(**links)}"
        found = (f"[{_shown(key)}](settings.md#{_shown(key).lower()})" for key in keys if key.startswith(prefixes))
        yield f"- settings: {', '.join(found)}"


def _text_of(source: str) -> Iterator[str]:
    if not source.startswith("mas_guard."):
        yield from source.strip().splitlines()
        return
    module = importlib.import_module(source)
    yield from inspect.cleandoc(module.__doc__ or "").splitlines()
    for value in vars(module).values():
        if inspect.isclass(value) and value.__module__ == source and value.__name__.endswith("Rule"):
            yield from ("", inspect.cleandoc(value.__doc__ or ""))


def _shown(key: str) -> str:
    return key.replace("*", "NAME")


def events() -> Iterator[str]:
    """Every event and every field."""
    schema = event_schema()
    properties = schema["properties"]
    kinds = properties["event"]["enum"]
    if set(kinds) != set(EVENTS):
        raise SystemExit(f"docs/generate.py: describe {set(kinds) ^ set(EVENTS)} in EVENTS")
    yield "# Events"
    yield ""
    yield from EVENTS_INTRODUCTION.format(version=properties["v"]["const"]).strip().splitlines()
    yield ""
    yield "| event | when |"
    yield "|---|---|"
    for kind in kinds:
        yield f"| `{kind}` | {EVENTS[kind]} |"
    yield ""
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for name, field in properties.items():
        always = " Always there." if name in schema["required"] else ""
        yield f"| `{name}` | {_type(field)} | {field.get('description', '')}{always} |"


def _type(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field["type"]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def error_tree() -> Iterator[str]:
    """Every error, with its fields."""
    yield "# Errors"
    yield ""
    opening, tree, closing = inspect.cleandoc(errors.__doc__ or "").split("\n\n", 2)
    yield opening
    yield from ("", "```", inspect.cleandoc(tree), "```", "", closing)
    for name, kind in vars(errors).items():
        if not (inspect.isclass(kind) and kind.__module__ == errors.__name__):
            continue
        yield from ("", f"## {name}", "")
        text, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:\n")
        yield text
        if attributes:
            yield ""
            yield from _attributes(attributes)
        base = kind.__bases__[0]
        ours = issubclass(base, errors.GuardError)
        yield ""
        yield "- a kind of: " + (f"[`{base.__name__}`](#{base.__name__.lower()})" if ours else f"`{base.__name__}`")
        own = [field for field in vars(kind).get("__annotations__", {}) if field not in attributes]
        if own:
            yield f"- fields: {', '.join(f'`.{field}`' for field in own)}"


def _attributes(text: str) -> Iterator[str]:
    for line in inspect.cleandoc(text).splitlines():
        name, _, meaning = line.partition(": ")
        yield f"- `.{name.strip()}`: {meaning}" if meaning else f"  {line.strip()}"


def main() -> int:
    """Write the pages, or compare them."""
    made = pages()
    if "--check" in sys.argv[1:]:
        differing = [name for name, text in made.items() if not _same(PAGES / name, text)]
        for name in differing:
            print(f"docs/reference/{name} differs from the code: run `make docs`", file=sys.stderr)
        return 1 if differing else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (PAGES / name).write_text(text, "utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
