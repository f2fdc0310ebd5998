"""What an apply makes for one link: marks, tables, columns, indexes, lineage, late foreign keys.

One function executes one kind of action. Each can be repeated.
"""

from __future__ import annotations

from functools import partial

from djlink_manifest.errors import (
    AlreadyExists,
    ConnectionLost,
    MissingPrivilege,
    RowsRefused,
    ServerError,
    TableInUse,
)
from djlink_manifest.model.server.rights import OWNER_SCHEMA_RIGHTS, grant
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.plan.actions import (
    LOCAL,
    AddForeignKey,
    AlterLocal,
    Blocked,
    ChangeLocal,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    MakeViews,
    NoteDefinition,
    NoteFilled,
    NoteServer,
)
from djlink_manifest.reconcile.runtime.batches import LinkWork, Otherwise, again, with_retries
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.reconcile.state.snapshot import Alteration
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.ddl import lineage, owner_views, tables
from djlink_manifest.servers.entities.late_keys import count_parentless
from djlink_manifest.servers.ownership import epochs, marks
from djlink_manifest.servers.session.session import Writer


def create_outbound(link_work: LinkWork, action: CreateOutbound) -> None:
    """Write the link's mark at the source, then make the outbound tables that are missing."""
    assert action.mark is not None, "a plan that was observed has the mark"
    schema = link_work.link.outbound_schema
    with_retries(link_work, partial(marks.ensure_marks, link_work.source, schema))
    # the rows of all links of a schema lie side by side in one table: writing them may deadlock
    again(link_work, partial(marks.write_source_mark, link_work.source, schema, action.mark))
    for table in action.definitions:
        _create(link_work, link_work.source, table)
        link_work.counters.add(Counts(created=True))


def create_local(link_work: LinkWork, action: CreateLocal) -> None:
    """Write the link's local mark, with what is not done yet, then make the local tables that are missing.

    So rows that are missing after an interruption are known as lost, and those to be looked over as due.
    """
    assert action.mark is not None, "a plan that was observed has the mark"
    schema, mark = link_work.link.local.schema, action.mark
    if action.new_schema:
        made = partial(tables.ensure_schema, link_work.local, schema, link_work.link.local.collation)
        with_retries(link_work, made)
    _ensure_local_marks(link_work)
    again(link_work, partial(marks.write_mark, link_work.local, schema, mark))
    if action.refill is not None:
        again(link_work, partial(marks.require_refill, link_work.local, schema, mark.link_id, action.refill))
    if action.remade:
        again(link_work, partial(marks.write_remade, link_work.local, schema, mark.link_id, True))
    for table in action.definitions:
        _create(link_work, link_work.local, table)
        link_work.counters.add(Counts(created=True))


def alter_local(link_work: LinkWork, action: AlterLocal) -> None:
    """Add columns and indexes to a local table; where rows must be looked over, the mark says so before."""
    assert action.alteration is not None, "a plan that was observed has the alteration"
    if action.refill is not None:
        _ensure_local_marks(link_work)
        schema, due = link_work.link.local.schema, action.refill
        again(link_work, partial(marks.require_refill, link_work.local, schema, action.link_id, due))
    try:
        _alter(link_work, action.alteration)
    except RowsRefused as error:
        if not action.after_rows:
            raise
        names = ", ".join(i.name for i in action.alteration.indexes)
        raise ServerError(
            f"the rows of {action.table} violate the source's unique index {names}: {error.message}",
            code=error.code,
            server=link_work.local.name,
            hint="look for unprotected local rows with the same values",
        ) from error
    link_work.counters.add(Counts(altered=True))


def change_local(link_work: LinkWork, action: ChangeLocal) -> None:
    """Change columns of a local table as the plan has them, unless they changed since it was made."""
    assert action.change is not None, "a plan that was observed has the change"
    change, local, schema = action.change, link_work.local, link_work.link.local.schema
    found = read_catalog(local, {schema}).tables.get((schema, change.table))
    stands = {c.name: c for c in found.columns} if found is not None else {}
    due = [c for c in change.columns if not c.is_done(stands.get(c.after.name))]
    comment = None if found is not None and found.comment == change.comment else change.comment
    if any(stands.get(c.before.name) != c.before for c in due):
        reason = f"the columns of {action.table} were changed locally after the plan was made"
        raise Otherwise(link_work, Blocked("error", reason, hint="plan again", whole=True))
    if due or comment is not None:
        text = tables.change_table(schema, change.table, [c.after for c in due], comment)
        try:
            with_retries(link_work, partial(local.ddl, text))
        except (TableInUse, ConnectionLost):
            raise
        except ServerError as error:
            raise ServerError(
                f"the local server refuses the change of {action.table}: {error.message}",
                code=error.code,
                server=local.name,
                hint="nothing of the table was changed; remove what is in the way on the local server, then "
                "apply again",
            ) from error
    link_work.counters.add(Counts(altered=True))


def copy_lineage(link_work: LinkWork, action: CopyLineage) -> None:
    """Write DataJoint's lineage of the link's tables into the local schema."""
    schemas = frozenset(action.schemas)
    rows = lineage.read_lineage(
        link_work.source, link_work.link, link_work.source_links.links.values(), schemas
    )
    again(link_work, partial(lineage.write_lineage, link_work.local, link_work.link.local.schema, rows))


def note_definition(link_work: LinkWork, action: NoteDefinition) -> Blocked | None:
    """Say in one side's mark from which definition its tables are made.

    Where entities were refused, or left as they are, their refill stays due.
    """
    left = link_work.counters.unfilled + link_work.counters.aside
    if action.after_rows and left:
        return Blocked("upstream", "the refill is still due for entities that were left unchanged", left)
    link, of = link_work.link, (action.link_id, action.digest, action.contact)
    if action.server != LOCAL:
        again(link_work, partial(marks.complete_mark, link_work.source, link.outbound_schema, *of))
        return None
    _ensure_local_marks(link_work)
    again(link_work, partial(marks.complete_local_mark, link_work.local, link.local.schema, *of, link.local))
    return None


def note_filled(link_work: LinkWork, action: NoteFilled) -> Blocked | None:
    """Say in the local mark that the table made anew has all rows that outbound holds, if it has."""
    with differing_keys(link_work.link, True, True, link_work.source, link_work.local) as (missing, _):
        if missing is not None and missing.count:
            return Blocked("upstream", "rows in outbound are still missing locally", missing.count)
    schema = link_work.link.local.schema
    again(link_work, partial(marks.write_remade, link_work.local, schema, action.link_id, False))
    return None


def note_server(link_work: LinkWork, action: NoteServer) -> None:
    """Say in both marks which server is the local one, the source's first, once they have columns for it."""
    assert action.local_server is not None, "a plan that was observed has the server"
    link, local = link_work.link, link_work.local
    sides = (
        ("source", link_work.source, link.outbound_schema),
        ("local", local, link.local.schema),
    )
    for side, session, schema in sides:
        if side in action.upgrade:
            with_retries(link_work, partial(marks.ensure_later_columns, session, schema))
    for _, session, schema in sides:
        write = partial(epochs.write_server, session, schema, action.link_id, action.local_server)
        again(link_work, write)


def add_foreign_key(link_work: LinkWork, action: AddForeignKey) -> Blocked | None:
    """Add a local foreign key to a parent that was linked later; the server checks every row.

    Rows that lack their parent row still, such as one that was refused since the plan, leave it undone.
    """
    late = action.late
    assert late is not None, "a plan that was observed has the foreign key"
    text = tables.add_foreign_key(late.table.schema, late.table.name, late.key)
    try:
        _make(link_work, link_work.local, late.key.name, text)
    except RowsRefused:
        return Blocked("error", late.words, count_parentless(link_work.local, late), late.hint)
    link_work.counters.add(Counts(foreign_keys=1))
    return None


def make_views(link_work: LinkWork, action: MakeViews) -> None:
    """Make or replace the owner's views. A missing privilege is reported and stops nothing else."""
    for view in action.definitions:
        source = link_work.link.definition if view.key else None
        try:
            with_retries(link_work, partial(owner_views.make_view, link_work.source, view, source))
        except MissingPrivilege as error:
            right = grant(OWNER_SCHEMA_RIGHTS, view.schema, link_work.source.identity)
            words = f"the owner views were not created: {error.message}"
            link_work.counters.unmade = f"{words}; ask the source's administrator to run: {right}"
            return


def sign(link_work: LinkWork, holder: str) -> None:
    """Say in the link's mark who applies now: no part of a plan, for its lock says it as well."""
    schema, link_id = link_work.link.outbound_schema, link_work.found.marks[link_work.link.address].link_id
    again(link_work, partial(marks.write_holder, link_work.source, schema, [link_id], holder))


def _ensure_local_marks(link_work: LinkWork) -> None:
    schema = link_work.link.local.schema
    with_retries(link_work, partial(marks.ensure_marks, link_work.local, schema))
    with_retries(link_work, partial(marks.ensure_later_columns, link_work.local, schema))


def _alter(link_work: LinkWork, alteration: Alteration) -> None:
    schema, name = link_work.link.local.schema, alteration.table
    if alteration.columns or alteration.indexes:
        names = [c.name for c, _ in alteration.columns] + [i.name for i in alteration.indexes]
        text = tables.add_to_table(schema, name, alteration.columns, alteration.indexes)
        _make(link_work, link_work.local, f"{schema}.{name} {names}", text)


def _create(link_work: LinkWork, session: Writer, table: TableDefinition) -> None:
    _make(link_work, session, f"{table.schema}.{table.name}", tables.create_table(table))


def _make(link_work: LinkWork, session: Writer, name: str, text: str) -> None:
    """Run the DDL that makes a table, columns and indexes, or a foreign key.

    One that stands already is ours only if this apply began to make it, before its session was lost; else it
    appeared since the plan was made, and is not touched.
    """
    place = f"{session.name}:{name}"
    begun = place in link_work.counters.begun
    link_work.counters.begun.add(place)
    try:
        with_retries(link_work, partial(session.ddl, text))
    except AlreadyExists:
        if not begun:
            raise
