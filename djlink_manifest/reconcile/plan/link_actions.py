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
    ChangeLocal,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    GiveUp,
    MakeViews,
    NoteDefinition,
    NoteFilled,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.state.snapshot import (
    Alteration,
    BlockedKey,
    LinkSnapshot,
    LinkTables,
    ReliedOn,
    TableChange,
    change_words,
)

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
    refilled at all; `lineage` names the source's schemas that have DataJoint's lineage; `blocked_keys` are
    the foreign keys to parents linked later that rows keep from being added.
    """

    link: Link
    link_tables: LinkTables
    snapshot: LinkSnapshot
    steps: Mapping[Step, int]
    relied: ReliedOn
    may_refill: bool
    lineage: tuple[str, ...] = ()
    blocked_keys: tuple[BlockedKey, ...] = ()


def structure(facts: Facts) -> Iterator[Action]:
    """The tables and views to make or alter before anything else is done, and the marks of it."""
    link, link_tables = facts.link, facts.link_tables
    why = "new link" if link_tables.is_new else "its tables are incomplete"
    due = link.definition.digest() if link_tables.refill is not None else None
    if link_tables.make_outbound or link_tables.mark_outbound:
        made = link_tables.make_outbound
        yield CreateOutbound(link.source, _names(made), why, made, _mark(link_tables, link.outbound_table))
    if link_tables.make_local or link_tables.mark_local:
        yield CreateLocal(
            _names(link_tables.make_local),
            ADDED if link_tables.refill is not None and link_tables.redefined else why,
            definitions=link_tables.make_local,
            mark=_mark(link_tables, link.local.name),
            new_schema=link_tables.new_schema,
            remade=link_tables.remade,
            refill=due,
        )
    if link_tables.epochs.note is not None:
        yield NoteServer(
            link_tables.epochs.note,
            _id_of(link_tables),
            link_tables.server,
            upgrade=tuple(sorted(link_tables.epochs.lacks)),
        )
    for change in link_tables.change_local:
        yield _change(facts, change)
    for alteration in link_tables.alter_local:
        plain = replace(alteration, indexes=tuple(i for i in alteration.indexes if not i.unique))
        if plain.columns or plain.indexes:
            yield _alter(facts, plain, due)
    if _is_built(link_tables) or _completes_late(facts):
        yield CopyLineage(facts.lineage, "its attributes are those of the source")
    if _is_built(link_tables) and not link_tables.completes_late:
        yield from _note_definition(facts, COMPLETE)
    yield from _views(facts, why)


def stopped_structure(facts: Facts) -> Iterator[Action]:
    """The tables and views that requests and deletions need, of a link of which no row comes."""
    link, link_tables, why = (
        facts.link,
        facts.link_tables.for_deletions(facts.link),
        "its tables are incomplete",
    )
    made = link_tables.make_outbound
    if not (link_tables.holds(link) and link_tables.has_master(link)):
        return
    if made:
        yield CreateOutbound(link.source, _names(made), why, made, _mark(link_tables, link.outbound_table))
    if link_tables.make_local:
        yield CreateLocal(
            _names(link_tables.make_local),
            why,
            definitions=link_tables.make_local,
            mark=_mark(link_tables, link.local.name),
            remade=link_tables.remade,
        )
    yield from _views(facts, why)


def _views(facts: Facts, why: str) -> Iterator[MakeViews]:
    views = facts.link_tables.make_views
    if views:
        names = tuple(f"{view.schema}.{view.name}" for view in views)
        reason = why if facts.link_tables.is_new else facts.link_tables.views_why
        yield MakeViews(facts.link.source, names, reason, views)


def stopped_rows(facts: Facts) -> Iterator[Action]:
    """What is released at the source of a link of which no row comes."""
    if not facts.link_tables.remade and facts.link_tables.holds(facts.link):
        yield from _releases(facts)


def _releases(facts: Facts) -> Iterator[Release]:
    if facts.steps[Step.RELEASE]:
        words, lost = "missing locally and not pullable", facts.link_tables.remade
        yield Release(facts.link.source, facts.steps[Step.RELEASE], words, lost=lost)


def rows(facts: Facts) -> Iterator[Action]:
    """What is done with entities, once tables stand and deletions are done: children's parents come first.

    They are released, registered, filled again, pulled; foreign keys to parents linked later come last.
    """
    link, link_tables, steps, snapshot = facts.link, facts.link_tables, facts.steps, facts.snapshot
    comes_again = steps[Step.PULL_AGAIN] - snapshot.blocked_again
    gives_up = link_tables.remade and (comes_again > 0 or steps[Step.RELEASE]) and snapshot.hanging
    yield from _releases(facts)
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
        why = "in outbound, but the local table was dropped" if link_tables.remade else MISSING
        yield PullAgain(comes_again, f"{why}; pull again", whole=link_tables.remade)
    if steps[Step.PULL] > snapshot.blocked:
        yield Pull(
            steps[Step.PULL] - snapshot.blocked,
            snapshot.to_pull_parts,
            snapshot.to_pull_bytes,
            "new link" if link_tables.is_new else "wanted, not yet pulled",
            objects=snapshot.to_pull_objects,
        )
    if link_tables.remade and (gives_up or not _stay_lost(snapshot)):
        yield NoteFilled(_id_of(link_tables), FILLED)
    blocked_keys = {each.late for each in facts.blocked_keys}
    for late in link_tables.add_foreign_keys:
        if late not in blocked_keys:
            parent = f"{late.key.parent_schema}.{late.key.parent_table}"
            why = "its parent is now linked"
            yield AddForeignKey(late.table.name, late.key.columns, parent, why, late=late)


def taken_note_of(facts: Facts) -> Iterator[Action]:
    """The notes of a definition that changed in nothing here; taken where something else is done."""
    if facts.link_tables.redefined and not _is_built(facts.link_tables) and facts.link_tables.refill is None:
        yield from _note_definition(facts, CHANGED)


def _is_built(link_tables: LinkTables) -> bool:
    """Whether tables are made, altered or changed, or were in an apply that did not record it."""
    makes = (
        link_tables.make_outbound
        or link_tables.mark_outbound
        or link_tables.make_local
        or link_tables.mark_local
    )
    return bool(makes or link_tables.alter_local or link_tables.change_local or link_tables.unrecorded)


def _completes_late(facts: Facts) -> bool:
    """Whether this plan brings rows, then marks, to the present definition."""
    due = facts.link_tables.completes_late and facts.may_refill
    left = facts.relied.entities or facts.snapshot.unparented.entities
    return due and not (facts.link_tables.refill is not None and left)


def _stay_lost(snapshot: LinkSnapshot) -> bool:
    """Whether held rows are missing here that cannot come again as things stand."""
    strays = any(c.presence.outbound and not (c.presence.source or c.presence.local) for c in snapshot.counts)
    return strays or bool(snapshot.blocked_again)


def _change(facts: Facts, change: TableChange) -> ChangeLocal:
    words = tuple(map(change_words, change.columns))
    words += ("the comment of the table",) if change.comment is not None else ()
    return ChangeLocal(
        f"{facts.link.local.schema}.{change.table}",
        words,
        change.cost,
        rows=change.size.rows,
        bytes=change.size.bytes,
        reason=f"the source changed {', '.join(words)}",
        change=change,
    )


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
        link_id=_id_of(facts.link_tables),
        after_rows=bool(alteration.unique),
    )


def _after_refill(facts: Facts) -> Iterator[Action]:
    """Unique indexes, then the marks: what waits until the rows that are here are as the source's."""
    if facts.may_refill:
        for alteration in facts.link_tables.alter_local:
            if alteration.unique:
                yield _alter(facts, replace(alteration, columns=(), indexes=alteration.unique))
    if _completes_late(facts):
        yield from _note_definition(facts, COMPLETE, after_rows=True)


def _note_definition(facts: Facts, why: str, *, after_rows: bool = False) -> Iterator[Action]:
    digest, mark = facts.link.definition.digest(), facts.link_tables.mark
    contact = mark.contact if mark is not None else ""
    for server in (facts.link.source, LOCAL):  # the local mark is completed last
        link_id = _id_of(facts.link_tables)
        yield NoteDefinition(server, digest, why, link_id, contact, after_rows=after_rows)


def _unprotected_unwanted(snapshot: LinkSnapshot) -> bool:
    return any(state_of(c.presence) is State.UNPROTECTED and not c.wanted for c in snapshot.counts)


def _refill(facts: Facts) -> Iterator[Action]:
    link, link_tables, snapshot, aside = facts.link, facts.link_tables, facts.snapshot, facts.relied.entities
    if not facts.may_refill:
        return  # a new source row may have the key of one that went, and would take its place here
    if link_tables.refill is not None:
        shared = snapshot.in_state(State.SHARED) + snapshot.in_state(State.TAINTED)
        differ = facts.relied.differ
        if differ is None:
            differ = shared - snapshot.unparented.entities
        if differ > aside:
            yield Refill(differ - aside, "definition", link_tables.refill)
    elif link.changed == "mend":
        differ = (snapshot.changed or 0) - snapshot.unparented.entities - aside
        also = ", or lack external objects" if snapshot.lost else ""
        if differ > 0:
            yield Refill(differ, "rows", f"they differ from their source rows{also}")


def _names(tables: Iterable[TableDefinition]) -> tuple[str, ...]:
    return tuple(f"{t.schema}.{t.name}" for t in tables)


def _mark(link_tables: LinkTables, table: str) -> Mark | None:
    return replace(link_tables.mark, table_name=table) if link_tables.mark is not None else None


def _id_of(link_tables: LinkTables) -> str:
    return link_tables.mark.link_id if link_tables.mark is not None else link_tables.link_id or ""
