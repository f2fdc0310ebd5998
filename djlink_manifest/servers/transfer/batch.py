"""One batch of a pull: rows of registered entities, from one snapshot into one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from djlink_manifest.model.links.link import Link, copied_columns
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.keys.key_list import NumberedKeys
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
        return rows_of(link, of, keys, what)

    keys = NumberedKeys(work, first, last)
    return _Batch(source, local, link, budget, check, convert=convert).copied(rows)


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

    batch, before = _Batch(source, local, link, budget, check), (budget.spent, budget.rows)
    try:
        return batch.copied(alone, held)
    except _NotAllHeld:
        budget.spent, budget.rows = before
    return batch.copied(joined)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of one link on their way: between which sessions, at what cost, and what permits the commit."""

    source: Session
    local: Writer
    link: Link
    budget: Budget
    check: Callable[[], None]
    convert: Conversion = as_read

    def copied(self, rows: Rows, held: int | None = None) -> int:
        """Copy rows. `held` says how many entities there must be, where not all that is read need be held."""
        if self.local.loads and self.convert is as_read:
            before = self.budget.spent, self.budget.rows
            try:
                return self._copy(rows, held, loaded=True)
            except NotLoaded:
                self.budget.spent, self.budget.rows = before
        return self._copy(rows, held, loaded=False)

    def _copy(self, rows: Rows, held: int | None, *, loaded: bool) -> int:
        with self.source.snapshot(), self.local.transaction():
            entities = 0
            for source_table, local_table in zip(
                self.link.definition.tables, self.link.local.tables, strict=False
            ):
                written = self._table(rows, source_table, local_table, loaded=loaded)
                if source_table is self.link.definition:
                    entities = written
                    if held is not None and written != held:
                        raise _NotAllHeld
            self.check()
        return entities

    def _table(
        self, rows: Rows, source_table: TableDefinition, local_table: TableDefinition, *, loaded: bool
    ) -> int:
        columns, into = copied_columns(source_table, local_table), table(local_table.schema, local_table.name)
        plan = load_plan(columns, [local_table.column(c.name) for c in columns], "t") if loaded else None
        if plan is not None:
            select = rows(source_table, plan.select)
            return load(self.source, select, self.local, into, plan=plan, budget=self.budget)
        to, select = (
            self.convert(source_table, local_table, columns),
            rows(source_table, reading_rows(columns, "t")),
        )
        return copy(
            self.source, select, self.local, into, columns=to.columns, budget=self.budget, change=to.change
        )


def rows_of(link: Link, of: TableDefinition, keys: NumberedKeys, what: Sql, test: Sql | None = None) -> Sql:
    """The SELECT of a table's rows of some entities that are in outbound, there named `o`.

    `what` is the select list, in which the table is `t`; `test` a further condition on `o`.
    """
    # STRAIGHT_JOIN: the keys drive, whatever the optimiser thinks of a temporary table's statistics
    return sql(
        "SELECT STRAIGHT_JOIN {} FROM {} d JOIN {} o ON {} JOIN {} t ON {} WHERE {} AND {} ORDER BY d.`~seq`",
        what,
        keys.name,
        outbound_table(link),
        equal("o", link.key, "d", link.key),
        table(of.schema, of.name),
        equal("t", link.definition.entity_columns(of), "d", link.key),
        keys.in_(),
        Sql("TRUE") if test is None else test,
    )
