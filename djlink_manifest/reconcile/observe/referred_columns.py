"""Columns that are to change and to which tables of the lab's own refer: found before anything is altered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import ForeignKey
from djlink_manifest.reconcile.observe.context import AllLinkTables, Context
from djlink_manifest.reconcile.state.snapshot import LinkTables, Refusal
from djlink_manifest.servers.catalog.foreign_keys import keys_to


def with_referred(context: Context, link_tables: AllLinkTables) -> AllLinkTables:
    """The link tables with refusals of those whose change the local server would refuse: keys need a type.

    Where nothing changes its type nobody is asked.
    """
    due = {
        address: found
        for address, found in link_tables.found.items()
        if any(c.is_of_type for change in found.change_local for c in change.columns)
    }
    if not due:
        return link_tables
    with context.local.readers.session() as session:
        keys = keys_to(session, {context.links[a].local.schema for a in due})
    refusals = {a: each for a, found in due.items() for each in _refusals(context.links[a], found, keys)}
    return replace(link_tables, refusals={**refusals, **link_tables.refusals})


def _refusals(
    link: Link, link_tables: LinkTables, keys: Sequence[tuple[TableName, ForeignKey]]
) -> Iterator[Refusal]:
    changed = {
        (change.table, column.after.name): column
        for change in link_tables.change_local
        for column in change.columns
        if column.is_of_type
    }
    for (schema, table), key in keys:
        for name in key.parent_columns:
            column = changed.get((key.parent_table, name)) if key.parent_schema == link.local.schema else None
            if column is not None:
                words = (
                    f"the source changed `{name}` of {key.parent_table} from {column.before.type} to "
                    f"{column.after.type}, but {schema}.{table} refers to the local column by its foreign "
                    f"key `{key.name}`, which needs the same type"
                )
                hint = (
                    f"drop that key: ALTER TABLE `{schema}`.`{table}` DROP FOREIGN KEY `{key.name}`; apply; "
                    "then change your column to that type too and add the key again"
                )
                yield Refusal(link.address, words, hint, link.location, only_pulls=True)
