"""Render requested deletions, and the actions on them, as rows of the plan screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from djlink_manifest.model.next_steps import command
from djlink_manifest.reconcile.plan.actions import Approve, Claim, Delete, Mend, NoteRequests
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.state.deletion_requests import Closure, RequestGroup
from djlink_manifest.report.screen.figures import counted, listed
from djlink_manifest.report.screen.rows import DELETE, NOTE, RESUME, REVIEW, Row

DELETIONS = (Claim, Delete, Approve, Mend, NoteRequests)
REASONS = 3  # shown in a plan; `djlink requests` shows all


def all_deletions(plan: Plan, *, short: bool = False) -> list[Row]:
    """Return the deletions of all links, children first: one block for each decision.

    A link whose requested rows all go along with those of another one is named there.
    """
    along = dict[str, list[tuple[str, int]]]()
    for link in plan.links:
        root, due = decided_with(link), [a for a in link.actions if isinstance(a, DELETIONS)]
        if root is not None and all(isinstance(action, NoteRequests) for action in due):
            along.setdefault(root, []).append((link.address, _requested(link)))
    told = {address for of in along.values() for address, _ in of}
    return [
        row
        for wave in reversed(plan.waves)
        for link in wave
        if link.address not in told
        for row in deletion_rows(link, short=short, along=along.get(link.address, ()))
    ]


def decided_with(link: LinkPlan) -> str | None:
    """Return the link with whose requests those of this one are decided, as they go along; None for none."""
    reviews = [block for block in link.blocked if block.kind == "review"]
    if reviews:
        return reviews[0].root if len(reviews) == 1 else None
    return link.requests.root if link.requests else None


def _requested(link: LinkPlan) -> int:
    return link.requests.requested.closure.local if link.requests and link.requests.requested else 0


def deletion_rows(
    link: LinkPlan,
    *,
    reasons: int = REASONS,
    short: bool = False,
    along: Sequence[tuple[str, int]] = (),
) -> list[Row]:
    """Return the deletions of a link: the actions, the open decisions, the requests with their reasons.

    `along` are other links' requests that are decided with these. In `short`, actions and decisions alone.
    """
    rows = [*_done(link), *_reviews(link)]
    if along:
        words = listed([f"{count:,} of {address}" for address, count in along])
        rows.append(Row(NOTE, "", f"their deletion is requested too: {words}", style="dim"))
    if short:
        rows = [row for row in rows if row.style != "dim"]
    elif link.requests and rows:
        rows += request_rows(link, reasons)
    if not rows:
        return []
    first, *others = rows
    place = str(link.location) if link.location and any(b.kind == "review" for b in link.blocked) else ""
    return [Row(first.symbol, link.address, first.words, place, first.style), *others]


def request_rows(link: LinkPlan, most: int | None = None) -> Iterator[Row]:
    """Yield a row for each reason of the requests: how many rows, requested by whom, and since when."""
    seen = link.requests
    if seen is None:
        return
    chosen = seen.request_groups if most is None else seen.request_groups[:most]
    for each in chosen:
        yield Row(NOTE, "", _request_words(each, seen.now), style="dim")
    left = len(seen.request_groups) - len(chosen)
    if left:
        yield Row(
            NOTE,
            "",
            f"and {counted(left, 'further reason')}: {command('requests', link.address)}",
            style="dim",
        )


def _done(link: LinkPlan) -> Iterator[Row]:
    for action in link.actions:
        match action:
            case Delete():
                if action.entities:
                    yield Row(DELETE, "", f"delete {counted(action.entities, 'local row')}: {action.reason}")
                else:
                    yield Row(DELETE, "", f"claim the approved requests: {action.reason}")
                yield from _details(action.along, action.rows)
            case Claim(entities=entities, reason=reason):
                words = f"note: the approval of {counted(entities, 'request')}, at the source: {reason}"
                yield Row(NOTE, "", words, style="dim")
            case Approve(entities=entities, reason=reason):
                yield Row(DELETE, "", f"approve the deletion of {counted(entities, 'row')}: {reason}")
            case Mend(entities=entities, reason=reason):
                yield Row(RESUME, "", f"repair {counted(entities, 'row')} at the source: {reason}")
            case NoteRequests(new=new, withdrawn=withdrawn):
                changes = [f"{n:,} {what}" for n, what in ((new, "new"), (withdrawn, "withdrawn")) if n]
                words = f"note: update the local DeletionRequested: {', '.join(changes)}"
                yield Row(NOTE, "", words, style="dim")
            case _:
                pass


def _reviews(link: LinkPlan) -> Iterator[Row]:
    for block in link.blocked:
        if block.kind != "review":
            continue
        count = f"{counted(block.count, 'row')}: " if block.count else ""
        yield Row(REVIEW, "", count + block.reason)
        requested = link.requests.requested if link.requests else None
        if requested and block.count == requested.closure.local:
            yield from closure_rows(requested.closure)
        if block.root is not None:
            yield Row(NOTE, "", f"they go along with the rows requested of {block.root}", style="dim")
        if block.hint:
            yield Row(REVIEW, "", f"next: {block.hint}", style="dim")


def closure_rows(closure: Closure) -> Iterator[Row]:
    """Yield what would be deleted too, by link and by local table, and the lab's own rows that prevent it."""
    yield from _details(closure.along, closure.rows)
    for each in closure.lab:
        words = (
            f"{counted(closure.held, 'row')} cannot be deleted: {counted(each.rows, 'row')} of {each.table} "
            "depend on them"
        )
        yield Row(NOTE, "", words, style="yellow")
        if each.line:
            yield Row(NOTE, "", f"to delete the dependent rows: {each.line}", style="dim")


def _details(along: tuple[tuple[str, int], ...], rows: tuple[tuple[str, int], ...]) -> Iterator[Row]:
    if along:
        yield Row(NOTE, "", f"with {listed([f'{n:,} of {a}' for a, n in along])}", style="dim")
    if rows:
        yield Row(NOTE, "", f"local rows: {listed([f'{n:,} of {t}' for t, n in rows])}", style="dim")


def _request_words(each: RequestGroup, now: datetime | None) -> str:
    since = each.since.strftime("%Y-%m-%d")
    age = f" ({_age(each.since, now)})" if now else ""
    reason = f": {each.reason}" if each.reason else ": no reason given"
    return f"{counted(each.count, 'row')} requested by {each.by} since {since}{age}{reason}"


def _age(since: datetime, now: datetime) -> str:
    days = (now - since).days
    return counted(days, "day") if days > 0 else "today"
