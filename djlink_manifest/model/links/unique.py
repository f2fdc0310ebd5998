"""The unique keys of a link in which rows of two entities can meet."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import TEXTS_AND_BLOBS, IndexPart, TableDefinition


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique key of a link's master or of one of its parts, at the source and locally.

    `owner` are the columns that hold the entity's key; `index` is its name, `PRIMARY` for a part's own key.
    """

    source_table: TableDefinition
    local_table: TableDefinition
    owner: tuple[str, ...]
    index: str
    columns: tuple[str, ...]

    @property
    def words(self) -> str:
        """The key as a plan names it."""
        return f"`{self.index}` of {self.local_table.schema}.{self.local_table.name}"


def uniques(link: Link) -> tuple[Unique, ...]:
    """The unique keys over whole columns; those that hold the entity's key cannot be met in by two.

    What is unique by an expression, a prefix or a hash (MariaDB's, of whole texts) is left to the local
    server, which refuses the rows.
    """
    found = []
    for source_table, local_table in zip(link.definition.tables, link.local.tables, strict=False):
        owner = link.key if source_table is link.definition else link.definition.master_columns(source_table)
        long = {
            c.name for c in local_table.columns if c.base_type in TEXTS_AND_BLOBS or c.base_type == "json"
        }
        keys = {i.name: _whole(i.parts) for i in local_table.indexes if i.unique}
        keys = {name: columns for name, columns in keys.items() if not long & set(columns)}
        if source_table is not link.definition:
            keys["PRIMARY"] = local_table.key
        for name, columns in keys.items():
            if owner and columns and not set(owner) <= set(columns):
                found.append(Unique(source_table, local_table, owner, name, columns))
    return tuple(found)


def _whole(parts: tuple[IndexPart, ...]) -> tuple[str, ...]:
    """The columns of an index; none where one is an expression or a prefix."""
    columns = tuple(p.column for p in parts if p.column is not None and p.length is None)
    return columns if len(columns) == len(parts) else ()
