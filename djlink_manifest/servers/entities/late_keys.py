"""Count the local rows that keep a foreign key to a parent linked later from being added.

Of the local rows without a parent row the values of the key travel to the source, each once, where those drop
out whose parent the same plan pulls.
"""

from __future__ import annotations

from collections.abc import Iterator

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LateKey
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    column,
    columns,
    equal,
    exists_in,
    not_exists_in,
    or_,
    sql,
    table,
)

ROWS = "~rows"  # how many local rows have a value


def count_parentless(local: Session, late: LateKey) -> int:
    """The number of local rows that lack their parent row."""
    return local.count(sql("SELECT COUNT(*) FROM {}", _parentless(late, stands=True)))


def parentless_values(local: Session, late: LateKey, *, stands: bool) -> Iterator[RawRow]:
    """The values of the key that have no parent row, each with its number of rows before it.

    `stands`: the parent's local table exists.
    """
    own = [late.table.column(name) for name in late.key.columns]
    by, select = columns("c", late.key.columns), "SELECT COUNT(*), {} FROM {} GROUP BY {}"
    return local.stream(sql(select, reading(own, "c"), _parentless(late, stands=stands), by))


def rows_left(
    source: Session,
    source_links: SourceLinks,
    late: LateKey,
    values: Iterator[RawRow],
    parent: Link,
    extra: KeyTable | None,
    again: KeyTable | None,
    blocked: Sql | None,
) -> int:
    """Of the rows with these values, the number of those whose parent is not pulled.

    Of the entities of `parent`, `extra` are here without protection, `again` come again, and `blocked` is a
    table of those that cannot come.
    """
    of = next(
        definition for definition, local_table in parent.tables if local_table.name == late.key.parent_table
    )  # the master, or a part
    named = [of.column(name) for name in late.key.parent_columns]
    held = (Column(ROWS, "bigint unsigned"), *named)
    key = parent.definition.entity_columns(of)
    sets = Sets(source, source_links)
    comes = sets.pullable(parent, "s", key)
    if parent.address in source_links.held:
        comes.append(not_exists_in(outbound_table(parent), parent.key, "s", key))
    if extra is not None and extra.count:
        comes.append(not_exists_in(extra.name, parent.key, "s", key))
    if blocked is not None:
        comes.append(not_exists_in(blocked, parent.key, "s", key))
    ways = [and_(comes)]
    if again is not None and again.count:
        ways.append(exists_in(again.name, parent.key, "s", key))
    place = (parent.outbound_schema, "~djlink_parentless")
    with TemporaryTable(source, place, held, column_list(held)) as found:
        if not found.add(values):
            return 0
        match = equal("s", late.key.parent_columns, "v", late.key.parent_columns)
        rows = sql(
            "SELECT COALESCE(SUM({}), 0) FROM {} v WHERE NOT EXISTS (SELECT 1 FROM {} s WHERE {})",
            column("v", ROWS),
            found.name,
            table(of.schema, of.name),
            and_([match, or_(ways)]),
        )
        return source.count(rows)


def _parentless(late: LateKey, *, stands: bool) -> Sql:
    """The rows `c` of the table that lack their parent row, as what follows FROM."""
    key = late.key
    tests = [sql("{} IS NOT NULL", column("c", name)) for name in late.nullable]
    if stands:
        parent = table(key.parent_schema, key.parent_table)
        tests.append(not_exists_in(parent, key.parent_columns, "c", key.columns))
    return sql("{} c WHERE {}", table(late.table.schema, late.table.name), and_(tests))
