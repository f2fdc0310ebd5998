"""A link: one source table, its outbound table and its local table, resolved against the servers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from djlink_manifest.errors import Location
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.model.tables.naming import APPROVED, REQUESTED, class_name


@dataclass(frozen=True, slots=True)
class Limit:
    """`max_deletions`: a number of entities, or a percentage of the link's; never less than 1 entity."""

    value: float
    percent: bool

    def entities(self, of: int) -> int:
        """How many entities of a link that has so many."""
        return max(1, int(self.value * of / 100 if self.percent else self.value))


@dataclass(frozen=True, slots=True)
class Growth:
    """How many rows of a link may come beyond those of a plan: a number, or a percentage of source rows."""

    value: float
    percent: bool

    def rows(self, of: int) -> int:
        """How many for a link with so many rows at the source."""
        return int(self.value * of / 100 if self.percent else self.value)


DEFAULT_LIMIT = Limit(5.0, percent=True)
AS_SOURCE = "source"  # the value of `collation` that leaves text columns as the source has them


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of the link's master or of one of its parts to a table of a linked parent.

    `child_table` and `parent_table` name the tables on the source server; `parent` is the parent link's
    address. `parent_columns` are the parent table's primary key, `columns` the child's columns in the same
    order. Where one of the `nullable` columns is NULL, the reference holds nothing.
    """

    child_table: str
    columns: tuple[str, ...]
    nullable: tuple[str, ...]
    parent: str
    parent_table: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Former:
    """Where a link was before, as an entry of `moved` at `location` says.

    `table` is a class or the name of a table, as the entry has it, or the present name.
    """

    source: str
    schema: str
    table: str
    location: Location

    @property
    def address(self) -> str:
        """The address that the link had."""
        return f"{self.source}.{self.schema}.{class_name(self.table)}"

    def names(self, schema: str, table: str) -> bool:
        """Whether it names this table of a source."""
        return schema == self.schema and self.table in (table, class_name(table))


@dataclass(frozen=True, slots=True)
class Link:
    """One source table brought to the local server.

    `definition` is the source table as its server has it; `local` the table as it shall stand on the local
    server; `references` the foreign keys to linked parents; `plain` those to tables that are not linked, as
    `schema.table` names, which become plain columns; `loose` says in words which other foreign keys become
    plain columns, because they close a circle; `unseen` those of `plain` that the link user may not
    read, each with the GRANT that lets it be linked; `notes` what is otherwise on the local server, in words;
    `most_deletions` how many entities may go in 24 hours without a review; `stores` where its external
    objects go, as pairs of a source store and a local one, empty where it has none; `dropped_parts` the
    parts, as the source named them, of which the manifest says that the source dropped them; `formers` the
    places that it had before, and `former_schemas` the local schemas that its tables may stand in still;
    `collation` is that of the local text columns, or `source`.
    """

    address: str
    source: str
    definition: TableDefinition
    local: TableDefinition
    outbound_schema: str
    outbound_table: str
    references: tuple[Reference, ...]
    plain: tuple[str, ...]
    where: Condition | None
    pull: Literal["all", "needed", "none"]
    unwanted: Literal["keep", "release"]
    deletions: Literal["review", "auto"]
    location: Location
    changed: Literal["report", "mend"] = "report"
    collation: str = AS_SOURCE
    unseen: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    most_deletions: Limit = DEFAULT_LIMIT
    stores: tuple[tuple[str, str], ...] = ()
    loose: tuple[str, ...] = ()
    dropped_parts: tuple[str, ...] = ()
    formers: tuple[Former, ...] = ()
    former_schemas: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's column names, in key order; the same on the source, outbound and local table."""
        return self.definition.key

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The primary key's columns, in key order."""
        return self.definition.key_columns

    @property
    def tables(self) -> tuple[tuple[TableDefinition, TableDefinition], ...]:
        """The master, then each part: as the source has it and as it stands here."""
        return tuple(zip(self.definition.tables, self.local.tables, strict=False))

    def without_parts(self, names: Collection[str]) -> Link:
        """The link as if its source had no parts of these local names, nor what hangs on them."""
        pairs = [
            (part, local)
            for part, local in zip(self.definition.parts, self.local.parts, strict=False)
            if local.name not in names
        ]
        definition = replace(self.definition, parts=tuple(part for part, _ in pairs))
        lost = {local.name for part, local in pairs if definition.master_columns(part) is None}
        if lost:
            return self.without_parts({*names, *lost})
        left = {self.definition.name, *(part.name for part, _ in pairs)}
        local = (*(local for _, local in pairs), self.local.parts[-1])
        return replace(
            self,
            definition=definition,
            local=replace(self.local, parts=local),
            references=tuple(r for r in self.references if r.child_table in left),
        )

    @property
    def requested_table(self) -> str:
        """The table of deletion requests, in the outbound schema."""
        return self.outbound_table + REQUESTED

    @property
    def approved_table(self) -> str:
        """The table of deletion approvals, in the outbound schema."""
        return self.outbound_table + APPROVED


def copied_columns(source_table: TableDefinition, local_table: TableDefinition) -> tuple[Column, ...]:
    """The source's columns whose values are written here: all but those computed by the local table."""
    return tuple(c for c in source_table.columns if local_table.column(c.name).generated is None)


def not_pulled(parent: str, parents: Collection[str]) -> str:
    """Say why an entity is skipped with its parent; the class name stands for it if unique in `parents`."""
    name = parent.rpartition(".")[2]
    alike = [other for other in parents if other.rpartition(".")[2] == name]
    return f"their {name if len(alike) < 2 else parent} is not pulled"
