"""A link that has another name now: which marks, tables and lineage are to be brought to it. Values."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.model.server.catalog import Mark, TableName


@dataclass(frozen=True, slots=True)
class MarkChange:
    """A mark as it stands and as it shall stand; `before` is in the schema of the table that it marks."""

    before: Mark
    after: Mark


@dataclass(frozen=True, slots=True)
class LinkMove:
    """What is to be done for one link that has moved. No row travels.

    `before` says what it was called: an address, a local table, or both. `link_id` is the id that its marks
    shall carry, `old_ids` those that they carry still. `source` and `local` are the changes of its two marks,
    None for one that is as it shall be; `tables` the local tables to rename, the master last; `new_schema`
    tells that the local schema is missing. `lineage`: strings of the former name are in the local lineage.
    `mark` is the source's mark as it shall stand; `interrupted` tells that an apply began this.
    """

    address: str
    before: tuple[str, ...]
    link_id: str
    mark: Mark
    old_ids: tuple[str, ...] = ()
    source: MarkChange | None = None
    local: MarkChange | None = None
    tables: tuple[tuple[TableName, TableName], ...] = ()
    new_schema: bool = False
    lineage: bool = False
    interrupted: bool = False

    @property
    def has_names(self) -> bool:
        """Whether the link itself has another name, and not only what it refers to."""
        return bool(self.before)
