"""Compute the totals of a plan for its closing sentence and its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from djlink_manifest.reconcile.plan.actions import (
    AddForeignKey,
    AlterLocal,
    Approve,
    ChangeLocal,
    CreateLocal,
    CreateOutbound,
    Delete,
    MakeViews,
    Mend,
    Move,
    NoteRequests,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over links.

    Links: `create` new ones, `complete` those whose tables are partly there, `alter` those whose local
    tables get or change columns or indexes, `move` those that get other names, `views` those but new ones
    whose owner's views are to be made, `blocked`, `not_attempted`, `unchanged`, `drifting`; `note` those
    whose local `DeletionRequested` changes; `awaiting` counts the sets of rows that await approval. Rows of
    masters: `pull`, with `part_rows`, `bytes`, and `objects` of `object_bytes`, `resume`, `refill`,
    `register`, `release`, `delete`, with `along` of other links,
    `delete_rows` in total as far as they are counted, `approve`, `mend`, `blocked_rows`,
    `awaiting_rows`, `kept`. Of the whole plan alone: servers `unavailable`, parts of the manifest `refused`,
    links that `removed` takes out (`remove`) or cannot (`remove_blocked`), and links `forgotten`, which still
    hold `forgotten_rows`.
    """

    links: int = 0
    create: int = 0
    complete: int = 0
    foreign_keys: int = 0
    views: int = 0
    alter: int = 0
    move: int = 0
    pull: int = 0
    part_rows: int = 0
    bytes: int = 0
    objects: int = 0
    object_bytes: int = 0
    resume: int = 0
    refill: int = 0
    register: int = 0
    release: int = 0
    delete: int = 0
    along: int = 0
    delete_rows: int = 0
    approve: int = 0
    mend: int = 0
    note: int = 0
    awaiting: int = 0
    awaiting_rows: int = 0
    blocked: int = 0
    blocked_rows: int = 0
    not_attempted: int = 0
    drifting: int = 0
    kept: int = 0
    unchanged: int = 0
    unavailable: int = 0
    refused: int = 0
    remove: int = 0
    remove_blocked: int = 0
    forgotten: int = 0
    forgotten_rows: int = 0

    def __add__(self, other: Totals) -> Totals:
        names = [field.name for field in fields(self)]
        return Totals(*(getattr(self, name) + getattr(other, name) for name in names))


def of_plan(plan: Plan) -> Totals:
    """Return the totals of the plan."""
    return replace(
        _sums(plan.links),
        unavailable=sum(bool(server.problem) for server in (plan.local, *plan.sources)),
        refused=len(plan.refusals),
        remove=sum(not removal.blocked for removal in plan.removals),
        remove_blocked=sum(bool(removal.blocked) for removal in plan.removals),
        forgotten=len(plan.forgotten),
        forgotten_rows=sum(each.held or 0 for each in plan.forgotten),
    )


def of_links(links: Iterable[LinkPlan]) -> Totals:
    """Return the totals of some links."""
    return _sums(links)


def of_link(link: LinkPlan) -> Totals:
    """Return the totals of one link."""
    return _sums((link,))


def is_blocked_above(link: LinkPlan) -> bool:
    """Return whether the link is stopped only by links above it."""
    return link.is_stopped and all(b.kind == "upstream" for b in link.blocked if b.whole)


def _has_views(link: LinkPlan) -> bool:
    return any(isinstance(action, MakeViews) for action in link.actions)


def _sums(links: Iterable[LinkPlan]) -> Totals:
    chosen = tuple(links)
    actions = [action for link in chosen for action in link.actions]
    blocks = [block for link in chosen for block in link.blocked]
    made = [link for link in chosen if any(isinstance(a, CreateOutbound | CreateLocal) for a in link.actions)]
    reviews = [b for b in blocks if b.kind == "review" and b.root is None]
    pulls = [a for a in actions if isinstance(a, Pull)]
    return Totals(
        links=len(chosen),
        create=sum(link.new for link in made),
        complete=sum(not link.new for link in made),
        foreign_keys=sum(isinstance(a, AddForeignKey) for a in actions),
        views=sum(not link.new and _has_views(link) for link in chosen),
        alter=sum(any(isinstance(a, AlterLocal | ChangeLocal) for a in link.actions) for link in chosen),
        move=sum(any(isinstance(a, Move) for a in link.actions) for link in chosen),
        pull=sum(a.entities for a in pulls),
        part_rows=sum(rows for a in pulls for _, rows in a.parts),
        bytes=sum(a.bytes for a in pulls),
        objects=sum(a.objects.count for a in pulls),
        object_bytes=sum(a.objects.bytes for a in pulls),
        resume=sum(a.entities for a in actions if isinstance(a, PullAgain)),
        refill=sum(a.entities for a in actions if isinstance(a, Refill)),
        register=sum(a.entities for a in actions if isinstance(a, Register)),
        release=sum(a.entities for a in actions if isinstance(a, Release)),
        delete=sum(a.entities for a in actions if isinstance(a, Delete)),
        along=sum(n for a in actions if isinstance(a, Delete) for _, n in a.along),
        delete_rows=sum(n for a in actions if isinstance(a, Delete) for _, n in a.rows),
        approve=sum(a.entities for a in actions if isinstance(a, Approve)),
        mend=sum(a.entities for a in actions if isinstance(a, Mend)),
        note=sum(isinstance(a, NoteRequests) for a in actions),
        awaiting=len(reviews),
        awaiting_rows=sum(b.count for b in reviews),
        blocked=sum(link.is_stopped and not is_blocked_above(link) for link in chosen),
        blocked_rows=sum(b.count for b in blocks if b.kind != "review" and not b.whole),
        not_attempted=sum(is_blocked_above(link) for link in chosen),
        drifting=sum(bool(link.drift) for link in chosen),
        kept=sum(link.kept for link in chosen),
        unchanged=sum(link.is_unchanged for link in chosen),
    )
