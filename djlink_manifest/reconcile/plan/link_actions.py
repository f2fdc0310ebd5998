"""What is to be done for a link, as actions: from its footing and the counts of its entities. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from djlink_manifest.model.links.entity import State, Step, state_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.plan.actions import (
    ADDED,
    LOCAL,
    Action,
    AddForeignKey,
    AlterLocal,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    GiveUp,
    MakeViews,
    NoteDefinition,
    NoteFilled,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.state.snapshot import Alteration, Footing, LinkSnapshot, ReliedOn

MISSING = "in outbound but missing locally"
HANGS_ON = "the rows that they refer to are gone and do not come back"
COMPLETE = "its tables match the source's definition"
CHANGED = "the source's definition changed, but not the parts that the local tables use"
FILLED = "the recreated local table has all rows that outbound holds"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the actions of one link follow from.

    `steps` counts the entities that each step of the state table concerns; `relied` are those that are not
    refilled, as rows of other tables rely on theirs; `may_refill` says whether rows that are here may be
    refilled at all; `lineage` names the source's schemas that have DataJoint's lineage.
    """

    link: Link
    footing: Footing
    snapshot: LinkSnapshot
    steps: Mapping[Step, int]
    relied: ReliedOn
    may_refill: bool
    lineage: tuple[str, ...] = ()


def structure(facts: Facts) -> Iterator[Action]:
    """The tables and views to make or alter before anything else is done, and the marks of it."""
    link, footing = facts.link, facts.footing
    why = "new link" if footing.is_new else "its tables are incomplete"
    due = link.definition.digest() if footing.refill is not None else None
    if footing.make_outbound or footing.mark_outbound:
        made = footing.make_outbound
        yield CreateOutbound(link.source, _names(made), why, made, _mark(footing, link.outbound_table))
    if footing.make_local or footing.mark_local:
        yield CreateLocal(
            _names(footing.make_local),
            ADDED if footing.refill is not None and footing.redefined else why,
            definitions=footing.make_local,
            mark=_mark(footing, link.local.name),
            new_schema=footing.new_schema,
            remade=footing.remade,
            refill=due,
        )
    for alteration in footing.alter_local:
        plain = replace(alteration, indexes=tuple(i for i in alteration.indexes if not i.unique))
        if plain.columns or plain.indexes:
            yield _alter(facts, plain, due)
    if _is_built(footing) or _completes_late(facts):
        yield CopyLineage(facts.lineage, "its attributes are those of the source")
    if _is_built(footing) and not footing.completes_late:
        yield from _note_definition(facts, COMPLETE)
    if footing.make_views:
        names = tuple(f"{view.schema}.{view.name}" for view in footing.make_views)
        reason = why if footing.is_new else footing.views_why
        yield MakeViews(link.source, names, reason, footing.make_views)


def rows(facts: Facts) -> Iterator[Action]:
    """What is done with entities, once tables stand and deletions are done: children's parents come first.

    They are released, registered, filled again, pulled; foreign keys to parents linked later come last.
    """
    link, footing, steps, snapshot = facts.link, facts.footing, facts.steps, facts.snapshot
    comes_again = steps[Step.PULL_AGAIN] - snapshot.stuck_again
    gives_up = footing.remade and (comes_again > 0 or steps[Step.RELEASE]) and snapshot.hanging
    if steps[Step.RELEASE]:
        words = "missing locally and not pullable"
        yield Release(link.source, steps[Step.RELEASE], words, lost=footing.remade)
    if gives_up:
        yield GiveUp(link.source, snapshot.hanging, HANGS_ON)
    if snapshot.equal:
        why = "unprotected local rows that equal their source rows"
        if link.unwanted == "release" and _unprotected_unwanted(snapshot):
            why += "; the next plan releases those that are not wanted"
        yield Register(link.source, snapshot.equal, why)
    yield from _refill(facts)
    yield from _after_refill(facts)
    if comes_again > 0:
        why = "in outbound, but the local table was dropped" if footing.remade else MISSING
        yield PullAgain(comes_again, f"{why}; pull again", whole=footing.remade)
    if steps[Step.PULL] > snapshot.stuck:
        yield Pull(
            steps[Step.PULL] - snapshot.stuck,
            snapshot.to_pull_parts,
            snapshot.to_pull_bytes,
            "new link" if footing.is_new else "wanted, not yet pulled",
            objects=snapshot.to_pull_objects,
        )
    if footing.remade and (gives_up or not _stay_lost(snapshot)):
        yield NoteFilled(_id_of(footing), FILLED)
    for table, key in footing.add_foreign_keys:
        parent = f"{key.parent_schema}.{key.parent_table}"
        yield AddForeignKey(table, key.columns, parent, "its parent is now linked", key=key)


def taken_note_of(facts: Facts) -> Iterator[Action]:
    """The notes of a definition that changed in nothing here; taken where something else is done."""
    if facts.footing.redefined and not _is_built(facts.footing) and facts.footing.refill is None:
        yield from _note_definition(facts, CHANGED)


def _is_built(footing: Footing) -> bool:
    """Whether tables are made or altered."""
    makes = footing.make_outbound or footing.mark_outbound or footing.make_local or footing.mark_local
    return bool(makes or footing.alter_local)


def _completes_late(facts: Facts) -> bool:
    """Whether this plan brings rows, then marks, to the present definition."""
    due = facts.footing.completes_late and facts.may_refill
    return due and not (facts.footing.refill is not None and facts.relied.entities)


def _stay_lost(snapshot: LinkSnapshot) -> bool:
    """Whether held rows are missing here that cannot come again as things stand."""
    strays = any(c.presence.outbound and not (c.presence.source or c.presence.local) for c in snapshot.counts)
    return strays or bool(snapshot.stuck_again)


def _alter(facts: Facts, alteration: Alteration, due: str | None = None) -> AlterLocal:
    columns = tuple(f"{c.name} {c.type}" for c, _ in alteration.columns)
    indexes = tuple(("unique " if i.unique else "") + i.name for i in alteration.indexes)
    words = [f"`{c}`" for c in columns] + [f"the index `{i.name}`" for i in alteration.indexes]
    return AlterLocal(
        f"{facts.link.local.schema}.{alteration.table}",
        columns,
        indexes,
        f"the source added {', '.join(words)}",
        alteration=alteration,
        refill=due,
        link_id=_id_of(facts.footing),
        after_rows=bool(alteration.unique),
    )


def _after_refill(facts: Facts) -> Iterator[Action]:
    """Unique indexes, then the marks: what waits until the rows that are here are as the source's."""
    if facts.may_refill:
        for alteration in facts.footing.alter_local:
            if alteration.unique:
                yield _alter(facts, replace(alteration, columns=(), indexes=alteration.unique))
    if _completes_late(facts):
        yield from _note_definition(facts, COMPLETE, after_rows=True)


def _note_definition(facts: Facts, why: str, *, after_rows: bool = False) -> Iterator[Action]:
    digest, mark = facts.link.definition.digest(), facts.footing.mark
    contact = mark.contact if mark is not None else ""
    for server in (facts.link.source, LOCAL):  # the local mark is completed last
        link_id = _id_of(facts.footing)
        yield NoteDefinition(server, digest, why, link_id, contact, after_rows=after_rows)


def _unprotected_unwanted(snapshot: LinkSnapshot) -> bool:
    return any(state_of(c.presence) is State.UNPROTECTED and not c.wanted for c in snapshot.counts)


def _refill(facts: Facts) -> Iterator[Action]:
    link, footing, snapshot, aside = facts.link, facts.footing, facts.snapshot, facts.relied.entities
    if not facts.may_refill:
        return  # a new source row may have the key of one that went, and would take its place here
    if footing.refill is not None:
        shared = snapshot.in_state(State.SHARED) + snapshot.in_state(State.TAINTED)
        differ = shared if facts.relied.differ is None else facts.relied.differ
        if differ > aside:
            yield Refill(differ - aside, "definition", footing.refill)
    elif link.changed == "mend" and (snapshot.changed or 0) > aside:
        also = ", or lack external objects" if snapshot.lost else ""
        yield Refill((snapshot.changed or 0) - aside, "rows", f"they differ from their source rows{also}")


def _names(tables: Iterable[TableDefinition]) -> tuple[str, ...]:
    return tuple(f"{t.schema}.{t.name}" for t in tables)


def _mark(footing: Footing, table: str) -> Mark | None:
    return replace(footing.mark, table_name=table) if footing.mark is not None else None


def _id_of(footing: Footing) -> str:
    return footing.mark.link_id if footing.mark is not None else footing.link_id or ""
