"""What a server says of itself and of its tables, as values: identity, rights, tables, marks."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from djlink_manifest.model.server.rights import Grant, missing, shows_all
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.model.tables.derive import is_requested_part
from djlink_manifest.model.tables.naming import is_hidden, master_of
from djlink_manifest.model.tables.parts import parents_first, parts_among

TableName = tuple[str, str]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/djlink-manifest/")


@dataclass(frozen=True, slots=True)
class Version:
    """A server's vendor and version, as it says itself."""

    vendor: str
    text: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What a server says of itself and of the account. `fingerprint` tells two servers apart.

    `uuid` is its own word for itself: MySQL's server_uuid, MariaDB's server_uid; empty where it has none.
    `literal_names`: in its GRANTs `_` and `%` of a schema stand for themselves (MySQL's partial_revokes).
    """

    version: Version
    account: str
    hostname: str
    port: int
    datadir: str
    max_allowed_packet: int
    uuid: str = ""
    literal_names: bool = False


@dataclass(frozen=True, slots=True)
class MadeTable:
    """A local table as djlink made it: its columns, None for one of which a mark gives the name alone.

    `comment` is the table's, None where the mark does not say.
    """

    columns: Mapping[str, Column | None]
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """One link as its mark says. `table_name` is the marked table in the mark's own schema.

    `fingerprint` is of the local server; `definition` the digest of the source's definition once all tables
    of this side were made, None before; `holder` says who applies, or applied last.

    Of a local mark alone: `refill` is the digest of the definition that the local tables are being brought
    to, None where no refill is due; `made` the local tables as djlink made them, by name, None in marks of a
    version that did not write it; `remade` tells that the local master table had to be made anew
    and that the rows which outbound holds are not all back yet; `moved_from` names the local schema and table
    from which tables are being brought here, None where none are; `check_names` what checks of tables that
    moved are called, by the names that they would have had.
    """

    link_id: str
    table_name: str
    manifest: str
    contact: str
    source_schema: str
    source_table: str
    outbound_schema: str
    outbound_table: str
    local_server: str
    local_schema: str
    local_table: str
    fingerprint: str
    definition: str | None = None
    holder: str | None = None
    refill: str | None = None
    made: Mapping[str, MadeTable] | None = None
    remade: bool = False
    epoch: str | None = None
    epoch_next: str | None = None
    identity: str | None = None
    moved_from: TableName | None = None
    check_names: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """The server's own estimate of a table: rows, and bytes of its rows."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a server says of the schemas asked for.

    `tables` holds single tables, parts too, by (schema, name); `all_schemas` every schema that the account
    sees; `marks` the rows of the `~djlink` tables by schema; `grants` the account's own rights; `collations`
    the character sets of the local server's collations, those that were asked for; `definers` the account by
    whose rights each view works; `foreign_marks` says of schemas why their `~djlink` is not djlink's; `named`
    are tables that DataJoint's lineage names in schemas of which the account sees single tables; `settings`
    are global variables, by name.
    """

    server: str
    identity: ServerIdentity
    all_schemas: frozenset[str]
    tables: Mapping[TableName, TableDefinition]
    sizes: Mapping[TableName, Size]
    marks: Mapping[str, tuple[Mark, ...]]
    grants: tuple[Grant, ...]
    collations: Mapping[str, str]
    definers: Mapping[TableName, str] = field(default_factory=dict)
    foreign_marks: Mapping[str, str] = field(default_factory=dict)
    named: frozenset[TableName] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)
    _marked: Mapping[TableName, Mark] = field(init=False, repr=False, compare=False)
    _named_as_parts: Mapping[TableName, Sequence[str]] = field(init=False, repr=False, compare=False)
    _hidden_parts: Mapping[TableName, Sequence[str]] = field(init=False, repr=False, compare=False)
    _constraints: Mapping[TableName, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort what every link asks for, so that a thousand of them do not each look through all tables."""
        marked = {(schema, m.table_name): m for schema, marks in self.marks.items() for m in reversed(marks)}
        named = defaultdict[TableName, list[str]](list)
        for schema, name in sorted(self.tables):
            master = master_of(name)
            if master is not None:
                named[schema, master].append(name)
        constraints = dict[TableName, str]()
        for (schema, name), table in self.tables.items():
            constraints |= {(schema, key.name): name for key in table.foreign_keys}
            constraints |= {(schema, check.name): name for check in table.checks}
        object.__setattr__(self, "_constraints", constraints)
        object.__setattr__(self, "_marked", marked)
        object.__setattr__(self, "_named_as_parts", dict(named))
        object.__setattr__(self, "_hidden_parts", self._find_hidden_parts())

    def mark(self, schema: str, table: str) -> Mark | None:
        """The mark of a table, in the schema that the table is in; None where it has none."""
        return self._marked.get((schema, table))

    def constraint_of(self, schema: str, name: str) -> str | None:
        """The table of a schema that has a foreign key or a check of that name; None where none has."""
        return self._constraints.get((schema, name))

    def protected(self, mark: Mark) -> TableName:
        """The source table whose rows the mark's outbound table protects.

        A foreign key follows a table that is renamed. Where there is none, the one that the mark names.
        """
        outbound = self.tables.get((mark.outbound_schema, mark.outbound_table))
        keys = outbound.foreign_keys if outbound is not None else ()
        before = (mark.source_schema, mark.source_table)
        place = next(((k.parent_schema, k.parent_table) for k in keys), before)
        return before if same_place(place, before) else place

    def named_as_parts(self, schema: str, master: str) -> Sequence[str]:
        """The tables that have names like parts of that master, sorted."""
        return self._named_as_parts.get((schema, master), ())

    def is_partial(self, schema: str) -> bool:
        """Whether the account sees only the tables of a schema that it was granted one by one.

        Of such a schema a table that is not seen may exist.
        """
        return not shows_all(self.grants, schema)

    def hidden_parts(self, schema: str, master: str) -> Sequence[str]:
        """Tables that have names like parts of that master, are known, and that the account cannot read.

        Foreign keys of tables that are seen name them, or DataJoint's lineage does, or they are seen without
        their foreign keys; in schemas that are seen in part alone.
        """
        return self._hidden_parts.get((schema, master), ())

    def _find_hidden_parts(self) -> Mapping[TableName, Sequence[str]]:
        partial = {schema for schema, _ in self.tables if self.is_partial(schema)}
        if not partial:
            return {}
        known = {
            (key.parent_schema, key.parent_table)
            for table in self.tables.values()
            for key in table.foreign_keys
        }
        unread = {
            place
            for place in self.tables
            if place[0] in partial and missing(self.grants, ("SELECT",), *place)
        }
        found = defaultdict[TableName, list[str]](list)
        for schema, name in sorted((known | self.named) - self.tables.keys() | unread):
            master = master_of(name)
            if master is not None and schema in partial:
                found[schema, master].append(name)
        return dict(found)

    def masters(self, schema: str) -> tuple[TableDefinition, ...]:
        """The schema's tables with their parts, by name; hidden tables are left out.

        So is the part that shows deletion requests where djlink made the table (`is_requested_part`): it is
        no part of the entity. A table is a part where its name says so and it refers to its master, directly
        or over other parts; of one that is unreadable its name decides.
        """
        in_schema = {name: t for (s, name), t in self.tables.items() if s == schema and not is_hidden(name)}
        refers = {
            (name, key.parent_table)
            for name, t in in_schema.items()
            for key in t.foreign_keys
            if key.parent_schema == schema
        }
        unreadable = (name for name, t in in_schema.items() if t.unreadable is not None and t.kind == "table")
        refers.update((name, master) for name in unreadable if (master := master_of(name)) is not None)
        masters = parts_among(in_schema.keys(), refers)
        parts = defaultdict[str, list[TableDefinition]](list)
        for name, master in masters.items():
            parts[master].append(in_schema[name])
        alone = (table for name, table in sorted(in_schema.items()) if name not in masters)
        return tuple(_with_parts(table, parts[table.name]) for table in alone)


def _with_parts(master: TableDefinition, parts: list[TableDefinition]) -> TableDefinition:
    entity = [part for part in parts if not is_requested_part(part, master)]
    return replace(master, parts=parents_first(entity)[0])


def same_place(one: TableName, other: TableName) -> bool:
    """Whether two names are of one table: some servers tell foreign keys' parents in small letters."""
    return [name.lower() for name in one] == [name.lower() for name in other]


def fingerprint(identity: ServerIdentity) -> str:
    """What tells the local server from a copy of it: SHA-256 of its host name, port, folder and uuid."""
    words = f"{identity.hostname}\0{identity.port}\0{identity.datadir}"
    words += f"\0{identity.uuid}" if identity.uuid else ""
    return hashlib.sha256(words.encode()).hexdigest()


def link_id(manifest: str, local_fingerprint: str, source: tuple[str, str], outbound_schema: str) -> str:
    """The id of a link, the same in every run: two first applies of one manifest meet at its lock.

    `source` is the source table's (schema, name).
    """
    return str(uuid.uuid5(_NAMESPACE, "\0".join((manifest, local_fingerprint, *source, outbound_schema))))
