"""One batch of a pull: rows of registered entities, from one snapshot into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.link import Link, copied_columns
from djlink_manifest.servers.connection import Session, Writer
from djlink_manifest.servers.query import outbound_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, equal, sql, table
from djlink_manifest.servers.transfer import Budget, Conversion, as_read, copy, reading


def copy_entities(
    source: Session,
    local: Writer,
    link: Link,
    work: KeyTable,
    first: int,
    last: int,
    budget: Budget,
    check: Callable[[], None],
    convert: Conversion = as_read,
) -> int:
    """Copy the entities of a range of `work` that are in outbound; the number of entities.

    `check` runs before the local commit and raises where the work must not be committed. The source is read
    in one snapshot, so that an entity is never made of two moments.
    """
    with source.snapshot(), local.transaction():
        entities = 0
        for theirs, ours in zip(link.definition.tables, link.local.tables, strict=False):
            columns = copied_columns(theirs, ours)
            select = rows_of(link, theirs, work, first, last, Sql("TRUE"), columns)
            to, into = convert(theirs, ours, columns), table(ours.schema, ours.name)
            written = copy(source, select, local, into, to.columns, budget, to.change)
            if theirs is link.definition:
                entities = written
        check()
    return entities


def rows_of(
    link: Link,
    of: TableDefinition,
    work: KeyTable,
    first: int,
    last: int,
    test: Sql,
    copied: Sequence[Column],
) -> Sql:
    """The SELECT of a table's rows of entities in a range of `work` that are in outbound, there named `o`.

    `test` is a further condition on `o`.
    """
    key = link.key if of is link.definition else link.definition.master_columns(of)
    assert key is not None, "a part without its master's key is refused when the link is resolved"
    # STRAIGHT_JOIN: the range of `work` drives, whatever the optimiser thinks of a temporary table's
    # statistics
    return sql(
        "SELECT STRAIGHT_JOIN {} FROM {} w JOIN {} o ON {} JOIN {} t ON {} WHERE w.`~seq` BETWEEN {} AND {}"
        " AND {} ORDER BY w.`~seq`",
        reading(copied, "t"),
        work.name,
        outbound_table(link),
        equal("o", link.key, "w", link.key),
        table(of.schema, of.name),
        equal("t", key, "w", link.key),
        first,
        last,
        test,
    )
