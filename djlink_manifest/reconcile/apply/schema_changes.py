"""What an apply makes for one link: marks, tables, columns, indexes, lineage, late foreign keys.

Every step can be repeated.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from functools import partial

from djlink_manifest.errors import AlreadyThere, MissingPrivilege, RowsRefused, ServerError
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.runtime.batches import Bench, again, patiently
from djlink_manifest.reconcile.state.snapshot import Alteration, Footing
from djlink_manifest.servers.ddl import lineage, owner_views, tables
from djlink_manifest.servers.ownership import marks
from djlink_manifest.servers.session.session import Writer


def build(bench: Bench, footing: Footing, mark: Mark, lineage_schemas: Set[str], new_schema: bool) -> None:
    """Make what is missing of the link's marks, then of its outbound tables, then of its local ones.

    `lineage_schemas` are the source's schemas that have a `~lineage` table. Where rows that are here must be
    looked over, the mark says so before the first table is touched, and `finish` ends it.
    """
    link = bench.link
    patiently(bench, partial(marks.ensure_marks, bench.source, link.outbound_schema))
    if new_schema:
        tables.ensure_schema(bench.local, link.local.schema, link.local.collation)
    patiently(bench, partial(marks.ensure_marks, bench.local, link.local.schema))
    patiently(bench, partial(marks.ensure_later_columns, bench.local, link.local.schema))
    theirs, ours = (
        replace(mark, table_name=link.outbound_table),
        replace(mark, table_name=link.local.name),
    )
    # the rows of all links of a schema lie side by side in one table: writing them may deadlock
    again(bench, partial(marks.write_mark, bench.source, link.outbound_schema, theirs))
    again(bench, partial(marks.write_mark, bench.local, link.local.schema, ours))
    if footing.refill is not None:
        digest = link.definition.digest()
        due = partial(marks.require_refill, bench.local, link.local.schema, mark.link_id, digest)
        again(bench, due)
    if footing.remade:
        # before its table is made, so that rows which are missing after an interruption are known as lost
        again(bench, partial(marks.write_remade, bench.local, link.local.schema, mark.link_id, True))
    for table in footing.make_outbound:
        _create(bench, bench.source, table)
    for alteration in footing.alter_local:
        plain = tuple(i for i in alteration.indexes if not i.unique)
        _alter(bench, replace(alteration, indexes=plain))
    for table in footing.make_local:
        _create(bench, bench.local, table)
    rows = lineage.read_lineage(bench.source, link, bench.scene.links.values(), lineage_schemas)
    again(bench, partial(lineage.write_lineage, bench.local, link.local.schema, rows))
    if not footing.completes_late:
        _complete(bench, mark)
    bench.tally.created = bool(footing.make_outbound or footing.make_local)
    bench.tally.altered = bool(footing.alter_local)


def finish(bench: Bench, footing: Footing, mark: Mark) -> None:
    """After the refill: add the unique indexes, and say in the marks that all is as the source defines it.

    Where entities were refused, or left as they are, the refill stays due.
    """
    for alteration in footing.alter_local:
        try:
            _alter(bench, replace(alteration, columns=(), indexes=alteration.unique))
        except RowsRefused as error:
            names = ", ".join(i.name for i in alteration.unique)
            raise ServerError(
                f"the rows of {bench.link.local.schema}.{alteration.table} violate the source's unique "
                f"index {names}: {error.message}",
                code=error.code,
                server=bench.local.name,
                hint="look for unprotected local rows with the same values",
            ) from error
    if not (bench.tally.unfilled or bench.tally.aside):
        _complete(bench, mark)


def end_remaking(bench: Bench, mark: Mark) -> None:
    """Say in the local mark that the table made anew has all rows that outbound holds, if it has."""
    with differing_keys(bench.link, True, True, bench.source, bench.local) as (missing, _):
        if missing is not None and missing.count:
            return
    schema = bench.link.local.schema
    again(bench, partial(marks.write_remade, bench.local, schema, mark.link_id, False))


def take_note(bench: Bench, mark: Mark) -> None:
    """Say in the marks what the source's definition is now; nothing of it concerns the tables here."""
    patiently(bench, partial(marks.ensure_later_columns, bench.local, bench.link.local.schema))
    _complete(bench, mark)


def sign(bench: Bench, mark: Mark, holder: str) -> None:
    """Say in the link's mark who applies now."""
    schema = bench.link.outbound_schema
    again(bench, partial(marks.write_holder, bench.source, schema, [mark.link_id], holder))


def add_late_keys(bench: Bench, footing: Footing) -> None:
    """Add the local foreign keys to parents that were linked later; the server checks every row."""
    for number, (table, key) in enumerate(footing.add_foreign_keys, start=1):
        text = tables.add_foreign_key(bench.link.local.schema, table, key)
        parent = f"{key.parent_schema}.{key.parent_table}"
        try:
            _make(bench, bench.local, key.name, text)
        except RowsRefused as error:
            raise ServerError(
                f"the foreign key was not added: rows of {bench.link.local.schema}.{table} have no parent "
                f"in {parent}",
                code=error.code,
                server=bench.local.name,
                hint="make the parent's link pull those rows too, or delete the local rows without a parent",
            ) from error
        bench.tally.foreign_keys = number


def make_views(bench: Bench, footing: Footing) -> None:
    """Make or replace the owner's views. Where a right is missing it is said, and the link goes on."""
    for view in footing.make_views:
        source = bench.link.definition if view.key else None
        try:
            patiently(bench, partial(owner_views.make_view, bench.source, view, source))
        except MissingPrivilege as error:
            hint = f"; ask the source's administrator to run: {error.hint}" if error.hint else ""
            bench.tally.unmade = f"the owner views were not created: {error.message}{hint}"
            return


def _complete(bench: Bench, mark: Mark) -> None:
    link, digest = bench.link, bench.link.definition.digest()
    there, here = link.outbound_schema, link.local.schema
    again(bench, partial(marks.complete_mark, bench.source, there, mark.link_id, digest, mark.contact))
    complete = marks.complete_local_mark
    again(bench, partial(complete, bench.local, here, mark.link_id, digest, mark.contact, link.local))


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
