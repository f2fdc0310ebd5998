"""One batch of a pull: rows of registered entities, from one snapshot into one transaction."""

from __future__ import annotations

from collections.abc import Callable

from djlink_manifest.model.definition import TableDefinition
from djlink_manifest.model.link import Link, copied_columns
from djlink_manifest.servers.connection import Session, Writer
from djlink_manifest.servers.loading import NotLoaded, load, load_plan
from djlink_manifest.servers.query import outbound_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, equal, sql, table
from djlink_manifest.servers.transfer import Budget, copy, reading


def copy_entities(
    source: Session,
    local: Writer,
    link: Link,
    work: KeyTable,
    first: int,
    last: int,
    budget: Budget,
    check: Callable[[], None],
) -> int:
    """Copy the entities of a range of `work` that are in outbound; the number of entities.

    `check` runs before the local commit and raises where the work must not be committed. The source is read
    in one snapshot, so that an entity is never made of two moments. Rows are loaded where the local server
    allows it; what is not taken whole is written again by INSERT, and that decides.
    """
    if local.loads:
        before = budget.spent, budget.rows
        try:
            return _copy(source, local, link, work, first, last, budget, check, loaded=True)
        except NotLoaded:
            budget.spent, budget.rows = before
    return _copy(source, local, link, work, first, last, budget, check, loaded=False)


def _copy(
    source: Session,
    local: Writer,
    link: Link,
    work: KeyTable,
    first: int,
    last: int,
    budget: Budget,
    check: Callable[[], None],
    *,
    loaded: bool,
) -> int:
    with source.snapshot(), local.transaction():
        entities = 0
        for theirs, ours in zip(link.definition.tables, link.local.tables, strict=False):
            columns, into = copied_columns(theirs, ours), table(ours.schema, ours.name)
            plan = load_plan(columns, [ours.column(c.name) for c in columns], "t") if loaded else None
            what = plan.select if plan else reading(columns, "t")
            select = rows_of(link, theirs, work, first, last, Sql("TRUE"), what)
            if plan:
                written = load(source, select, local, into, plan, budget)
            else:
                written = copy(source, select, local, into, columns, budget)
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
    what: Sql,
) -> Sql:
    """The SELECT of a table's rows of entities in a range of `work` that are in outbound, there named `o`.

    `test` is a further condition on `o`; `what` the select list, in which the table is `t`.
    """
    key = link.key if of is link.definition else link.definition.master_columns(of)
    assert key is not None, "a part without its master's key is refused when the link is resolved"
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
        equal("t", key, "w", link.key),
        first,
        last,
        test,
    )
