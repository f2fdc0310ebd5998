"""What is to be done for a link, as actions: from its footing and the counts of its entities. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from djlink_manifest.model.links.entity import State, Step, state_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.plan.actions import (
    ADDED,
    Action,
    AddForeignKey,
    AlterLocal,
    CreateLocal,
    CreateOutbound,
    MakeViews,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.state.snapshot import Alteration, Footing, LinkSnapshot, ReliedOn

MISSING = "in outbound but missing locally"


def structure(link: Link, footing: Footing, snapshot: LinkSnapshot) -> Iterator[Action]:
    """The tables and views to make or alter."""
    why = "new link" if footing.is_new else "its tables are incomplete"
    if footing.make_outbound or footing.mark_outbound:
        yield CreateOutbound(link.source, _names(footing.make_outbound), why)
    if footing.make_local or footing.mark_local:
        added = footing.refill is not None and footing.redefined
        yield CreateLocal(_names(footing.make_local), ADDED if added else why)
    elif footing.remade and footing.is_level and not _stay_lost(snapshot):
        yield CreateLocal((), "recreated by an interrupted apply; its held rows are checked")
    for alteration in footing.alter_local:
        yield _alter(link, alteration)
    if footing.make_views:
        names = tuple(f"{view.schema}.{view.name}" for view in footing.make_views)
        yield MakeViews(link.source, names, why if footing.is_new else footing.views_why)


def _stay_lost(snapshot: LinkSnapshot) -> bool:
    """Whether held rows are missing here that cannot come again as things stand."""
    strays = any(c.presence.outbound and not (c.presence.source or c.presence.local) for c in snapshot.counts)
    return strays or bool(snapshot.stuck_again)


def _alter(link: Link, alteration: Alteration) -> AlterLocal:
    columns = tuple(f"{c.name} {c.type}" for c, _ in alteration.columns)
    indexes = tuple(("unique " if i.unique else "") + i.name for i in alteration.indexes)
    words = [f"`{c}`" for c in columns] + [f"the index `{i.name}`" for i in alteration.indexes]
    name = f"{link.local.schema}.{alteration.table}"
    return AlterLocal(name, columns, indexes, f"the source added {', '.join(words)}")


def late_keys(footing: Footing) -> Iterator[Action]:
    """The foreign keys to parents that were linked later."""
    for table, key in footing.add_foreign_keys:
        parent = f"{key.parent_schema}.{key.parent_table}"
        yield AddForeignKey(table, key.columns, parent, "its parent is now linked")


def row_actions(
    link: Link,
    footing: Footing,
    snapshot: LinkSnapshot,
    steps: Mapping[Step, int],
    relied: ReliedOn | None = None,
) -> Iterator[Action]:
    """What is done with entities: released, registered, filled again, pulled.

    `relied`: those that are not filled again, as rows of other tables rely on theirs.
    """
    if steps[Step.RELEASE]:
        yield Release(link.source, steps[Step.RELEASE], "missing locally and not pullable")
    if snapshot.equal:
        why = "unprotected local rows that equal their source rows"
        if link.unwanted == "release" and _unprotected_unwanted(snapshot):
            why += "; the next plan releases those that are not wanted"
        yield Register(link.source, snapshot.equal, why)
    yield from _refill(link, footing, snapshot, relied or ReliedOn(0))
    comes_again = steps[Step.PULL_AGAIN] - snapshot.stuck_again
    if comes_again > 0:
        why = "in outbound, but the local table was dropped" if footing.remade else MISSING
        yield PullAgain(comes_again, f"{why}; pull again", whole=footing.remade)
    if steps[Step.PULL] > snapshot.stuck:
        why = "new link" if footing.is_new else "wanted, not yet pulled"
        yield Pull(
            steps[Step.PULL] - snapshot.stuck,
            snapshot.to_pull_parts,
            snapshot.to_pull_bytes,
            why,
            objects=snapshot.to_pull_objects,
        )


def _unprotected_unwanted(snapshot: LinkSnapshot) -> bool:
    return any(state_of(c.presence) is State.UNPROTECTED and not c.wanted for c in snapshot.counts)


def _refill(link: Link, footing: Footing, snapshot: LinkSnapshot, relied: ReliedOn) -> Iterator[Action]:
    aside = relied.entities
    if snapshot.in_state(State.IMPOSSIBLE):
        return  # a new source row may have the key of one that went, and would take its place here
    if footing.refill is not None:
        shared = snapshot.in_state(State.SHARED) + snapshot.in_state(State.TAINTED)
        differ = shared if relied.differ is None else relied.differ
        if differ > aside:
            yield Refill(differ - aside, "definition", footing.refill)
        elif not shared and not footing.make_local and not footing.alter_local:
            yield CreateLocal((), footing.refill)
    elif link.changed == "mend" and (snapshot.changed or 0) > aside:
        also = ", or lack external objects" if snapshot.lost else ""
        yield Refill((snapshot.changed or 0) - aside, "rows", f"they differ from their source rows{also}")


def _names(tables: Iterable[TableDefinition]) -> tuple[str, ...]:
    return tuple(f"{t.schema}.{t.name}" for t in tables)
