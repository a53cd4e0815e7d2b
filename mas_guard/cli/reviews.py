"""`mas-guard reviews`: what waits for a person, and the person's answer, from any terminal."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import click

from mas_guard.adapter import Finding
from mas_guard.cli._output import FORMAT, echo_findings
from mas_guard.config import load_policy
from mas_guard.reviews import Desk, Resolution, ReviewRecord, SQLiteReviewStore, open_store, store_of
from mas_guard.reviews import drill as run_drill
from mas_guard.reviews.judging import read_edit
from mas_guard.reviews.terminal import user_name
from mas_guard.reviews.text import described, duration, moment, one_line

FINDINGS = 1

_BY = click.option("--by", default=user_name, help="Who decides; by default your user name.", metavar="NAME")
_REASON = click.option("--reason", default="", help="Why, for the record and for whoever asked.", metavar="TEXT")
_SEEN = click.option(
    "--fingerprint", default="", metavar="HEX", help="Of what you saw in `show`; another one is refused."
)


@click.group()
@click.option("--store", "store_url", metavar="URL", help="Where the reviews are; by default REVIEW__STORE.")
@click.pass_context
def reviews(context: click.Context, store_url: str | None) -> None:
    """List reviews that wait for a person, and answer them.

    The reviews are those of REVIEW__STORE (by default where STORE is), so start where the app was started or give
    --store. Nothing is approved by a clock: what nobody answers in time counts as rejected.
    """
    context.obj = store_url


@reviews.command("list")
@click.option("--all", "everything", is_flag=True, help="Those with an answer as well.")
@FORMAT
@click.pass_obj
def list_reviews(store_url: str | None, everything: bool, output_format: str) -> None:
    """List the reviews that wait, the oldest first."""
    desk = _desk(store_url)
    found = desk.records(waiting=not everything) if _has_reviews(desk) else []
    if output_format == "json":
        rows = [_as_json(record, contents=False) for record in found]
        click.echo(json.dumps({"version": 1, "store": desk.store.place, "reviews": rows}, indent=2))
        return
    if not found:
        click.echo(f"No review {'is there' if everything else 'waits'} in {desk.store.place}{_not_yet(desk)}.")
    for line in _table(found, desk.now()):
        click.echo(line)


@reviews.command()
@click.argument("review_id", metavar="ID")
@FORMAT
@click.pass_obj
def show(store_url: str | None, review_id: str, output_format: str) -> None:
    """Show one review with everything that an answer is about."""
    desk = _desk(store_url)
    record = desk.record(review_id)
    if output_format == "json":
        click.echo(json.dumps({"version": 1, **_as_json(record, contents=True)}, indent=2))
        return
    for line in described(record.review, record.resolution, desk.now()):
        click.echo(line)


@reviews.command()
@click.argument("review_id", metavar="ID")
@click.option("--edit", metavar="TEXT", help="Approve with this in its place: a text, or a tool's arguments as JSON.")
@_BY
@_REASON
@_SEEN
@click.pass_obj
def approve(store_url: str | None, review_id: str, edit: str | None, by: str, reason: str, fingerprint: str) -> None:
    """Approve exactly what was shown, or an edit of it where it may be edited."""
    desk = _desk(store_url)
    result = None if edit is None else read_edit(desk.record(review_id).review, edit)
    settled = desk.answer(
        review_id, "approved", result=result, edit=edit is not None, by=by, reason=reason, fingerprint=fingerprint
    )
    _echo_settled(desk, review_id, settled)


@reviews.command()
@click.argument("review_id", metavar="ID")
@_BY
@_REASON
@click.pass_obj
def reject(store_url: str | None, review_id: str, by: str, reason: str) -> None:
    """Reject it: the fallback text stands in its place, where there is one."""
    desk = _desk(store_url)
    _echo_settled(desk, review_id, desk.answer(review_id, "rejected", by=by, reason=reason))


@reviews.command()
@click.argument("review_id", metavar="ID")
@click.argument("text")
@_BY
@_REASON
@_SEEN
@click.pass_obj
def answer(store_url: str | None, review_id: str, text: str, by: str, reason: str, fingerprint: str) -> None:
    """Give an answer of your own, TEXT, in place of what was shown; JSON where a result is no text."""
    desk = _desk(store_url)
    review = desk.record(review_id).review
    result = text if review.kind == "tool" else read_edit(review, text)
    settled = desk.answer(review_id, "answered", result=result, by=by, reason=reason, fingerprint=fingerprint)
    _echo_settled(desk, review_id, settled)


@reviews.command()
@click.pass_obj
def sweep(store_url: str | None) -> None:
    """Reject every review whose time is over, and drop answered ones past RETENTION. For a timer."""
    desk = _desk(store_url)
    rejected, dropped = desk.sweep() if _has_reviews(desk) else ([], 0)
    for review in rejected:
        click.echo(f"{review.id}: rejected (expired) at {moment(review.expires_at)}")
    click.echo(f"{len(rejected)} rejected, {dropped} dropped in {desk.store.place}{_not_yet(desk)}")


@reviews.command()
@click.option(
    "--wait", default=0.0, type=click.FloatRange(min=0), help="Seconds to wait for an answer.", metavar="SECONDS"
)
@click.pass_obj
@click.pass_context
def drill(context: click.Context, store_url: str | None, wait: float) -> None:
    """Open a harmless review through the configured channel and say whether somebody could answer.

    Exit code 1 where nobody could, or where --wait was given and nobody did.
    """
    from mas_guard._plugins import Plugins

    # What would be logged stands among the findings.
    logging.getLogger("mas_guard").addHandler(logging.NullHandler())
    store = None if store_url is None else open_store(store_url)
    done = run_drill(load_policy(), Plugins(), wait=wait, store=store)
    echo_findings(Finding(*finding) for finding in done.findings)
    context.exit(0 if done.passed else FINDINGS)


def _desk(store_url: str | None) -> Desk:
    policy = load_policy()
    store = store_of(policy) if store_url is None else open_store(store_url)
    if not store.shared:
        raise click.UsageError(
            "Reviews are kept in memory, inside the app's own process, where this command cannot see them. "
            "Set MAS_GUARD_REVIEW__STORE=sqlite:///reviews.db for the app and here, or give --store."
        )
    return Desk(policy, store=store)


def _has_reviews(desk: Desk) -> bool:
    return not isinstance(desk.store, SQLiteReviewStore) or desk.store.exists()


def _not_yet(desk: Desk) -> str:
    return "" if _has_reviews(desk) else " (the file is created with the first review)"


def _table(found: list[ReviewRecord], now: float) -> Iterator[str]:
    for review, resolution in found:
        state = f"waits {duration(review.expires_at - now)}" if resolution is None else str(resolution)
        agent = one_line(review.agent, 20) or "-"
        yield f"{review.id}  {review.kind:<6}  {state:<18}  {agent:<20}  {one_line(review.reason)}".rstrip()


def _as_json(record: ReviewRecord, *, contents: bool) -> dict[str, Any]:
    review = record.review.to_json()
    if not contents:
        del review["shown"], review["fallback"]
    resolution = record.resolution
    if resolution is None:
        return {"review": review, "resolution": None}
    decided = resolution.to_json()
    if not contents:
        del decided["result"]
    return {"review": review, "resolution": {**decided, "state": str(resolution)}}


def _echo_settled(desk: Desk, review_id: str, settled: Resolution) -> None:
    review = desk.record(review_id).review
    click.echo(f"{review.id}: {settled} by {settled.by or 'somebody'} at {moment(settled.at)}")
