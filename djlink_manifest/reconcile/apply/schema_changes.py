"""What an apply makes for one link: marks, tables, columns, indexes, lineage, late foreign keys.

One function executes one kind of action. Each can be repeated.
"""

from __future__ import annotations

from functools import partial

from djlink_manifest.errors import AlreadyThere, MissingPrivilege, RowsRefused, ServerError
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.plan.actions import (
    LOCAL,
    AddForeignKey,
    AlterLocal,
    Blocked,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    MakeViews,
    NoteDefinition,
    NoteFilled,
)
from djlink_manifest.reconcile.runtime.batches import Bench, again, patiently
from djlink_manifest.reconcile.state.snapshot import Alteration
from djlink_manifest.servers.ddl import lineage, owner_views, tables
from djlink_manifest.servers.ownership import marks
from djlink_manifest.servers.session.session import Writer


def create_outbound(bench: Bench, action: CreateOutbound) -> None:
    """Write the link's mark at the source, then make the outbound tables that are missing."""
    assert action.mark is not None, "a plan that was observed has the mark"
    schema = bench.link.outbound_schema
    patiently(bench, partial(marks.ensure_marks, bench.source, schema))
    # the rows of all links of a schema lie side by side in one table: writing them may deadlock
    again(bench, partial(marks.write_mark, bench.source, schema, action.mark))
    for table in action.definitions:
        _create(bench, bench.source, table)
        bench.tally.created = True


def create_local(bench: Bench, action: CreateLocal) -> None:
    """Write the link's local mark, with what is not done yet, then make the local tables that are missing.

    So rows that are missing after an interruption are known as lost, and those to be looked over as due.
    """
    assert action.mark is not None, "a plan that was observed has the mark"
    schema, mark = bench.link.local.schema, action.mark
    if action.new_schema:
        tables.ensure_schema(bench.local, schema, bench.link.local.collation)
    _ensure_local_marks(bench)
    again(bench, partial(marks.write_mark, bench.local, schema, mark))
    if action.refill is not None:
        again(bench, partial(marks.require_refill, bench.local, schema, mark.link_id, action.refill))
    if action.remade:
        again(bench, partial(marks.write_remade, bench.local, schema, mark.link_id, True))
    for table in action.definitions:
        _create(bench, bench.local, table)
        bench.tally.created = True


def alter_local(bench: Bench, action: AlterLocal) -> None:
    """Add columns and indexes to a local table; where rows must be looked over, the mark says so before."""
    assert action.alteration is not None, "a plan that was observed has the alteration"
    if action.refill is not None:
        _ensure_local_marks(bench)
        schema, due = bench.link.local.schema, action.refill
        again(bench, partial(marks.require_refill, bench.local, schema, action.link_id, due))
    try:
        _alter(bench, action.alteration)
    except RowsRefused as error:
        if not action.after_rows:
            raise
        names = ", ".join(i.name for i in action.alteration.indexes)
        raise ServerError(
            f"the rows of {action.table} violate the source's unique index {names}: {error.message}",
            code=error.code,
            server=bench.local.name,
            hint="look for unprotected local rows with the same values",
        ) from error
    bench.tally.altered = True


def copy_lineage(bench: Bench, action: CopyLineage) -> None:
    """Write DataJoint's lineage of the link's tables into the local schema."""
    schemas = frozenset(action.schemas)
    rows = lineage.read_lineage(bench.source, bench.link, bench.scene.links.values(), schemas)
    again(bench, partial(lineage.write_lineage, bench.local, bench.link.local.schema, rows))


def note_definition(bench: Bench, action: NoteDefinition) -> Blocked | None:
    """Say in one side's mark from which definition its tables are made.

    Where entities were refused, or left as they are, their refill stays due.
    """
    left = bench.tally.unfilled + bench.tally.aside
    if action.after_rows and left:
        return Blocked("upstream", "the refill is still due for entities that were left unchanged", left)
    link, of = bench.link, (action.link_id, action.digest, action.contact)
    if action.server != LOCAL:
        again(bench, partial(marks.complete_mark, bench.source, link.outbound_schema, *of))
        return None
    _ensure_local_marks(bench)
    again(bench, partial(marks.complete_local_mark, bench.local, link.local.schema, *of, link.local))
    return None


def note_filled(bench: Bench, action: NoteFilled) -> Blocked | None:
    """Say in the local mark that the table made anew has all rows that outbound holds, if it has."""
    with differing_keys(bench.link, True, True, bench.source, bench.local) as (missing, _):
        if missing is not None and missing.count:
            return Blocked("upstream", "rows in outbound are still missing locally", missing.count)
    schema = bench.link.local.schema
    again(bench, partial(marks.write_remade, bench.local, schema, action.link_id, False))
    return None


def add_foreign_key(bench: Bench, action: AddForeignKey) -> None:
    """Add a local foreign key to a parent that was linked later; the server checks every row."""
    assert action.key is not None, "a plan that was observed has the foreign key"
    text = tables.add_foreign_key(bench.link.local.schema, action.table, action.key)
    try:
        _make(bench, bench.local, action.key.name, text)
    except RowsRefused as error:
        raise ServerError(
            f"the foreign key was not added: rows of {bench.link.local.schema}.{action.table} have no parent "
            f"in {action.parent}",
            code=error.code,
            server=bench.local.name,
            hint="make the parent's link pull those rows too, or delete the local rows without a parent",
        ) from error
    bench.tally.foreign_keys += 1


def make_views(bench: Bench, action: MakeViews) -> None:
    """Make or replace the owner's views. Where a right is missing it is said, and the link goes on."""
    for view in action.definitions:
        source = bench.link.definition if view.key else None
        try:
            patiently(bench, partial(owner_views.make_view, bench.source, view, source))
        except MissingPrivilege as error:
            hint = f"; ask the source's administrator to run: {error.hint}" if error.hint else ""
            bench.tally.unmade = f"the owner views were not created: {error.message}{hint}"
            return


def sign(bench: Bench, holder: str) -> None:
    """Say in the link's mark who applies now: no part of a plan, for its lock says it as well."""
    schema, link_id = bench.link.outbound_schema, bench.found.marks[bench.link.address].link_id
    again(bench, partial(marks.write_holder, bench.source, schema, [link_id], holder))


def _ensure_local_marks(bench: Bench) -> None:
    schema = bench.link.local.schema
    patiently(bench, partial(marks.ensure_marks, bench.local, schema))
    patiently(bench, partial(marks.ensure_later_columns, bench.local, schema))


def _alter(bench: Bench, alteration: Alteration) -> None:
    schema, name = bench.link.local.schema, alteration.table
    if alteration.columns or alteration.indexes:
        names = [c.name for c, _ in alteration.columns] + [i.name for i in alteration.indexes]
        text = tables.add_to_table(schema, name, alteration.columns, alteration.indexes)
        _make(bench, bench.local, f"{schema}.{name} {names}", text)


def _create(bench: Bench, session: Writer, table: TableDefinition) -> None:
    _make(bench, session, f"{table.schema}.{table.name}", tables.create_table(table))


def _make(bench: Bench, session: Writer, name: str, text: str) -> None:
    """Run the DDL that makes a table, columns and indexes, or a foreign key.

    One that stands already is ours only if this apply began to make it, before its session was lost; else it
    appeared since the plan was made, and is not touched.
    """
    place = f"{session.name}:{name}"
    begun = place in bench.tally.begun
    bench.tally.begun.add(place)
    try:
        patiently(bench, partial(session.ddl, text))
    except AlreadyThere:
        if not begun:
            raise
