"""One batch of a refill: entities that are here already become what the source's are.

The source's rows are read in one snapshot into temporary tables beside the local ones, and written from
there in one local transaction, so an entity is never made of two moments. The master row is updated in
place and never deleted. Rows are found by their primary key and by the entity that they belong to, and no
statement replaces: a row of the lab's own that has the same unique value refuses the entity. An entity is
left as it is where rows of other tables refer to part rows that would go, or to values that would change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from djlink_manifest.errors import RowsRefused
from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.keys.key_list import NumberedKeys
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.outbound.registrations import not_requested
from djlink_manifest.servers.query.rows import reading_rows
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.sql import Sql, column, columns, comma, equal, idents, or_, sql
from djlink_manifest.servers.transfer.batch import rows_of
from djlink_manifest.servers.transfer.insert import Budget, Conversion, as_read, copy
from djlink_manifest.servers.transfer.refresh_tables import (
    RefillTable,
    equal_unnamed,
    forget_absent,
    refill_tables,
    rows_beside,
)
from djlink_manifest.servers.transfer.reliance import Reliance, putting_aside


@dataclass(frozen=True, slots=True)
class Refilled:
    """How many entities of a batch were refilled, and how many were not since others rely on their rows."""

    entities: int
    aside: int


def refill_entities(
    source: Session,
    local: Writer,
    link: Link,
    work: KeyTable,
    first: int,
    last: int,
    budget: Budget,
    reliance: Reliance,
    check: Callable[[], None],
    convert: Conversion = as_read,
    *,
    requested: bool = False,
) -> Refilled:
    """Refill the entities of a range of `work` that are held, not asked back and here.

    Left as they are: those of which a row would be deleted, or a value changed, that a row of another table
    refers to by a foreign key of `reliance`.

    `requested`: those that are asked back too. `check` runs before the local commit and raises where the work
    must not be committed. Raises RowsRefused, with nothing changed, where the local server does not take the
    rows.
    """
    tables, requested_links = (
        refill_tables(link, reliance.named),
        not_requested(link, "o", requested=requested),
    )
    keys = NumberedKeys(work, first, last)
    for each in tables:
        rows_beside(local, each).create()
    with putting_aside(local, link, tables, reliance) as aside, source.snapshot(), local.transaction():
        for each in tables:
            what = reading_rows(each.columns, "t")
            select = rows_of(link, each.source_table, keys, what, requested_links)
            to = convert(each.source_table, each.local_table, each.columns)
            copy(source, select, local, each.rows, columns=to.columns, budget=budget, change=to.change)
        entities, spared = _keep_present(local, link, tables), 0
        if reliance:
            aside.lock(local)
            spared = aside.find()
        if spared:
            aside.take_out()
        _write(local, tables)
        check()
    return Refilled(entities - spared, spared)


def drop_scratch(local: Writer, link: Link) -> None:
    """End the temporary tables of a refill."""
    for each in refill_tables(link):
        rows_beside(local, each).drop()


def _keep_present(local: Writer, link: Link, tables: Sequence[RefillTable]) -> int:
    """Lock the local master rows of the batch; rows of entities that are not here are put aside."""
    master = tables[0]
    source_count = local.count(sql("SELECT COUNT(*) FROM {}", master.rows))
    match = equal("t", link.key, "w", link.key)
    local_count = local.count(
        sql(
            "SELECT COUNT(*) FROM {} w STRAIGHT_JOIN {} t ON {} FOR UPDATE",
            master.rows,
            master.name,
            match,
        )
    )
    if local_count < source_count:
        forget_absent(local, link, tables)
    return local_count


def _write(local: Writer, tables: Sequence[RefillTable]) -> None:
    """Bring the rows over: part rows that are gone go first, or, where that is refused, last.

    First frees the unique values that new rows may have taken over; last lets rows be changed that still
    refer to what goes.
    """
    local.execute(Sql("SAVEPOINT djlink"))
    try:
        _delete(local, tables)
        _change(local, tables)
    except RowsRefused as refused:
        if len(tables) == 1:
            raise
        local.execute(Sql("ROLLBACK TO SAVEPOINT djlink"))
        try:
            _change(local, tables)
            _delete(local, tables)
        except RowsRefused:
            raise refused from None


def _delete(local: Writer, tables: Sequence[RefillTable]) -> None:
    """Delete part rows of the batch's entities that the source has no longer, children first."""
    master, *parts = tables
    for each in reversed(parts):
        assert each.entity is not None, "only the master has none"
        local.execute(
            sql(
                "DELETE {} FROM {} w STRAIGHT_JOIN {} ON {} WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE {})",
                each.name,
                master.rows,
                each.name,
                equal_unnamed(each.name, each.entity, "w", master.local_table.key),
                each.rows,
                equal_unnamed(each.name, each.match, "x", each.match),
            )
        )


def _change(local: Writer, tables: Sequence[RefillTable]) -> None:
    """Update what is here and insert what is missing, parents first."""
    for each in tables:
        match = equal("t", each.match, "w", each.match)
        if each.settable:
            # of every row: the server itself skips one whose bytes are equal, and `<=>` would skip more
            values = _set(each.settable)
            local.execute(
                sql("UPDATE {} w STRAIGHT_JOIN {} t ON {} SET {}", each.rows, each.name, match, values)
            )
        if each.entity is not None:
            _respell(local, each, match)
            names = [c.name for c in each.columns]
            local.execute(
                sql(
                    "INSERT INTO {} ({}) SELECT {} FROM {} w WHERE NOT EXISTS (SELECT 1 FROM {} t WHERE {})",
                    each.name,
                    idents(names),
                    columns("w", names),
                    each.rows,
                    each.name,
                    match,
                )
            )


def _set(names: Sequence[str]) -> Sql:
    """What a SET says to give these columns of `t` the values of `w`."""
    return comma([sql("{} = {}", column("t", n), column("w", n)) for n in names])


def _respell(local: Writer, each: RefillTable, match: Sql) -> None:
    """Write key values of a part anew that are the same to the collation, and spelled otherwise."""
    texts = [c.name for c in each.columns if c.name in each.match and c.is_text]
    if texts:
        other = [
            sql("CAST({} AS BINARY) <> CAST({} AS BINARY)", column("t", n), column("w", n)) for n in texts
        ]
        values = _set([*texts, *each.settable])
        local.execute(
            sql(
                "UPDATE {} w STRAIGHT_JOIN {} t ON {} SET {} WHERE {}",
                each.rows,
                each.name,
                match,
                values,
                or_(other),
            )
        )
