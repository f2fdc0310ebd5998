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

    theirs: TableDefinition
    ours: TableDefinition
    owner: tuple[str, ...]
    index: str
    columns: tuple[str, ...]

    @property
    def words(self) -> str:
        """The key as a plan names it."""
        return f"`{self.index}` of {self.ours.schema}.{self.ours.name}"


def uniques(link: Link) -> tuple[Unique, ...]:
    """The unique keys over whole columns; those that hold the entity's key cannot be met in by two.

    What is unique by an expression, a prefix or a hash (MariaDB's, of whole texts) is left to the local
    server, which refuses the rows.
    """
    found = []
    for theirs, ours in zip(link.definition.tables, link.local.tables, strict=False):
        owner = link.key if theirs is link.definition else link.definition.master_columns(theirs)
        long = {c.name for c in ours.columns if c.base_type in TEXTS_AND_BLOBS or c.base_type == "json"}
        keys = {i.name: _whole(i.parts) for i in ours.indexes if i.unique}
        keys = {name: columns for name, columns in keys.items() if not long & set(columns)}
        if theirs is not link.definition:
            keys["PRIMARY"] = ours.key
        for name, columns in keys.items():
            if owner and columns and not set(owner) <= set(columns):
                found.append(Unique(theirs, ours, owner, name, columns))
    return tuple(found)


def _whole(parts: tuple[IndexPart, ...]) -> tuple[str, ...]:
    """The columns of an index; none where one is an expression or a prefix."""
    columns = tuple(p.column for p in parts if p.column is not None and p.length is None)
    return columns if len(columns) == len(parts) else ()
