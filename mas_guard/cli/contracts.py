"""`mas-guard contracts`: what agents' outputs must have, accepted by a person, and whom a change concerns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mas_guard._guard import shared_guard
from mas_guard.adapter import Finding
from mas_guard.cli._app_object import load_app
from mas_guard.cli._contract_text import described, drift_as_json, drift_finding, entry_as_json, proposal_line
from mas_guard.cli._event_files import Reading, read_events
from mas_guard.cli._output import FORMAT, echo_findings, findings_as_markdown, write_step_summary
from mas_guard.config import load_policy
from mas_guard.contracts import (
    FILE,
    Contract,
    ContractFile,
    Learned,
    Learning,
    check_drift,
    contract_of,
    contracts_in_settings,
    declared_contracts,
    entries_of,
    proposals,
    read_contract_file,
    write_contract_file,
)

FINDINGS = 1

AT = click.option(
    "--file", "path", default=FILE, show_default=True, metavar="PATH", help="The file of accepted contracts."
)  # fmt: skip
APP = click.option(
    "--app", metavar="APP.PY:GRAPH | MODULE:ATTRIBUTE",
    help="Read the contracts that this app declares by itself. Importing it runs its module.",
)  # fmt: skip


@click.group()
def contracts() -> None:
    """Learn, check, accept and show the contracts of agents' outputs."""


@contracts.command()
@click.argument("events", nargs=-1, required=True, metavar="EVENTS…")
@click.option("--write", is_flag=True, help="Write the proposals to the file; a person accepts them.")
@APP
@AT
@FORMAT
def learn(events: tuple[str, ...], write: bool, app: str | None, path: str, output_format: str) -> None:
    """Propose contracts and consumers from recorded EVENTS (JSON lines, `-` is standard input).

    Prints what is proposed against what is accepted. A contract that is declared stands above what was recorded.
    """
    reading = Reading()
    learned = _learned(events, reading)
    declared = _declared(app)
    file = read_contract_file(path)
    proposed = proposals(file, declared, learned)
    equal = sorted({*declared, *_with_contract(learned)} - proposed.keys())
    if write:
        file.proposals.update(proposed)
        for agent in equal:
            file.proposals.pop(agent, None)
        write_contract_file(file, path)
    if output_format == "json":
        shown = {agent: entry_as_json(entry, accepted=False) for agent, entry in proposed.items()}
        click.echo(json.dumps({"version": 1, "proposals": shown, "equal": equal, "written": write}, indent=2))
        return
    _say_broken(reading)
    for agent, entry in proposed.items():
        click.echo(proposal_line(agent, entry, file.accepted.get(agent)))
    for agent in equal:
        click.echo(f"= {agent}: as accepted")
    silent = [agent for agent in learned if agent not in proposed and agent not in equal]
    if silent:
        click.echo(f"no shapes of outputs are recorded for {', '.join(silent)}")
    if not proposed and not equal:
        click.echo(f"Nothing to propose: {reading.lines} lines hold no successful output with a shape.")
    elif write:
        click.echo(f"Written to {path}. Look at them, then: mas-guard contracts accept")
    elif proposed:
        click.echo("Nothing is written; --write adds these to the file as proposals.")


@contracts.command()
@click.argument("events", nargs=-1, metavar="[EVENTS…]")
@APP
@AT
@FORMAT
@click.pass_context
def check(context: click.Context, events: tuple[str, ...], app: str | None, path: str, output_format: str) -> None:
    """Compare the contracts in force with the accepted ones, and name the agents that a change concerns.

    Contracts are declared in the settings or by --app; recorded EVENTS stand for agents that declare none, and show
    who takes whose output. Exit code 1 until every change is accepted.
    """
    reading = Reading()
    learned = _learned(events, reading) if events else {}
    declared = _declared(app)
    file = read_contract_file(path)
    if not (file.accepted or declared or _with_contract(learned)):
        raise click.UsageError(
            f"There is nothing to check: no contract is declared, and {path} accepts none. Declare one "
            '([agents.NAME] contract = "module:Name"), or learn them: mas-guard contracts learn events.jsonl --write'
        )
    sources = frozenset({"settings", *(["app"] if app else []), *(["runs"] if events else [])})
    checked = check_drift(file, declared, learned, sources)
    if output_format == "json":
        drifts = [drift_as_json(drift) for drift in checked.drifts]
        shown = {"version": 1, "drift": drifts, "equal": checked.equal, "not_checked": checked.not_checked}
        click.echo(json.dumps(shown, indent=2))
    else:
        _say_broken(reading)
        findings = [drift_finding(drift) for drift in checked.drifts]
        if checked.equal:
            findings.append(Finding("ok", f"as accepted: {', '.join(checked.equal)}"))
        if checked.not_checked:
            told = "give --app or recorded EVENTS"
            findings.append(Finding("warning", f"not checked: {', '.join(checked.not_checked)}", told))
        echo_findings(findings)
        write_step_summary("mas-guard contracts check", findings_as_markdown(findings))
    context.exit(FINDINGS if checked.drifts else 0)


@contracts.command()
@click.argument("agents", nargs=-1, metavar="[AGENT…]")
@APP
@AT
def accept(agents: tuple[str, ...], app: str | None, path: str) -> None:
    """Accept what is declared and what was proposed, for the AGENTs named or for all."""
    file = read_contract_file(path)
    declared = _declared(app)
    pending = {**file.proposals, **entries_of(declared, file)}
    unknown = [agent for agent in agents if agent not in pending]
    if unknown:
        known = ", ".join(sorted(pending)) or "nobody"
        raise click.UsageError(
            f"There is no contract to accept of {', '.join(unknown)}; there is one of {known}. Declare it, name the app "
            "with --app, or run: mas-guard contracts learn EVENTS… --write"
        )
    news = 0
    for agent, entry in sorted(pending.items()):
        before = file.accepted.get(agent)
        if (agents and agent not in agents) or (before is not None and before.same_as(entry)):
            continue
        news += 1
        click.echo(f"accepted {agent}: {described(entry)}")
        file.accept(agent, entry)
    for agent in [] if agents else _no_longer_declared(file, declared, app):
        news += 1
        click.echo(f"accepted that {agent} has no contract any more")
        del file.accepted[agent]
    if news:
        write_contract_file(file, path)
    else:
        click.echo("There is nothing to accept.")


@contracts.command()
@click.argument("agents", nargs=-1, metavar="[AGENT…]")
@AT
@FORMAT
def show(agents: tuple[str, ...], path: str, output_format: str) -> None:
    """Show the accepted contracts and the proposals, of the AGENTs named or of all."""
    file = read_contract_file(path)
    unknown = [agent for agent in agents if agent not in file.accepted and agent not in file.proposals]
    if unknown:
        known = ", ".join(sorted({*file.accepted, *file.proposals})) or "nothing"
        raise click.UsageError(f"{path} has no {', '.join(unknown)}; it has {known}.")
    wanted = agents or tuple(sorted({*file.accepted, *file.proposals}))
    if output_format == "json":
        shown = {
            state: {agent: entry_as_json(book[agent], accepted=accepted) for agent in wanted if agent in book}
            for state, accepted, book in (("contracts", True, file.accepted), ("proposals", False, file.proposals))
        }
        click.echo(json.dumps({"version": 1, **shown}, indent=2))
        return
    if not wanted:
        click.echo(f"{path} accepts nothing yet. Declare contracts or learn them, then: mas-guard contracts accept")
    for agent in wanted:
        for word, book in (("accepted", file.accepted), ("proposed", file.proposals)):
            if agent in book:
                click.echo(f"{agent}  {word}  {book[agent].contract.version}  {described(book[agent])}")


def _learned(events: tuple[str, ...], reading: Reading) -> dict[str, Learned]:
    learning = Learning()
    for file, number, event in read_events(events, reading):
        problem = learning.take(event)
        if problem:
            reading.refuse(file, number, problem)
    return learning.result()


def _with_contract(learned: Mapping[str, Learned]) -> set[str]:
    return {agent for agent, seen in learned.items() if seen.contract is not None}


def _declared(app: str | None) -> dict[str, Contract]:
    """What the app declares, with what the settings declare above it."""
    found: dict[str, Contract] = {}
    if app is not None:
        try:
            declared = _declared_by(load_app(app))
        except TypeError as error:
            raise click.UsageError(f"{app}: {error}.") from None
        found = {agent: replace(contract_of(one), source="app") for agent, one in declared.items()}
    return {**found, **contracts_in_settings(load_policy())}


def _declared_by(app: Any) -> Mapping[str, Contract]:
    """What an app object declares: its framework's adapter reads it, plain Python says it by a mapping."""
    adapter = next((adapter for adapter in shared_guard().adapters() if adapter.can_wrap(app)), None)
    if adapter is None:
        return declared_contracts(app)
    outputs = adapter.declared_outputs(app)
    return {agent: contract_of(declared, consumers=takers) for agent, (declared, takers) in outputs.items()}


def _no_longer_declared(file: ContractFile, declared: Iterable[str], app: str | None) -> list[str]:
    sources = {"settings", "app"} if app else {"settings"}
    gone = [agent for agent, entry in file.accepted.items() if entry.contract.source in sources]
    return [agent for agent in gone if agent not in set(declared)]


def _say_broken(reading: Reading) -> None:
    if reading.broken:
        named: Any = "; ".join(str(Path(line)) for line in reading.named[:3])
        click.echo(f"⚠ left out {reading.broken} broken lines: {named}", err=True)
