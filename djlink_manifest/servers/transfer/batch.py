"""One batch of a pull: rows of registered entities, from one snapshot into one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from djlink_manifest.model.links.link import Link, copied_columns
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.keys.key_ranges import KeyRange
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.query.rows import reading_rows
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.sql import Sql, equal, sql, table
from djlink_manifest.servers.transfer.insert import Budget, Conversion, as_read, copy
from djlink_manifest.servers.transfer.load_data import NotLoaded, load, load_plan

Rows: TypeAlias = Callable[[TableDefinition, Sql], Sql]
"""The SELECT of a list of columns of a table's rows; the table is `t` in it."""


class _NotAllHeld(Exception):
    """Rows were read that outbound does not hold; to be rolled back."""


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
    in one snapshot, so that an entity is never made of two moments. Rows are loaded where the local server
    allows it and nothing is to be converted; what is not taken whole is written again by INSERT, and that
    decides.
    """

    def rows(of: TableDefinition, what: Sql) -> Sql:
        return rows_of(link, of, work, first, last, Sql("TRUE"), what)

    return _copied(source, local, link, rows, budget, check, convert)


def copy_range(
    source: Session,
    local: Writer,
    link: Link,
    within: KeyRange,
    held: int,
    budget: Budget,
    check: Callable[[], None],
) -> int:
    """As `copy_entities`, for the entities of a range of the key that are in outbound, none of them here.

    First the range is read without looking at outbound. The foreign key makes outbound's rows some of the
    source's, and keeps them there, so that as many rows as were registered, `held`, are those.
    """

    def joined(of: TableDefinition, what: Sql) -> Sql:
        return sql(
            "SELECT STRAIGHT_JOIN {} FROM {} o JOIN {} t ON {} WHERE {}",
            what,
            outbound_table(link),
            table(of.schema, of.name),
            equal("t", link.definition.entity_columns(of), "o", link.key),
            within.test(link.key_columns, "o"),
        )

    def alone(of: TableDefinition, what: Sql) -> Sql:
        test = within.test(link.key_columns, "t", link.definition.entity_columns(of))
        return sql("SELECT {} FROM {} t WHERE {}", what, table(of.schema, of.name), test)

    before = budget.spent, budget.rows
    try:
        return _copied(source, local, link, alone, budget, check, as_read, held)
    except _NotAllHeld:
        budget.spent, budget.rows = before
    return _copied(source, local, link, joined, budget, check, as_read)


def _copied(
    source: Session,
    local: Writer,
    link: Link,
    rows: Rows,
    budget: Budget,
    check: Callable[[], None],
    convert: Conversion,
    held: int | None = None,
) -> int:
    """Copy rows. `held` says how many entities there must be, where not all that is read need be held."""
    if local.loads and convert is as_read:
        before = budget.spent, budget.rows
        try:
            return _copy(source, local, link, rows, budget, check, convert, held, loaded=True)
        except NotLoaded:
            budget.spent, budget.rows = before
    return _copy(source, local, link, rows, budget, check, convert, held, loaded=False)


def _copy(
    source: Session,
    local: Writer,
    link: Link,
    rows: Rows,
    budget: Budget,
    check: Callable[[], None],
    convert: Conversion,
    held: int | None,
    *,
    loaded: bool,
) -> int:
    with source.snapshot(), local.transaction():
        entities = 0
        for theirs, ours in zip(link.definition.tables, link.local.tables, strict=False):
            columns, into = copied_columns(theirs, ours), table(ours.schema, ours.name)
            plan = load_plan(columns, [ours.column(c.name) for c in columns], "t") if loaded else None
            select = rows(theirs, plan.select if plan else reading_rows(columns, "t"))
            if plan:
                written = load(source, select, local, into, plan, budget)
            else:
                to = convert(theirs, ours, columns)
                written = copy(source, select, local, into, to.columns, budget, to.change)
            if theirs is link.definition:
                entities = written
                if held is not None and written != held:
                    raise _NotAllHeld
        check()
    return entities


def rows_of(
    link: Link,
    of: TableDefinition,
    work: KeyTable,
    first: int,
    last: int,
    test: Sql,
    what: Sql,
) -> Sql:
    """The SELECT of a table's rows of entities in a range of `work` that are in outbound, there named `o`.

    `test` is a further condition on `o`; `what` the select list, in which the table is `t`.
    """
    # STRAIGHT_JOIN: the range of `work` drives, whatever the optimiser thinks of a temporary table's
    # statistics
    return sql(
        "SELECT STRAIGHT_JOIN {} FROM {} w JOIN {} o ON {} JOIN {} t ON {} WHERE w.`~seq` BETWEEN {} AND {}"
        " AND {} ORDER BY w.`~seq`",
        what,
        work.name,
        outbound_table(link),
        equal("o", link.key, "w", link.key),
        table(of.schema, of.name),
        equal("t", link.definition.entity_columns(of), "w", link.key),
        first,
        last,
        test,
    )
