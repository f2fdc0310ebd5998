"""Which entities of a server hang on which: foreign keys between masters with their parts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.model.server.catalog import Catalog, TableName
from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.model.tables.derive import same_entity


@dataclass(frozen=True, slots=True)
class Tie:
    """A foreign key by which entities of `child` hang on entities of `parent`.

    `table` is the child's master or part that has the key, `named` the parent's master or part that it names.
    `own` are the columns of `table` that hold the child's primary key, `parent_own` those of `named` that
    hold the parent's.
    """

    child: TableName
    table: TableDefinition
    own: tuple[str, ...]
    key: ForeignKey
    parent: TableName
    named: TableDefinition
    parent_own: tuple[str, ...]

    @property
    def optional(self) -> tuple[str, ...]:
        """The columns of the key that may be NULL, so that the row refers to nothing."""
        return tuple(c.name for c in self.table.columns if c.name in self.key.columns and c.nullable)

    @property
    def direct(self) -> tuple[str, ...] | None:
        """The columns of `table` that hold the parent's primary key; None where only `named` has it."""
        pairs = dict(zip(self.key.parent_columns, self.key.columns, strict=True))
        return (
            tuple(pairs[name] for name in self.parent_own) if pairs.keys() >= set(self.parent_own) else None
        )


def entities(catalog: Catalog, schemas: Iterable[str]) -> dict[TableName, TableDefinition]:
    """The tables of these schemas that have rows of their own, with their parts, by schema and name."""
    return {
        (schema, each.name): each
        for schema in sorted(schemas)
        for each in catalog.masters(schema)
        if each.kind == "table" and each.key
    }


def ties(masters: Mapping[TableName, TableDefinition]) -> tuple[Tie, ...]:
    """Every foreign key between two entities, also of one table. A part's key to its own master is none."""
    home = {(t.schema, t.name): place for place, master in masters.items() for t in master.tables}
    return tuple(
        tie
        for place, master in masters.items()
        for table in master.tables
        for key in table.foreign_keys
        if (tie := _tie(place, table, key, masters, home)) is not None
    )


def children_first(places: Collection[TableName], keys: Iterable[Tie]) -> list[TableName]:
    """The tables in an order in which what hangs on others comes before them; a circle in that of names."""
    left, pairs = set(places), {(t.parent, t.child) for t in keys if t.parent != t.child}
    ordered = list[TableName]()
    while left:
        bound = {parent for parent, child in pairs if child in left}
        free = sorted(left - bound) or sorted(left)
        ordered += free
        left -= set(free)
    return ordered


def cut(keys: Sequence[Tie]) -> tuple[Tie, ...]:
    """The keys that are in a circle of several tables and may be NULL.

    No order of the tables lets rows of a circle be deleted before such a key of theirs was set to NULL.
    """
    return tuple(t for t in keys if t.optional and t.child != t.parent and t.parent in below(t.child, keys))


def own_columns(master: TableDefinition, table: TableDefinition) -> tuple[str, ...] | None:
    """The columns of a master or of one of its parts that hold the master's primary key."""
    return master.key if table.name == master.name else master.master_columns(table)


def below(root: TableName, keys: Sequence[Tie]) -> set[TableName]:
    """The table and all those whose entities may hang on its own, near and far."""
    found, new = {root}, {root}
    while new:
        new = {t.child for t in keys if t.parent in new} - found
        found |= new
    return found


def _tie(
    place: TableName,
    table: TableDefinition,
    key: ForeignKey,
    masters: Mapping[TableName, TableDefinition],
    home: Mapping[TableName, TableName],
) -> Tie | None:
    parent = home.get((key.parent_schema, key.parent_table))
    master = masters[place]
    if parent is None or (parent == place and same_entity(master, table, key)):
        return None
    named = next(t for t in masters[parent].tables if t.name == key.parent_table)
    own, parent_columns = own_columns(master, table), own_columns(masters[parent], named)
    return (
        None
        if own is None or parent_columns is None
        else Tie(place, table, own, key, parent=parent, named=named, parent_own=parent_columns)
    )
