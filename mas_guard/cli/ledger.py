"""`mas-guard ledger`: the books of a store, and what a crash has left in them."""

from __future__ import annotations

import json
from itertools import islice

import click

from mas_guard.cli._output import FORMAT
from mas_guard.cli._stores import STORE, AmountOfUsd, StoreCommands, named, shared_store, table, used
from mas_guard.types import UNITS, Amounts


@click.group(cls=StoreCommands)
@STORE
@click.pass_context
def ledger(context: click.Context, store_url: str | None) -> None:
    """Show what runs, groups and windows have spent, and put right what was charged for crashed workers."""
    context.obj = store_url


@ledger.command()
@click.argument("prefix", default="")
@click.option("--most", default=100, show_default=True, help="How many accounts at the most.")
@FORMAT
@click.pass_obj
def show(store_url: str | None, prefix: str, most: int, output_format: str) -> None:
    """Show the open accounts, or those whose name begins with PREFIX: `run:`, `group:`, `window:tenant-day:acme`.

    `held` belongs to calls under way. `crashed` is the part of what was spent that was charged in full because a worker
    died with its call under way: the provider bills it, so it counts until somebody knows better.
    """
    store = shared_store(store_url)
    accounts = list(islice(store.ledger.balances(prefix), most))
    crashed = store.ledger.crashed_holds()
    if output_format == "json":
        rows = [
            {
                "account": scope,
                "limits": named(balance.limits),
                "spent": named(balance.settled),
                "held": named(balance.held),
                "crashed": named(balance.crashed),
                "halted": balance.halted,
            }
            for scope, balance in accounts
        ]
        holds = [
            {"hold": hold.hold_id, "accounts": list(hold.scopes), "charged": named(hold.amounts)} for hold in crashed
        ]
        found = {"version": 1, "store": store.place, "accounts": rows, "crashed_holds": holds}
        click.echo(json.dumps(found, indent=2))
        return
    if not accounts:
        click.echo(f"No account is open in {store.place}{f' whose name begins with {prefix!r}' if prefix else ''}.")
    else:
        head = ("account", "tokens", "model calls", "tool calls", "USD", "")
        body = [
            (
                scope,
                *(used(balance.settled, balance.limits, unit) for unit in UNITS),
                "halted" if balance.halted else "held" if any(balance.held) else "",
            )
            for scope, balance in accounts
        ]
        for line in table(head, body):
            click.echo(line)
    if crashed:
        click.echo("\nCharged in full for calls that were never heard of again (mas-guard ledger reconcile HOLD …):")
        for line in table(
            ("hold", "tokens", "model calls", "USD", "accounts"),
            [
                (
                    hold.hold_id,
                    *(used(hold.amounts, None, unit) for unit in ("tokens", "model_calls", "nano_usd")),
                    ", ".join(hold.scopes),
                )
                for hold in crashed
            ],
        ):
            click.echo(line)


@ledger.command()
@click.argument("holds", nargs=-1, metavar="[HOLD]…")
@click.option("--unsent", is_flag=True, help="The call never reached the provider: all of it comes back.")
@click.option("--tokens", type=click.IntRange(min=0), help="What the provider billed, in tokens.")
@click.option("--usd", type=AmountOfUsd(), metavar="USD", help="What it billed, in US dollars.")
@click.pass_obj
def reconcile(store_url: str | None, holds: tuple[str, ...], unsent: bool, tokens: int | None, usd: int | None) -> None:
    """Put right what was charged for crashed workers. Without HOLD, only end the leases that are over.

    Give what the provider's own bill says with --tokens and --usd, or --unsent where it shows no such call.
    """
    store = shared_store(store_url)
    store.ledger.sweep()
    if not holds:
        left = len(store.ledger.crashed_holds())
        click.echo(f"Leases that are over have ended in {store.place}; {left} crashed calls are charged in full.")
        return
    if not unsent and tokens is None and usd is None:
        raise click.UsageError("Say what was billed: --unsent, or --tokens and --usd as the provider's bill has them.")
    known = {hold.hold_id: hold for hold in store.ledger.crashed_holds()}
    for hold_id in holds:
        hold = known.get(hold_id)
        if hold is None:
            raise click.UsageError(
                f"{hold_id} is no crashed call of {store.place}: `mas-guard ledger show` lists them."
            )
        if unsent:
            store.ledger.release(hold_id)
        else:
            held = hold.amounts
            store.ledger.settle(
                hold_id,
                Amounts(
                    held.tokens if tokens is None else tokens,
                    held.model_calls,
                    held.tool_calls,
                    held.nano_usd if usd is None else usd,
                ),
            )
        click.echo(f"{hold_id}: put right on {', '.join(hold.scopes)}.")
