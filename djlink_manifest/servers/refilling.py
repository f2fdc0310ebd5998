"""One batch of a refill: entities that are here already become what the source's are.

The source's rows are read in one snapshot into temporary tables beside the local ones, and written from
there in one local transaction, so an entity is never made of two moments. The master row is updated in
place and never deleted. Rows are found by their primary key and by the entity that they belong to, and no
statement replaces: a row of the lab's own that has the same unique value refuses the entity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from djlink_manifest.errors import RowsRefused
from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.link import Link, copied_columns
from djlink_manifest.servers import ddl
from djlink_manifest.servers.connection import Session, Writer
from djlink_manifest.servers.copying import rows_of
from djlink_manifest.servers.outbound import unasked
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import (
    Sql,
    both,
    column,
    columns,
    comma,
    either,
    equal,
    ident,
    idents,
    sql,
    table,
)
from djlink_manifest.servers.transfer import Budget, Conversion, as_read, copy, reading_rows


@dataclass(frozen=True, slots=True)
class _Table:
    """A local table, the source's, and the temporary one with the source's rows.

    `entity` are the columns that hold the master's key; None for the master itself.
    """

    theirs: TableDefinition
    ours: TableDefinition
    scratch: str
    columns: tuple[Column, ...]
    entity: tuple[str, ...] | None

    @property
    def name(self) -> Sql:
        return table(self.ours.schema, self.ours.name)

    @property
    def rows(self) -> Sql:
        return table(self.ours.schema, self.scratch)

    @property
    def match(self) -> tuple[str, ...]:
        """The columns by which a row here is the source's: its key, and the entity that it belongs to."""
        return tuple(dict.fromkeys((*self.ours.key, *(self.entity or ()))))

    @property
    def settable(self) -> tuple[str, ...]:
        """What a change sets: all but what rows are found by, and that too where ON UPDATE would set it."""
        return tuple(
            c.name for c in self.columns if c.name not in self.match or self.ours.column(c.name).on_update
        )


def refill_entities(
    source: Session,
    local: Writer,
    link: Link,
    work: KeyTable,
    first: int,
    last: int,
    budget: Budget,
    check: Callable[[], None],
    convert: Conversion = as_read,
    *,
    requested: bool = False,
) -> int:
    """Refill the entities of a range of `work` that are held, not asked back and here; how many they are.

    `requested`: those that are asked back too. `check` runs before the local commit and raises where the work
    must not be committed. Raises RowsRefused, with nothing changed, where the local server does not take the
    rows.
    """
    tables, asked = _tables(link), unasked(link, "o", requested=requested)
    for each in tables:
        _make(local, each)
    with source.snapshot(), local.transaction():
        for each in tables:
            what = reading_rows(each.columns, "t")
            select = rows_of(link, each.theirs, work, first, last, asked, what)
            to = convert(each.theirs, each.ours, each.columns)
            copy(source, select, local, each.rows, to.columns, budget, to.change)
        entities = _keep_present(local, link, tables)
        _write(local, tables)
        check()
    return entities


def drop_scratch(local: Writer, link: Link) -> None:
    """End the temporary tables of a refill."""
    for each in _tables(link):
        local.scratch(sql("DROP TEMPORARY TABLE IF EXISTS {}", each.rows))


def _tables(link: Link) -> list[_Table]:
    found = []
    pairs = zip(link.definition.tables, link.local.tables, strict=False)
    for number, (theirs, ours) in enumerate(pairs):
        entity = link.definition.master_columns(theirs) if number else None
        copied = copied_columns(theirs, ours)
        found.append(_Table(theirs, ours, f"~djlink_refill_{number}", copied, entity))
    return found


def _make(local: Writer, each: _Table) -> None:
    """Make the temporary table, with the local types and collations, by which keys are compared."""
    copied = {c.name for c in each.columns}
    # a key may hold a generated column, which this table then computes too
    kept = [c for c in each.ours.columns if c.name in copied or c.name in each.ours.key]
    local.scratch(sql("DROP TEMPORARY TABLE IF EXISTS {}", each.rows))
    local.scratch(Sql(ddl.scratch_table(each.ours.schema, each.scratch, kept, each.ours.key)))


def _keep_present(local: Writer, link: Link, tables: Sequence[_Table]) -> int:
    """Lock the local master rows of the batch; rows of entities that are not here are put aside."""
    master = tables[0]
    there = int(local.value(sql("SELECT COUNT(*) FROM {}", master.rows)))
    match = equal("t", link.key, "w", link.key)
    here = int(
        local.value(
            sql(
                "SELECT COUNT(*) FROM {} w STRAIGHT_JOIN {} t ON {} FOR UPDATE",
                master.rows,
                master.name,
                match,
            )
        )
    )
    for each in tables if here < there else ():
        absent = sql("{} IS NULL", column("t", link.key[0]))
        match = _equal(each.rows, each.entity or link.key, "t", link.key)
        rows = each.rows
        local.scratch(
            sql("DELETE {} FROM {} LEFT JOIN {} t ON {} WHERE {}", rows, rows, master.name, match, absent)
        )
    return here


def _write(local: Writer, tables: Sequence[_Table]) -> None:
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


def _delete(local: Writer, tables: Sequence[_Table]) -> None:
    """Delete part rows of the batch's entities that the source has no longer, children first."""
    master, *parts = tables
    for each in reversed(parts):
        assert each.entity is not None, "only the master has none"
        local.execute(
            sql(
                "DELETE {} FROM {} w STRAIGHT_JOIN {} ON {} LEFT JOIN {} x ON {} WHERE {} IS NULL",
                each.name,
                master.rows,
                each.name,
                _equal(each.name, each.entity, "w", master.ours.key),
                each.rows,
                _equal(each.name, each.match, "x", each.match),
                column("x", each.ours.key[0]),
            )
        )


def _equal(left: Sql, left_names: Sequence[str], right: str, right_names: Sequence[str]) -> Sql:
    """As `equal`, for a table that has no alias: a DELETE takes one only within a default schema."""
    pairs = zip(left_names, right_names, strict=True)
    return both([sql("{}.{} = {}", left, ident(a), column(right, b)) for a, b in pairs])


def _change(local: Writer, tables: Sequence[_Table]) -> None:
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


def _respell(local: Writer, each: _Table, match: Sql) -> None:
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
                either(other),
            )
        )
