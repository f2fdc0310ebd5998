"""What of a plan decides whether another plan does the same: one kept as a file, and one made anew. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from djlink_manifest.reconcile.plan.actions import (
    Action,
    AddForeignKey,
    AlterLocal,
    ChangeLocal,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    MakeViews,
    Move,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
)
from djlink_manifest.reconcile.plan.bounds import Bound, Letting, bounds_of, removal_bound, settled_letting
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan


@dataclass(frozen=True, slots=True)
class LinkOutline:
    """One link: what is made, what is let go, and how many rows come.

    `tables` are what its structure is bound to, `shown` the names of that on the screen. `letting` are the
    actions that delete rows or give up protection, without their words, each with what it is bound to.
    `comes` counts the rows to be pulled, pulled again or protected; `again_whole` tells that all of a dropped
    table come back. `refills` are by cause. `errors` say what is blocked and needs mending.
    """

    address: str
    definitions: Mapping[str, str]
    tables: tuple[Bound, ...] = ()
    shown: frozenset[str] = frozenset()
    letting: tuple[tuple[Letting, tuple[Bound, ...]], ...] = ()
    comes: int = 0
    again_whole: bool = False
    refills: Mapping[Literal["definition", "rows"], int] = field(default_factory=dict)
    source_rows: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanOutline:
    """The whole plan: its links by address, and what removals are bound to, by address.

    `errors` say by server or address what else needs mending.
    """

    links: Mapping[str, LinkOutline]
    removals: Mapping[str, Bound]
    errors: tuple[tuple[str, str], ...] = ()


def outline_of(plan: Plan) -> PlanOutline:
    """The outline of a plan that was made from servers."""
    bounds = {
        link.address: [bounds_of(action, dict(link.sets)) for action in link.actions] for link in plan.links
    }
    return outline_with(plan, bounds, {r.address: removal_bound(r) for r in plan.removals})


def outline_with(
    plan: Plan, bounds: Mapping[str, Sequence[tuple[Bound, ...]]], removals: Mapping[str, Bound]
) -> PlanOutline:
    """The outline of a plan whose actions, and removals, are bound to these."""
    return PlanOutline(
        {link.address: _of_link(link, bounds[link.address]) for link in plan.links},
        {r.address: removals[r.address] for r in plan.removals if r.address in removals and not r.blocked},
        tuple(_errors(plan)),
    )


def _of_link(link: LinkPlan, bounds: Sequence[tuple[Bound, ...]]) -> LinkOutline:
    pairs = list(zip(link.actions, bounds, strict=True))
    coming = [a for a in link.actions if isinstance(a, Pull | PullAgain | Register)]
    return LinkOutline(
        link.address,
        dict(link.definitions),
        tables=tuple(b for a, found in pairs if not isinstance(a, Letting) for b in found),
        shown=frozenset(name for action in link.actions for name in _shown(action)),
        letting=tuple((settled_letting(a), found) for a, found in pairs if isinstance(a, Letting)),
        comes=sum(a.entities for a in coming),
        again_whole=any(isinstance(a, PullAgain) and a.whole for a in link.actions),
        refills={a.cause: a.entities for a in link.actions if isinstance(a, Refill)},
        source_rows=link.source_rows,
        errors=tuple(b.reason for b in link.blocked if b.kind == "error"),
    )


def _shown(action: Action) -> Iterator[str]:
    """What a screen names of an action on tables."""
    match action:
        case Move(before=before, tables=tables):
            yield from before
            yield from (f"{old} to {new}" for old, new in tables)
        case CreateOutbound(tables=names) | CreateLocal(tables=names) | MakeViews(views=names):
            yield from names
        case AlterLocal(table=table, columns=columns, indexes=indexes):
            yield from (f"{table}: {each}" for each in (*columns, *indexes))
        case ChangeLocal(table=table, changes=changes):
            yield from (f"{table}: {each}" for each in changes)
        case AddForeignKey(table=table, columns=columns, parent=parent):
            yield f"{table} ({', '.join(columns)}) to {parent}"
        case CopyLineage(schemas=schemas):
            yield from (f"lineage of {each}" for each in schemas)
        case NoteServer():
            yield "which server is the local one"
        case _:
            pass


def _errors(plan: Plan) -> Iterator[tuple[str, str]]:
    for server in (plan.local, *plan.sources):
        if server.problem:
            yield server.name, server.problem
    for refusal in plan.refusals:
        yield refusal.address, refusal.reason
    for removal in plan.removals:
        for block in removal.blocked:
            yield removal.address, block.reason
