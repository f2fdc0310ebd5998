"""What an apply makes for one link: marks, tables, lineage, late foreign keys.

Every step can be repeated.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from functools import partial

from djlink_manifest.errors import AlreadyThere, MissingPrivilege, RowsRefused, ServerError
from djlink_manifest.model.catalog import Mark
from djlink_manifest.model.definition import TableDefinition
from djlink_manifest.reconcile.bench import Bench, again, patiently
from djlink_manifest.reconcile.snapshot import Footing
from djlink_manifest.servers import ddl, lineage, marks, views
from djlink_manifest.servers.connection import Writer


def build(bench: Bench, footing: Footing, mark: Mark, lineage_schemas: Set[str], new_schema: bool) -> None:
    """Make what is missing of the link's marks, then of its outbound tables, then of its local ones.

    `lineage_schemas` are the source's schemas that have a `~lineage` table.
    """
    link, definition = bench.link, bench.link.definition.digest()
    patiently(bench, partial(marks.ensure_marks, bench.source, link.outbound_schema))
    if new_schema:
        ddl.ensure_schema(bench.local, link.local.schema)
    patiently(bench, partial(marks.ensure_marks, bench.local, link.local.schema))
    theirs, ours = (
        replace(mark, table_name=link.outbound_table),
        replace(mark, table_name=link.local.name),
    )
    # the rows of all links of a schema lie side by side in one table: writing them may deadlock
    again(bench, partial(marks.write_mark, bench.source, link.outbound_schema, theirs))
    again(bench, partial(marks.write_mark, bench.local, link.local.schema, ours))
    for table in footing.make_outbound:
        _create(bench, bench.source, table)
    for table in footing.make_local:
        _create(bench, bench.local, table)
    rows = lineage.read_lineage(bench.source, link, bench.scene.links.values(), lineage_schemas)
    again(bench, partial(lineage.write_lineage, bench.local, link.local.schema, rows))
    for session, schema in ((bench.source, link.outbound_schema), (bench.local, link.local.schema)):
        complete = partial(marks.complete_mark, session, schema, mark.link_id, definition, mark.contact)
        again(bench, complete)
    bench.tally.created = bool(footing.make_outbound or footing.make_local)


def sign(bench: Bench, mark: Mark, holder: str) -> None:
    """Say in the link's mark who applies now."""
    schema = bench.link.outbound_schema
    again(bench, partial(marks.write_holder, bench.source, schema, [mark.link_id], holder))


def add_late_keys(bench: Bench, footing: Footing) -> None:
    """Add the local foreign keys to parents that were linked later; the server checks every row."""
    for number, (table, key) in enumerate(footing.add_foreign_keys, start=1):
        text = ddl.add_foreign_key(bench.link.local.schema, table, key)
        parent = f"{key.parent_schema}.{key.parent_table}"
        try:
            _make(bench, bench.local, key.name, text)
        except RowsRefused as error:
            raise ServerError(
                f"rows of {bench.link.local.schema}.{table} have no parent in {parent}: no foreign key yet",
                code=error.code,
                server=bench.local.name,
                hint="let the parent's link want those rows too, or delete the local rows without parent",
            ) from error
        bench.tally.foreign_keys = number


def make_views(bench: Bench, footing: Footing) -> None:
    """Make or replace the owner's views. Where a right is missing it is said, and the link goes on."""
    for view in footing.make_views:
        source = bench.link.definition if view.key else None
        try:
            patiently(bench, partial(views.make_view, bench.source, view, source))
        except MissingPrivilege as error:
            hint = f"; let the source's administrator run: {error.hint}" if error.hint else ""
            bench.say(f"the owner's views are not made: {error.message}{hint}")
            return


def _create(bench: Bench, session: Writer, table: TableDefinition) -> None:
    _make(bench, session, f"{table.schema}.{table.name}", ddl.create_table(table))


def _make(bench: Bench, session: Writer, name: str, text: str) -> None:
    """Run the DDL that makes a table or a foreign key.

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
