"""Temporary tables on the local server that hold the source's rows of the entities of a refill."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.model.links.link import Link, copied_columns
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.ddl.tables import row_columns
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, and_, column, ident, sql, table


@dataclass(frozen=True, slots=True)
class RefillTable:
    """A local table, the source's, and the temporary one with the source's rows.

    `columns` are those that are brought; `entity` those that hold the master's key, None for the master
    itself; `named` those that other tables refer to, which are kept though they may be computed here.
    """

    source_table: TableDefinition
    local_table: TableDefinition
    scratch: str
    columns: tuple[Column, ...]
    entity: tuple[str, ...] | None
    named: frozenset[str] = frozenset()

    @property
    def name(self) -> Sql:
        """The local table."""
        return table(self.local_table.schema, self.local_table.name)

    @property
    def rows(self) -> Sql:
        """The temporary table."""
        return table(self.local_table.schema, self.scratch)

    @property
    def match(self) -> tuple[str, ...]:
        """The columns by which a local row is the source's: its key, and the entity that it belongs to."""
        return tuple(dict.fromkeys((*self.local_table.key, *(self.entity or ()))))

    @property
    def settable(self) -> tuple[str, ...]:
        """What a change sets: all but what rows are found by, and that too where ON UPDATE would set it."""
        return tuple(
            c.name
            for c in self.columns
            if c.name not in self.match or self.local_table.column(c.name).on_update
        )

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns of the temporary table; it computes for itself what is computed here."""
        names = {c.name for c in self.columns} | {*self.local_table.key} | self.named
        return tuple(c for c in self.local_table.columns if c.name in names)


def refill_tables(link: Link, named: Mapping[str, Collection[str]] | None = None) -> list[RefillTable]:
    """The master's table and each part's, for whole rows.

    `named`: by local table the columns that other tables refer to.
    """
    named = named or {}
    return [
        RefillTable(
            source_table,
            local_table,
            f"~djlink_refill_{number}",
            copied_columns(source_table, local_table),
            entity=link.definition.master_columns(source_table) if number else None,
            named=frozenset(named.get(local_table.name, ())),
        )
        for number, (source_table, local_table) in enumerate(link.tables)
    ]


def narrowed(each: RefillTable) -> RefillTable:
    """The same for nothing but the columns that rows are found by and that other tables refer to."""
    needed = {*each.match} | each.named
    if any(each.local_table.column(name).generated is not None for name in needed):
        return each  # computed from others
    columns = tuple(c for c in each.columns if c.name in needed)
    return RefillTable(
        each.source_table, each.local_table, each.scratch, columns, entity=each.entity, named=each.named
    )


def rows_beside(local: Session, each: RefillTable) -> TemporaryTable:
    """The temporary table, with the local types and collations, by which keys are compared."""
    body = row_columns(each.kept, each.local_table.key)
    return TemporaryTable(local, (each.local_table.schema, each.scratch), each.columns, body)


def forget_absent(local: Session, link: Link, tables: Sequence[RefillTable]) -> None:
    """Put aside the rows of entities that the local master table does not hold."""
    master = tables[0]
    for each in tables:
        match = equal_unnamed(each.rows, each.entity or link.key, "t", link.key)
        absent = sql("NOT EXISTS (SELECT 1 FROM {} t WHERE {})", master.name, match)
        local.temporary.delete(each.rows, absent)


def equal_unnamed(left: Sql, left_names: Sequence[str], right: str, right_names: Sequence[str]) -> Sql:
    """As `sql.equal`, for a table that has no alias: a DELETE takes one only within a default schema."""
    pairs = zip(left_names, right_names, strict=True)
    return and_([sql("{}.{} = {}", left, ident(a), column(right, b)) for a, b in pairs])
