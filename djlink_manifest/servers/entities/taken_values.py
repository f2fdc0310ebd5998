"""The unique values of local rows that outbound does not hold, in a temporary table on the source server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from djlink_manifest.model.links.unique import Unique
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.ddl.tables import key_columns
from djlink_manifest.servers.keys.key_table import KeyTable, temporary
from djlink_manifest.servers.keys.predicates import ROWS_AT_ONCE, in_pieces, keys_in
from djlink_manifest.servers.query.rows import inserts, most_bytes, reading
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, both, column, idents, sql, table


@contextmanager
def taken_values(
    unique: Unique, extra: KeyTable, local: Session
) -> Iterator[tuple[Sql, tuple[str, ...], tuple[str, ...]]]:
    """A temporary table of the unique values of the local rows of `extra`, and whose they are.

    Its name, the columns of the values and those of the entities' keys.
    """
    session, name = extra.session, table(extra.link.outbound_schema, "~djlink_taken")
    values = tuple(f"u{n}" for n in range(len(unique.columns)))
    owner = tuple(f"k{n}" for n in range(len(unique.owner)))
    names = (*unique.columns, *unique.owner)
    theirs = tuple(unique.theirs.column(n) for n in names)
    bare = tuple(replace(c, name=n) for c, n in zip(theirs, (*values, *owner), strict=True))
    described = key_columns(TableDefinition("", "", bare, (*values, *owner)))
    with temporary(session, name, f"{described}, KEY ({idents(values).text})"):
        for first, last in extra.pages(ROWS_AT_ONCE):
            for some in in_pieces(local, extra.keys(first, last)):
                rows = local.stream(_values_of(unique, theirs, some))
                for statement in inserts(name, bare, rows, most_bytes(session)):
                    session.send_scratch(statement.text)
        yield name, values, owner


def _values_of(unique: Unique, read: tuple[Column, ...], keys: Sequence[RawRow]) -> Sql:
    nullable = [c.name for c in read if c.nullable]
    tests = [keys_in([unique.ours.column(n) for n in unique.owner], keys, "t")]
    tests += [sql("{} IS NOT NULL", column("t", n)) for n in nullable]
    return sql(
        "SELECT {} FROM {} t WHERE {}",
        reading(read, "t"),
        table(unique.ours.schema, unique.ours.name),
        both(tests),
    )
