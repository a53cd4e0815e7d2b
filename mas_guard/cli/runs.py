"""`mas-guard runs`: the runs of a store, and what an operator does to them from any terminal."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from mas_guard import _fleet
from mas_guard._fleet import FoundRun
from mas_guard._run_record import limits_from
from mas_guard._store import Store
from mas_guard.cli._output import FORMAT
from mas_guard.cli._stores import STORE, AmountOfUsd, StoreCommands, named, shared_store, table, used
from mas_guard.config.table import setting_of
from mas_guard.config.values import read
from mas_guard.ledger import Balance
from mas_guard.reviews.terminal import user_name
from mas_guard.reviews.text import duration
from mas_guard.types import UNITS, Amounts

SHORT = 12  # characters of an id that tell runs apart; commands take as many


@click.group(cls=StoreCommands)
@STORE
@click.pass_context
def runs(context: click.Context, store_url: str | None) -> None:
    """List the runs of a store, stop one wherever it is, or let it have more.

    The store is that of STORE, so start where the app was started or give --store.
    """
    context.obj = store_url


@runs.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that have ended as well.")
@click.option("--group", default="", metavar="NAME", help="Only those of one group.")
@click.option("--most", default=50, show_default=True, help="How many at the most.")
@FORMAT
@click.pass_obj
def list_runs(store_url: str | None, everything: bool, group: str, most: int, output_format: str) -> None:
    """List the runs that have not ended, the latest first."""
    store = shared_store(store_url)
    found = _fleet.runs(store, most=most, going=not everything, group=group)
    if output_format == "json":
        rows = [_as_json(run, None) for run in found]
        click.echo(json.dumps({"version": 1, "store": store.place, "runs": rows}, indent=2))
        return
    if not found:
        click.echo(f"No run {'is known' if everything else 'is going on'} in {store.place}.")
        return
    head = ("run", "name", "status", "began", "hops", "owner", "tenant")
    for line in table(head, [_row(run) for run in found]):
        click.echo(line)


@runs.command()
@click.argument("run_id", metavar="ID")
@FORMAT
@click.pass_obj
def show(store_url: str | None, run_id: str, output_format: str) -> None:
    """Show one run: where it is, what it has spent, what stopped it."""
    store = shared_store(store_url)
    run = _fleet.run_of(store, run_id)
    balance = _fleet.balance_of(store, run)
    if output_format == "json":
        click.echo(json.dumps({"version": 1, **_as_json(run, balance)}, indent=2))
        return
    for line in _described(run, balance):
        click.echo(line)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the run's outcome.")
@click.option("--by", default=user_name, metavar="NAME", help="Who stops it; by default your user name.")
@click.option("--abort", is_flag=True, help="Leave the owner no concluding turn.")
@click.pass_obj
def stop(store_url: str | None, run_id: str, reason: str, by: str, abort: bool) -> None:
    """Stop a run: its next call is refused in every process. Calls under way end by themselves."""
    store = shared_store(store_url)
    run = _fleet.stop_run(store, run_id, reason=reason, by=by, abort=abort)
    click.echo(
        f"Run {run.id} is stopped: no further call of it is sent. What ON_LIMIT says follows where it is at work."
    )


@runs.command("top-up")
@click.argument("run_id", metavar="ID")
@click.option("--tokens", type=click.IntRange(min=0), default=0)
@click.option("--model-calls", type=click.IntRange(min=0), default=0)
@click.option("--tool-calls", type=click.IntRange(min=0), default=0)
@click.option("--usd", type=AmountOfUsd(), default=0, metavar="USD")
@click.option("--hops", type=click.IntRange(min=0), default=0)
@click.option("--time", "more_time", default="", metavar="DURATION", help="More active time, such as 10m.")
@click.pass_obj
def top_up(
    store_url: str | None,
    run_id: str,
    tokens: int,
    model_calls: int,
    tool_calls: int,
    usd: int,
    hops: int,
    more_time: str,
) -> None:
    """Raise a run's limits and lift its stop. A run that was stopped goes on when it is resumed."""
    store = shared_store(store_url)
    seconds = _seconds(more_time)
    run = _fleet.top_up_run(store, run_id, Amounts(tokens, model_calls, tool_calls, usd), hops=hops, seconds=seconds)
    _echo_limits(store, run)


def _seconds(text: str) -> float:
    if not text:
        return 0.0
    setting = setting_of("DEADLINE")
    assert setting is not None
    try:
        return float(read(setting, text))
    except ValueError as error:
        raise click.BadParameter(f"{error}", param_hint="--time") from None


def _echo_limits(store: Store, run: FoundRun) -> None:
    balance = _fleet.balance_of(store, run)
    figures = "" if balance is None else "; " + _figures(balance)
    click.echo(f"Run {run.id} has its limits raised and no stop{figures}.")


def _row(run: FoundRun) -> tuple[str, ...]:
    value = run.value
    return (
        run.id[:SHORT],
        str(value.get("name") or "-")[:40],
        run.status,
        f"{duration(max(0.0, time.time() - run.began))} ago",
        str(value.get("hops", 0)),
        str(value.get("owner") or "-"),
        str(value.get("tenant") or "-"),
    )


def _described(run: FoundRun, balance: Balance | None) -> list[str]:
    value = run.value
    process = value.get("process") or {}
    lines = [
        f"run      {run.id}",
        f"name     {value.get('name') or '-'}",
        f"status   {run.status}",
        f"began    {duration(max(0.0, time.time() - run.began))} ago, on {process.get('host', '?')}, process {process.get('pid', '?')}",
        f"owner    {value.get('owner') or '-'}",
        f"hops     {value.get('hops', 0)}   path {' > '.join(value.get('path') or ()) or '-'}",
    ]
    lines += [f"{key:<9}{value[key]}" for key in ("tenant", "thread", "events") if value.get(key)]
    if value.get("groups"):
        lines.append(f"groups   {', '.join(value['groups'])}")
    if balance is not None:
        lines.append(f"spent    {_figures(balance)}")
        if any(balance.crashed):
            lines.append("         of it charged for calls that were never heard of again: mas-guard ledger show")
    elif value.get("spent"):
        lines.append("spent    " + _figures_of(Amounts(*value["spent"]), value))
    stop = value.get("stop")
    if stop:
        lines.append(f"stopped  {stop.get('rule')}: {stop.get('message')}")
    if value.get("reason"):
        lines.append(f"reason   {value['reason']}")
    lines += [f"note     {note}" for note in value.get("notes") or ()]
    return lines


def _figures(balance: Balance) -> str:
    parts = [f"{used(balance.settled, balance.limits, unit)} {unit.replace('_', ' ')}" for unit in UNITS[:3]]
    parts.append(used(balance.settled, balance.limits, "nano_usd"))
    return ", ".join(parts) + (", and calls under way hold more" if any(balance.held) else "")


def _figures_of(spent: Amounts, value: Any) -> str:
    limits = limits_from(value["limits"]) if value.get("limits") else None
    parts = [f"{used(spent, limits, unit)} {unit.replace('_', ' ')}" for unit in UNITS[:3]]
    return ", ".join([*parts, used(spent, limits, "nano_usd")])


def _as_json(run: FoundRun, balance: Balance | None) -> dict[str, Any]:
    value = dict(run.value)
    value.pop("v", None)
    row = {"id": run.id, **value, "status": run.status, "began": run.began}
    if balance is not None:
        row |= {
            "limits": named(balance.limits),
            "spent": named(balance.settled),
            "held": named(balance.held),
            "crashed": named(balance.crashed),
            "halted": balance.halted,
        }
    return row
