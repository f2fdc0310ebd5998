"""From a source table's definition: the outbound tables beside it and the local table that receives."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from djlink_manifest.model.tables.compare import key_shape
from djlink_manifest.model.tables.definition import Check, Column, ForeignKey, TableDefinition
from djlink_manifest.model.tables.naming import (
    APPROVED,
    CONSTRAINT,
    HISTORY,
    LOCAL_REQUESTED_PART,
    REQUESTED,
    constraint_name,
    plain_name,
    shortened,
)
from djlink_manifest.model.tables.parts import parents_first

_DJLINKS_KEY = re.compile(rf"{CONSTRAINT}[0-9a-f]{{16}}")
TEXT_CHARSET, TEXT_COLLATION = (
    "utf8mb4",
    "utf8mb4_bin",
)  # djlink's own texts: on every server, merging nothing


@dataclass(frozen=True, slots=True)
class LinkedTable:
    """A table of a linked source (its master or a part): its primary key, and where it stands locally."""

    address: str
    key: tuple[str, ...]
    local_schema: str
    local_table: str


def local_definition(
    source: TableDefinition,
    schema: str,
    linked: Mapping[tuple[str, str], LinkedTable],
    loose: Collection[tuple[str, str, str]] = (),
) -> tuple[TableDefinition, tuple[str, ...]]:
    """The local table with its parts and `DeletionRequested`, and the source tables whose keys become plain.

    `linked` holds every linked source table of the same server by (schema, table). Columns lose
    AUTO_INCREMENT; foreign keys stay where they name the primary key of a linked table, or, from a part, the
    same entity. `loose` names foreign keys by schema, table and name that become plain columns all the same.
    A part that would be left without a way to its master gets a foreign key to it.
    """
    plain = set[str]()
    tables = []
    reaching = {source.name}
    _, closing = parents_first(source.parts)
    for table in source.tables:
        name = plain_name(table.name)
        keys = list[ForeignKey]()
        for key in table.foreign_keys:
            if (table.schema, table.name, key.name) in loose:
                continue
            target = None if (table.name, key.name) in closing else _target(source, table, key, linked)
            if target is None:
                if (key.parent_schema, key.parent_table) not in linked:
                    plain.add(f"{key.parent_schema}.{key.parent_table}")
                continue
            words = (schema, name, *key.columns, *target, *key.parent_columns)
            kept = replace(key, name=constraint_name(*words), parent_schema=target[0], parent_table=target[1])
            if kept.name not in {k.name for k in keys}:  # a server takes the same foreign key twice
                keys.append(kept)
                if key.parent_schema == source.schema and key.parent_table in reaching:
                    reaching.add(table.name)
        own = source.master_columns(table) if table.name not in reaching else None
        if own is not None:
            words = (schema, name, *own, plain_name(source.name), *source.key)
            to_master = (schema, plain_name(source.name), source.key)
            keys.append(ForeignKey(constraint_name(*words), own, *to_master))
            reaching.add(table.name)
        tables.append(
            replace(
                table,
                schema=schema,
                name=name,
                columns=tuple(replace(c, auto_increment=False) for c in table.columns),
                foreign_keys=tuple(keys),
                checks=tuple(_with_local_names(check, schema, name) for check in table.checks),
                parts=(),
            )
        )
    master, *parts = tables
    return replace(master, parts=(*parts, _local_requested(master))), tuple(sorted(plain))


def circle_notes(source: TableDefinition) -> tuple[str, ...]:
    """The foreign keys that become plain columns because parts refer to each other in a circle, in words."""
    _, closing = parents_first(source.parts)
    return tuple(
        f"{part.name}.{', '.join(key.columns)}: plain columns locally, because this foreign key to "
        f"{key.parent_table} closes a cycle of parts"
        for part in source.parts
        for key in part.foreign_keys
        if (part.name, key.name) in closing
    )


def outbound_definitions(source: TableDefinition, schema: str, base: str) -> tuple[TableDefinition, ...]:
    """The outbound table, its requests, its approvals and its ledger, in the order they are made."""
    return _outbound_definitions(source, schema, base)


@lru_cache(maxsize=4096)  # a plan asks several times for each link
def _outbound_definitions(source: TableDefinition, schema: str, base: str) -> tuple[TableDefinition, ...]:
    keys = tuple(_key_copy(c) for c in source.key_columns)
    now = Column("", "timestamp", default="CURRENT_TIMESTAMP", default_is_expression=True)
    # an approval covers requests up to a moment: a second is too long for one
    exactly = replace(now, type="timestamp(6)", default="CURRENT_TIMESTAMP(6)")

    def beside(suffix: str, extra: tuple[Column, ...], on_delete: str) -> TableDefinition:
        name = base + suffix
        to_source = ForeignKey(
            constraint_name(schema, name),
            source.key,
            source.schema,
            source.name,
            source.key,
            on_delete=on_delete,
        )
        return TableDefinition(
            schema, name, (*keys, *extra), source.key, foreign_keys=(to_source,), collation=TEXT_COLLATION
        )

    def named(column: Column, name: str) -> Column:
        return replace(column, name=extra_name(source, name))

    maybe = Column("", "timestamp", nullable=True)
    who = _text("", "varchar(288)")
    requested_at = replace(who, default="user()", default_is_expression=True)
    entry = extra_name(source, "djlink_entry")
    ledger = (
        Column(entry, "bigint unsigned", auto_increment=True),
        *keys,
        named(_text("", "varchar(32)"), "event"),
        named(requested_at, "who"),
        named(_text("", "varchar(1000)", default=""), "reason"),
        named(exactly, "at"),
    )
    return (
        beside("", (named(now, "pulled_at"),), "RESTRICT"),
        beside(
            REQUESTED,
            (
                named(exactly, "requested_at"),
                named(requested_at, "requested_by"),
                named(_text("", "varchar(1000)", default=""), "reason"),
                named(maybe, "granted_at"),
                named(replace(who, nullable=True), "granted_by"),
            ),
            "CASCADE",
        ),
        beside(APPROVED, (named(now, "approved_at"), named(requested_at, "approved_by")), "CASCADE"),
        TableDefinition(schema, base + HISTORY, ledger, (entry,), collation=TEXT_COLLATION),
    )


def _with_local_names(check: Check, schema: str, table: str) -> Check:
    """The check under a name that no other has in the schema, as MySQL asks; another text, another name."""
    return replace(check, name=constraint_name(schema, table, check.name, check.expression))


def extra_name(source: TableDefinition, name: str) -> str:
    """The name of one of djlink's columns beside a source's key, which may hold a column of that name."""
    return beside_key(source.key, name)


def beside_key(key: Sequence[str], name: str) -> str:
    """The name of one of djlink's columns beside a key, which may hold a column of that name."""
    taken = {column.lower() for column in key}  # column names do not differ by case alone
    while name.lower() in taken:
        name = f"djlink_{name}"
    return name


def requested_part_name(local_master: str) -> str:
    """The local part that shows deletion requests."""
    return shortened(f"{local_master}__{LOCAL_REQUESTED_PART}")


def is_requested_part(table: TableDefinition, master: TableDefinition) -> bool:
    """Whether a table is the part that a djlink made to show deletion requests, of a local table of its own.

    Its form says so, by the name of its foreign key above all, and not its name alone. A schema that was
    renamed changes nothing of it.
    """
    if table.name != requested_part_name(master.name):
        return False
    expected = _local_requested(master)
    return (
        table.kind == "table"
        and table.column_names == expected.column_names
        and table.key == expected.key
        and len(table.foreign_keys) == 1
        and _DJLINKS_KEY.fullmatch(table.foreign_keys[0].name) is not None
        and key_shape(table.foreign_keys[0]) == key_shape(expected.foreign_keys[0])
    )


def _target(
    source: TableDefinition,
    table: TableDefinition,
    key: ForeignKey,
    linked: Mapping[tuple[str, str], LinkedTable],
) -> tuple[str, str] | None:
    """The local (schema, table) that the foreign key shall name, or None where it becomes plain columns."""
    parent = (key.parent_schema, key.parent_table)
    found = linked.get(parent)
    if found is None or set(key.parent_columns) != set(found.key):
        return None
    own = {(t.schema, t.name) for t in source.tables}
    if parent in own and not same_entity(source, table, key):
        return None
    return found.local_schema, found.local_table


def same_entity(source: TableDefinition, table: TableDefinition, key: ForeignKey) -> bool:
    """Whether a foreign key between tables of one link stays within the entity: part to master or to part."""
    if table is source:
        return False
    own_columns = source.master_columns(table)
    if (key.parent_schema, key.parent_table) == (source.schema, source.name):
        return own_columns is not None and dict(zip(key.parent_columns, key.columns, strict=True)) == dict(
            zip(source.key, own_columns, strict=True)
        )
    sibling = next(p for p in source.parts if (p.schema, p.name) == (key.parent_schema, key.parent_table))
    if sibling is table:
        return False
    sibling_columns = source.master_columns(sibling)
    pairs = dict(zip(key.parent_columns, key.columns, strict=True))
    return (
        own_columns is not None
        and sibling_columns is not None
        and all(pairs.get(a) == b for a, b in zip(sibling_columns, own_columns, strict=True))
    )


def _local_requested(master: TableDefinition) -> TableDefinition:
    name = requested_part_name(master.name)
    key = ForeignKey(
        constraint_name(master.schema, name),
        master.key,
        master.schema,
        master.name,
        master.key,
        on_delete="CASCADE",
    )
    extra = (
        Column(extra_name(master, "requested_at"), "timestamp", nullable=True),
        replace(_text(extra_name(master, "requested_by"), "varchar(288)"), default=""),
        replace(_text(extra_name(master, "reason"), "varchar(1000)"), default=""),
    )
    return TableDefinition(
        master.schema,
        name,
        (*(_key_copy(c) for c in master.key_columns), *extra),
        master.key,
        foreign_keys=(key,),
        comment="entities whose deletion the source requests",
        collation=TEXT_COLLATION,
    )


def _key_copy(column: Column) -> Column:
    """A key column as another table's key: the type, charset and collation alone, so that keys stay equal."""
    return replace(
        column,
        nullable=False,
        default=None,
        default_is_expression=False,
        on_update=None,
        auto_increment=False,
        generated=None,
        stored=False,
        invisible=False,
        srid=None,
    )


def _text(name: str, type_: str, default: str | None = None) -> Column:
    return Column(name, type_, default=default, charset=TEXT_CHARSET, collation=TEXT_COLLATION)
