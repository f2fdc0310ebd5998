"""What local tables ask of rows beyond what the source asks: foreign keys, unique keys, checks, and times.

They are those of a parent that is no longer linked, those that the lab added, and those of the local server's
version. Pure.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from djlink_manifest.model.links.link import Link, copied_columns
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.compare import index_shape, key_shape
from djlink_manifest.model.tables.definition import (
    PAST_TIMESTAMP,
    TEXTS_AND_BLOBS,
    Check,
    ForeignKey,
    Index,
    TableDefinition,
)


@dataclass(frozen=True, slots=True)
class Leftover:
    """Part rows that stand without their master row, in any of these local parts, parents first.

    Foreign key checks were off on the local server: a script, TRUNCATE, a restored dump. They would meet the
    same rows of an entity that comes.
    """

    master: TableDefinition
    parts: tuple[TableDefinition, ...]

    @property
    def statements(self) -> str:
        """What deletes them, children first."""
        return "; ".join(self._statement(part) for part in reversed(self.parts))

    def _statement(self, part: TableDefinition) -> str:
        part_name, master = (f"{_quoted_name(t.schema)}.{_quoted_name(t.name)}" for t in (part, self.master))
        pairs = zip(self.master.key, self.master.entity_columns(part), strict=True)
        match = " AND ".join(
            f"m.{_quoted_name(key)} = {part_name}.{_quoted_name(name)}" for key, name in pairs
        )
        return f"DELETE FROM {part_name} WHERE NOT EXISTS (SELECT 1 FROM {master} m WHERE {match})"


@dataclass(frozen=True, slots=True)
class LastTimestamp:
    """That a TIMESTAMP is no later than the last which the local server can hold, unlike the source's."""


@dataclass(frozen=True, slots=True)
class LocalRule:
    """A foreign key, a unique key or a check of a local table that the source's table does not have.

    Or, which every link has, that no part rows were left behind by a master row (`Leftover`); or that times
    are within the local server's bounds (`LastTimestamp`), which alone is tried at the source.

    `source_table` and `local_table` are the table at the source and as it stands locally; `owner` the columns
    that hold the entity's key, `columns` those that the rule is about, all of them copied from the source.
    `linked` tells that the parent of the foreign key is a table of a link.
    """

    source_table: TableDefinition
    local_table: TableDefinition
    owner: tuple[str, ...]
    columns: tuple[str, ...]
    of: ForeignKey | Index | Check | Leftover | LastTimestamp
    linked: bool = False

    @property
    def words(self) -> str:
        """Why entities that break the rule cannot come."""
        name = f"{self.local_table.schema}.{self.local_table.name}"
        match self.of:
            case ForeignKey(parent_schema=schema, parent_table=table):
                which = "" if self.linked else " (not linked)"
                return f"their parent row in {schema}.{table}{which} is missing, and {name} refers to it"
            case Index(name=index):
                return (
                    f"their value of the unique key `{index}` of {name}, which the source's table lacks, is "
                    "already used"
                )
            case Leftover(parts=parts):
                names = ", ".join(f"{part.schema}.{part.name}" for part in parts)
                return f"their part rows in {names} have no master row"
            case LastTimestamp():
                names = ", ".join(f"{self.source_table.name}.{each}" for each in self.columns)
                return (
                    f"their TIMESTAMP ({names}) is {PAST_TIMESTAMP} UTC or later, which the local server "
                    "cannot hold"
                )
            case Check(name=check, expression=text):
                return f"they fail the check `{check}` of {name}, which the source's table lacks: {text}"

    @property
    def hint(self) -> str:
        """What to do about it."""
        place = f"`{self.local_table.schema}`.`{self.local_table.name}`"
        out = "exclude these entities with `where`"
        match self.of:
            case ForeignKey(name=name):
                first = "apply again once that link has pulled it" if self.linked else "link the parent again"
                return f"{first}; or drop the key: ALTER TABLE {place} DROP FOREIGN KEY `{name}`; or {out}"
            case Leftover():
                why = "foreign key checks were off on the local server"
                return f"{why}: delete those part rows, then apply again: {self.of.statements}"
            case Index(name=name):
                return f"drop the key: ALTER TABLE {place} DROP INDEX `{name}`; or {out}"
            case LastTimestamp():
                return f"{out}, or use MariaDB 11.5 or later as the local server"
            case Check(name=name):
                return f"drop the check: ALTER TABLE {place} DROP CONSTRAINT `{name}`; or {out}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why entities cannot come, and what to do; `waits` tells that another link may bring what they lack."""

    words: str
    hint: str
    waits: bool = False


@dataclass(frozen=True, slots=True)
class LateKey:
    """A foreign key that a local table shall get, as the link `parent` to whose table it is was linked later.

    The server adds it only where no row lacks its parent row.
    """

    table: TableDefinition
    key: ForeignKey
    parent: str

    @property
    def nullable(self) -> tuple[str, ...]:
        """The key's columns that may be NULL; a NULL in one of them refers to nothing."""
        return tuple(name for name in self.key.columns if self.table.column(name).nullable)

    @property
    def words(self) -> str:
        """Why the key is not added while rows lack their parent row."""
        key = self.key
        return (
            f"rows of {self.table.schema}.{self.table.name} have no parent row in {key.parent_schema}."
            f"{key.parent_table}, so the foreign key ({', '.join(key.columns)}) to it cannot be added"
        )

    @property
    def hint(self) -> str:
        """What to do about it."""
        return (
            f"change `where` or `pull` of {self.parent} so that it pulls their parents, or delete these rows "
            f"locally; the next apply then adds the key; to list them: {self.statement}"
        )

    @property
    def statement(self) -> str:
        """The SELECT of the rows that lack their parent row."""
        key = self.key
        place, parent = (
            f"{_quoted_name(schema)}.{_quoted_name(name)}"
            for schema, name in (
                (self.table.schema, self.table.name),
                (key.parent_schema, key.parent_table),
            )
        )
        pairs = zip(key.parent_columns, key.columns, strict=True)
        match = " AND ".join(f"p.{_quoted_name(a)} = c.{_quoted_name(b)}" for a, b in pairs)
        named = "".join(f"c.{_quoted_name(name)} IS NOT NULL AND " for name in self.nullable)
        return f"SELECT * FROM {place} c WHERE {named}NOT EXISTS (SELECT 1 FROM {parent} p WHERE {match})"


def local_rules(
    link: Link,
    tables: Mapping[TableName, TableDefinition],
    linked: Container[TableName] = frozenset(),
    *,
    until_2038: bool = False,
) -> tuple[LocalRule, ...]:
    """The rules of the link's local tables, as they stand in `tables`, that its source does not have.

    Left to the local server, which refuses the rows, is what is about columns that are not copied, about
    expressions and prefixes, and about rows of one entity among each other. `linked` are the tables of links;
    `until_2038` tells that the local server's TIMESTAMP ends earlier than the source's.
    """
    times = _times(link) if until_2038 else ()
    return (*times, *_rules(link, tables, linked))


def _times(link: Link) -> Iterator[LocalRule]:
    for source_table, expected in link.tables:
        names = tuple(c.name for c in source_table.columns if c.base_type == "timestamp")
        if names:
            owner = link.definition.entity_columns(source_table)
            yield LocalRule(source_table, expected, owner, names, LastTimestamp())


def _rules(
    link: Link, tables: Mapping[TableName, TableDefinition], linked: Container[TableName]
) -> Iterator[LocalRule]:
    own = {(t.schema, t.name) for t in link.local.tables}
    for source_table, expected in link.tables:
        stands = tables.get((expected.schema, expected.name))
        if stands is None:
            continue
        copied = {c.name for c in copied_columns(source_table, expected)} & set(stands.column_names)
        owner = link.definition.entity_columns(source_table)

        def rule(
            columns: tuple[str, ...],
            of: ForeignKey | Index | Check,
            source: TableDefinition = source_table,
            stands: TableDefinition = stands,
            owner: tuple[str, ...] = owner,
        ) -> LocalRule:
            parent = (of.parent_schema, of.parent_table) if isinstance(of, ForeignKey) else None
            return LocalRule(source, stands, owner, columns, of=of, linked=parent in linked)

        known = {key_shape(key) for key in expected.foreign_keys}
        for key in stands.foreign_keys:
            elsewhere = (key.parent_schema, key.parent_table) not in own
            if key_shape(key) not in known and elsewhere and set(key.columns) <= copied:
                yield rule(key.columns, key)
        shapes = {index_shape(index) for index in expected.indexes}
        for index in stands.indexes:
            if index.unique and index_shape(index) not in shapes:
                columns = _whole(index, stands)
                if columns and set(columns) <= copied and not set(owner) <= set(columns):
                    yield rule(columns, index)
        names = {check.name for check in expected.checks}
        for check in stands.checks:
            if check.enforced and check.name not in names:
                # every column of a check stands between backticks in the catalogue's text
                columns = tuple(c for c in stands.column_names if f"`{c}`" in check.expression)
                if columns and set(columns) <= copied:
                    yield rule(columns, check)


def leftover(link: Link) -> LocalRule | None:
    """That none of the link's part rows stand without their master row; None without parts."""
    parts = link.local.tables[1 : len(link.definition.tables)]
    if not parts:
        return None
    key = link.local.key
    return LocalRule(link.definition, link.local, key, key, Leftover(link.local, parts))


def _quoted_name(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _whole(index: Index, of: TableDefinition) -> tuple[str, ...]:
    """The columns of an index over whole columns, none for another."""
    columns = tuple(p.column for p in index.parts if p.column is not None and p.length is None)
    if len(columns) != len(index.parts):
        return ()
    long = any(of.column(c).base_type in TEXTS_AND_BLOBS | {"json"} for c in columns)
    return () if long else columns
