"""What `mas-guard doctor` looks at: one function per matter, each giving findings."""

from __future__ import annotations

import difflib
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mas_guard import __version__
from mas_guard._guard import Guard
from mas_guard.adapter import Adapter, Finding
from mas_guard.config import SETTINGS, Policy
from mas_guard.config.checks import endless_loops
from mas_guard.errors import AdapterError
from mas_guard.launch.environment import START
from mas_guard.launch.summary import install_command
from mas_guard.prices import model_facts
from mas_guard.reviews import remarks


def python_findings() -> Iterator[Finding]:
    """The interpreter, and whether `mas-guard run` reaches it."""
    yield Finding("ok", f"Python {platform.python_version()} ({sys.executable})")
    yield Finding("ok", f"mas-guard {__version__}")
    if sys.flags.isolated or sys.flags.ignore_environment:
        yield Finding(
            "error",
            "this Python runs with -I or -E and reads no PYTHONPATH and no MAS_GUARD_* of a launcher: mas-guard run "
            "cannot arm such a process",
            "leave -I and -E out",
        )
    else:
        yield Finding(
            "ok",
            "mas-guard run reaches every Python it starts, those with -I, -E or -S apart (they read no PYTHONPATH)",
        )
    other = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if entry != START])
    if other is not None and other.origin:
        yield Finding("ok", f"a sitecustomize of its own is there ({other.origin}); mas-guard run runs it after ours")
    try:
        found = version("opentelemetry-instrumentation")
    except PackageNotFoundError:
        return
    yield Finding(
        "ok",
        f"opentelemetry-instrument {found} is there; write `mas-guard run -- opentelemetry-instrument …`",
    )


def plugin_findings(guard: Guard) -> Iterator[Finding]:
    """Which plugins are in, and which could not be loaded."""
    plugins = guard.engine.plugins
    names = sorted(name for name in plugins.names() if not name.isdigit())
    yield Finding("ok", f"plugins: {', '.join(names) or 'none'}")
    for name, error in plugins.failed_entry_points.items():
        yield Finding(
            "error",
            f"plugin {name!r} cannot be loaded ({type(error).__name__}: {error})",
            "fix its package or uninstall it: pip uninstall <package>",
        )


def adapter_findings(guard: Guard, policy: Policy) -> Iterator[Finding]:
    """Each adapter: is its framework installed, supported, and are the seams where it stands there."""
    adapters = guard.adapters()
    if not adapters:
        yield Finding("error", "no adapter is installed", 'pip install "mas-guard[langgraph]"')
    if adapters and not any(adapter.found_version() for adapter in adapters):
        yield Finding("warning", "no framework that can be guarded is installed", install_command(adapters[0]))
    for adapter in adapters:
        yield _adapter_finding(adapter, guard, policy)


def _adapter_finding(adapter: Adapter, guard: Guard, policy: Policy) -> Finding:
    found = adapter.found_version()
    what = f"{adapter.name}: {adapter.target} {found}"
    if found is None:
        return Finding(
            "ok",
            f"{adapter.name}: {adapter.target} is not installed (to guard it: {install_command(adapter)})",
        )
    if adapter.name in policy.disable or "*" in policy.disable:
        return Finding(
            "warning",
            f"{what} is left out by DISABLE ({policy.explain('DISABLE').source})",
            f"take {adapter.name} out of MAS_GUARD_DISABLE",
        )
    try:
        adapter.check_version()
    except AdapterError as error:
        text = f"{what} is not supported, it takes {adapter.supports}: it will NOT be armed ({error})"
        return Finding("error", text, install_command(adapter))
    try:
        adapter.arm(guard)
    except AdapterError as error:
        return Finding(
            "error",
            f"{what} cannot be armed: {error}",
            f"{install_command(adapter)}, or MAS_GUARD_DISABLE={adapter.name}",
        )
    except Exception as error:  # the framework itself does not import
        return Finding(
            "error",
            f"{what} cannot be imported ({type(error).__name__}: {error})",
            f"pip install --force-reinstall {adapter.target}",
        )
    return Finding("ok", f"{what} is supported ({adapter.supports}) and every seam is there")


def settings_findings(policy: Policy) -> Iterator[Finding]:
    """What is set, what has no limit, and where things are kept."""
    given = [key for key, origin in policy.provenance.items() if origin.source != "default"]
    yield Finding("ok", f"mode {policy.mode} ({policy.explain('MODE').source}); set: {', '.join(given) or 'nothing'}")
    if policy.mode != "enforce":
        yield Finding("warning", f"MODE={policy.mode}: nothing is limited", "MAS_GUARD_MODE=enforce")
    for warning in policy.warnings:
        yield Finding("warning", warning, "correct the name, or remove it")
    for key in policy.unlimited:
        source = policy.explain(key).source
        yield Finding(
            "warning",
            f"{key} has no limit (none from {source})",
            f"set {key}, or leave it out for its default",
        )
    by_default = [
        setting.key for setting in SETTINGS
        if setting.limit and not setting.named and setting.default == "none" and policy.values[setting.key] is None
    ]  # fmt: skip
    if by_default:
        yield Finding("ok", f"no limit by default: {', '.join(by_default)}")
    yield from _events_findings(policy.events)


def coordination_findings(policy: Policy) -> Iterator[Finding]:
    """Loops that nothing ends, and whether a person can be asked."""
    for name in endless_loops(policy.values):
        yield Finding(
            "warning",
            f"the agent {name!r} is declared a loop, and nothing says when it ends",
            f'add max_rounds, patience or done_when to [agents."{name}"]; REQUIRE_TERMINATION=true refuses to start',
        )
    for remark in remarks(policy):
        yield Finding(remark.mark, remark.text, remark.fix)


def _events_findings(events: str | None) -> Iterator[Finding]:
    if events is None:
        yield Finding("ok", "no events are written; to record them: MAS_GUARD_EVENTS=events-{date}-{pid}.jsonl")
        return
    if events == "stdout":
        yield Finding("ok", "events go to standard output")
        return
    path = Path(events.replace("{pid}", str(os.getpid())).replace("{date}", "date")).expanduser()
    problem = _why_not_writable(path)
    if problem:
        yield Finding(
            "error",
            f"EVENTS={events} cannot be written: {problem}",
            "set MAS_GUARD_EVENTS to a path that can be written",
        )
    else:
        yield Finding("ok", f"events can be written to {events}")


def _why_not_writable(path: Path) -> str:
    """What keeps *path* from being appended to; empty where nothing does. Leaves nothing behind."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        if path.exists():
            path.open("ab").close()
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"x")
    except OSError as error:
        return f"{error.strerror} ({path if path.exists() else folder})"
    return ""


def model_findings(names: Iterable[str], policy: Policy) -> Iterator[Finding]:
    """Models whose price or largest output nobody knows."""
    needs_price = policy.unknown_price == "block" and _limits_money(policy)
    for name in names:
        facts = model_facts(name, policy)
        if facts.priced and facts.max_output is not None:
            yield Finding("ok", f"model {name}: price and largest output are known ({facts.source})")
        if not facts.priced:
            consequence = "its calls are refused under the USD limit" if needs_price else "its cost is not counted"
            yield Finding(
                "error" if needs_price else "warning",
                f"model {name}: no price is known, so {consequence}",
                f'in mas-guard.toml: [models."{name}"] input_price = "…" and output_price = "…" (USD per million '
                "tokens), or base = the published model behind it",
            )
        if facts.max_output is None:
            yield Finding(
                "warning",
                f"model {name}: its largest output is not known, so {policy.unknown_max_output} tokens stand for it",
                f'in mas-guard.toml: [models."{name}"] max_output = …',
            )


def _limits_money(policy: Policy) -> bool:
    agents = (own.budget for own in policy.agents.values())
    budgets = (policy.budget, policy.agent_budget, *agents, *policy.budgets.values())
    return any(budget.usd is not None for budget in budgets)


def app_findings(app: Any, place: str, guard: Guard, policy: Policy) -> Iterator[Finding]:
    """What the app's own adapter says about it: who owns its runs, what is missing, and settings for nobody."""
    adapter = next((adapter for adapter in guard.adapters() if adapter.can_wrap(app)), None)
    if adapter is None:
        kinds = ", ".join(adapter.name for adapter in guard.adapters()) or "none"
        kind = f"{type(app).__module__}.{type(app).__qualname__}"
        yield Finding(
            "error",
            f"{place} is a {kind}, which no adapter can guard (installed: {kinds})",
            'name the app object itself, or for plain Python use `with mas_guard.run("task"):`',
        )
        return
    wrapped = adapter.options_of(app) is not None
    state = "is wrapped" if wrapped else "is not wrapped; mas-guard run or mas_guard.instrument() guards it as well"
    yield Finding("ok", f"{place}: {adapter.name} app, {state}")
    yield from adapter.examine(app)
    names = adapter.agent_names(app)
    for unknown in sorted(set(policy.agents) - names) if names else ():
        near = difflib.get_close_matches(unknown, names, n=1)
        yield Finding(
            "warning",
            f"the settings for agent {unknown!r} apply to nobody: the app's agents are {', '.join(sorted(names))}",
            f"rename it to [agents.{near[0]}]" if near else "name it as the app does, or take it out",
        )
