"""The keys of a link's tables in which two values of the source may be one by a local collation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from djlink_manifest.model.links.link import AS_SOURCE, Link
from djlink_manifest.model.tables.compare import of_today
from djlink_manifest.model.tables.definition import TEXTS_AND_BLOBS, Column, Index, TableDefinition


@dataclass(frozen=True, slots=True)
class MergingKey:
    """A primary or unique key of a master or part with text of another collation than the source's.

    `owner` are the columns that hold the entity's key.
    """

    source_table: TableDefinition
    local_table: TableDefinition
    owner: tuple[str, ...]
    name: str
    columns: tuple[str, ...]

    @property
    def words(self) -> str:
        """The key as a plan names it."""
        which = "the primary key" if self.name == "PRIMARY" else f"the unique key `{self.name}`"
        return f"{which} of {self.local_table.schema}.{self.local_table.name}"

    def is_other(self, column: str) -> bool:
        """Whether a column has another collation locally."""
        return _is_other(self.source_table.column(column), self.local_table.column(column))


def merging_keys(link: Link) -> tuple[MergingKey, ...]:
    """The keys over whole columns that `collation` concerns; none where they are as the source has them.

    A key over prefixes or expressions is left to the local server, which refuses the rows.
    """
    return tuple(_merging_keys(link)) if link.collation != AS_SOURCE else ()


def _merging_keys(link: Link) -> Iterator[MergingKey]:
    for source_table, local_table in link.tables:
        other = {
            c.name
            for c in source_table.columns
            if c.is_text and _is_other(c, local_table.column(c.name)) and c.base_type not in TEXTS_AND_BLOBS
        }
        keys = {"PRIMARY": local_table.key}
        keys |= {index.name: _whole(index) for index in local_table.indexes if index.unique}
        for name, columns in keys.items():
            if other & set(columns):
                owner = link.definition.entity_columns(source_table)
                yield MergingKey(source_table, local_table, owner, name, columns)


def _is_other(column: Column, local: Column) -> bool:
    return column.is_text and of_today(column.collation) != of_today(local.collation)


def _whole(index: Index) -> tuple[str, ...]:
    """The columns of an index; none where one is an expression or a prefix."""
    columns = tuple(p.column for p in index.parts if p.column is not None and p.length is None)
    return columns if len(columns) == len(index.parts) else ()
