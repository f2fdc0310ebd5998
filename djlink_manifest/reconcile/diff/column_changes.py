"""Which columns of a local table follow a change of the source's, and what that costs. Pure.

Each fact of a column is compared three ways: as djlink made it, as the source's definition has it now, as it
stands. Only what stands as djlink made it follows; what the lab changed stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.model.server.catalog import MadeTable, Size, Version
from djlink_manifest.model.stores.external import external_of
from djlink_manifest.model.tables.compare import marker, of_today, same_default
from djlink_manifest.model.tables.definition import TEXTS_AND_BLOBS, Column, TableDefinition
from djlink_manifest.model.vendors.alter_cost import cost_of, highest
from djlink_manifest.model.vendors.collations import holds_characters
from djlink_manifest.model.vendors.widening import keeps_values
from djlink_manifest.model.vendors.widths import row_too_wide, too_wide
from djlink_manifest.reconcile.state.snapshot import ColumnChange, TableChange


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """A local table three ways: as it shall be, as it stands, as djlink `made` it, None where nobody knows.

    `redefined` tells that the source's definition changed since; it decides where `made` is silent. Columns
    take another collation where `recollated`: where the manifest, and not the source, asks for it.
    """

    expected: TableDefinition
    stands: TableDefinition
    made: MadeTable | None
    redefined: bool
    recollated: bool
    version: Version
    size: Size

    def followed(self) -> dict[str, Column]:
        """The columns that both tables have, by name, as they are to be; without those that cannot follow."""
        stands, found = {c.name: c for c in self.stands.columns}, dict[str, Column]()
        for column in self.expected.columns:
            if column.name in stands:
                after = self._followed(column, stands[column.name])
                if after is not None:
                    found[column.name] = after
        return found

    def change(self) -> TableChange | None:
        """The change of the table, or None where nothing is to follow."""
        followed = self.followed()
        columns = [
            ColumnChange(column, followed[column.name])
            for column in self.stands.columns
            if followed.get(column.name, column) != column
        ]
        comment = self.expected.comment if self._comment_follows() else None
        if not columns and comment is None:
            return None
        indexed = {part.column for index in self.stands.indexes for part in index.parts}
        cost = highest(
            cost_of(c.before, c.after, self.version, indexed=c.before.name in indexed) for c in columns
        )
        return TableChange(self.expected.name, tuple(columns), comment, cost, self.size)

    def is_unrecorded(self) -> bool:
        """Whether the table follows a change of the source that the mark does not know."""
        if self.made is None or None in self.made.columns.values():
            return False
        expected = {c.name: c for c in self.expected.columns}
        stands = {c.name: c for c in self.stands.columns}
        gone = self.made.columns.keys() - expected.keys() - stands.keys()
        later = any(
            made is not None and name in expected and not _alike(made, expected[name]) and name in stands
            for name, made in self.made.columns.items()
        )
        return bool(gone) or later or (self.made.comment or "") != self.expected.comment

    def source_changed(self, column: str) -> bool:
        """Whether a column is another one at the source than when djlink made it; else the lab changed it."""
        made = None if self.made is None else self.made.columns.get(column)
        if made is None:
            return self.redefined
        expected = self.expected.column(column)
        facts = (_type(made), made.nullable, made.generated, marker(made))
        return facts != (_type(expected), expected.nullable, expected.generated, marker(expected))

    def _comment_follows(self) -> bool:
        made = None if self.made is None else self.made.comment
        return made is not None and made == self.stands.comment != self.expected.comment

    def _followed(self, expected: Column, stands: Column) -> Column | None:
        made = None if self.made is None else self.made.columns.get(expected.name)
        if stands.generated != expected.generated or external_of(stands) != external_of(expected):
            return None
        after = stands
        if _type(stands) != _type(expected):
            came = self.redefined if made is None else _type(made) == _type(stands)
            if not (came and self._keeps(stands, expected)) or self.is_bound(stands.name):
                return None
            after = replace(after, type=expected.type)
            if _type(after) != _type(expected):
                after = replace(after, charset=expected.charset, collation=expected.collation)
        if stands.nullable != expected.nullable:
            came = self.redefined if made is None else made.nullable == stands.nullable
            if not (came and expected.nullable) or stands.name in self.expected.key:
                return None
            after = replace(after, nullable=True)
        if stands.generated is None:
            after = _with_default(made, expected, after)
        came = (
            self.redefined and _marked(stands, expected) if made is None else made.comment == stands.comment
        )
        return replace(after, comment=expected.comment) if came else after

    def is_of_manifest(self, column: str) -> bool:
        """Whether a column differs in nothing but the collation that the manifest asks for."""
        made = None if self.made is None else self.made.columns.get(column)
        stands, expected = self.stands.column(column), self.expected.column(column)
        if not self.recollated or made is None or _type(made) != _type(stands):
            return False
        return stands.is_text and stands.type == expected.type and stands.nullable == expected.nullable

    def _keeps(self, stands: Column, expected: Column) -> bool:
        """Whether all values keep their meaning, and the characters that they have."""
        if _type(stands)[1:] == _type(expected)[1:]:
            return keeps_values(stands, expected)
        return (
            self.recollated
            and stands.charset is not None
            and expected.charset is not None
            and holds_characters(stands.charset, expected.charset)
            and keeps_values(replace(stands, charset=expected.charset), expected)
        )

    def is_bound(self, column: str) -> bool:
        """Whether keys hold the column's type: the primary key, or a foreign key of the table."""
        keys = (*self.expected.foreign_keys, *self.stands.foreign_keys)
        return column in self.expected.key or any(column in key.columns for key in keys)


def obstacles_to(change: TableChange, stands: TableDefinition, version: Version) -> Iterator[str]:
    """Why the local server would refuse the change, in words: rows and indexes that become too wide."""
    after = {c.after.name: c.after for c in change.columns}
    table = replace(stands, columns=tuple(after.get(c.name, c) for c in stands.columns))
    # MariaDB shortens an index that is too long, or makes hashes of its values
    limits = row_too_wide if version.vendor == "mariadb" else too_wide
    before = set(limits(stands))
    yield from (f"with the source's types {words}" for words in limits(table) if words not in before)
    if version.vendor == "mysql":
        yield from _whole_texts(table, [c for c in change.columns if c.is_of_type])


def _whole_texts(table: TableDefinition, changes: Sequence[ColumnChange]) -> Iterator[str]:
    texts = {c.after.name: c.after for c in changes if c.after.base_type in TEXTS_AND_BLOBS}
    for index in table.indexes:
        for part in index.parts:
            if part.column in texts and part.length is None and index.kind != "FULLTEXT":
                type_ = texts[part.column].type
                yield f"the index `{index.name}` is over all of `{part.column}`, which cannot be {type_} then"


def _with_default(made: Column | None, expected: Column, after: Column) -> Column:
    if made is None or same_default(made, expected) or not same_default(made, after):
        return after
    return replace(
        after,
        default=expected.default,
        default_is_expression=expected.default_is_expression,
        on_update=expected.on_update,
    )


def _alike(made: Column, expected: Column) -> bool:
    facts = (_type(made), made.nullable, made.comment, made.generated)
    same = facts == (_type(expected), expected.nullable, expected.comment, expected.generated)
    return same and same_default(made, expected)


def _marked(stands: Column, expected: Column) -> bool:
    return bool(marker(expected)) and marker(expected) != marker(stands)


def _type(column: Column) -> tuple[str | None, ...]:
    return column.type, of_today(column.charset), of_today(column.collation)
