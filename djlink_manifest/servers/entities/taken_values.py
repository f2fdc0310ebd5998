"""The unique values of local rows that outbound does not hold, in a temporary table on the source server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from djlink_manifest.model.links.unique import Unique
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.keys.predicates import ROWS_AT_ONCE, in_pieces, keys_in
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, and_, column, idents, sql, table


@contextmanager
def taken_values(
    unique: Unique, extra: KeyTable, local: Session
) -> Iterator[tuple[Sql, tuple[str, ...], tuple[str, ...]]]:
    """A temporary table of the unique values of the local rows of `extra`, and whose they are.

    Its name, the columns of the values and those of the entities' keys.
    """
    values = tuple(f"u{n}" for n in range(len(unique.columns)))
    owner = tuple(f"k{n}" for n in range(len(unique.owner)))
    names = (*unique.columns, *unique.owner)
    source_columns = tuple(unique.source_table.column(n) for n in names)
    bare = tuple(replace(c, name=n) for c, n in zip(source_columns, (*values, *owner), strict=True))
    place = (extra.link.outbound_schema, "~djlink_taken")
    body = f"{column_list(bare)}, KEY ({idents(values).text})"
    with TemporaryTable(extra.session, place, bare, body) as taken:
        for first, last in extra.pages(ROWS_AT_ONCE):
            for some in in_pieces(local, extra.keys(first, last)):
                taken.add(local.stream(_values_of(unique, source_columns, some)))
        yield taken.name, values, owner


def _values_of(unique: Unique, read: tuple[Column, ...], keys: Sequence[RawRow]) -> Sql:
    nullable = [c.name for c in read if c.nullable]
    tests = [keys_in([unique.local_table.column(n) for n in unique.owner], keys, "t")]
    tests += [sql("{} IS NOT NULL", column("t", n)) for n in nullable]
    return sql(
        "SELECT {} FROM {} t WHERE {}",
        reading(read, "t"),
        table(unique.local_table.schema, unique.local_table.name),
        and_(tests),
    )
