"""Columns, indexes and foreign keys, read for all schemas at once; every value is checked."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import Column, ForeignKey, Index, IndexPart, TableDefinition
from djlink_manifest.servers.catalog.check_constraints import Checks
from djlink_manifest.servers.dialects import ColumnFacts
from djlink_manifest.servers.session.checked_values import (
    BadValue,
    Faults,
    as_choice,
    as_int,
    as_name,
    as_optional_int,
    as_optional_text,
    as_optional_word,
    as_text,
    as_type,
    as_value,
)
from djlink_manifest.servers.session.session import Row, Session
from djlink_manifest.servers.sql import Sql, sql

KINDS = frozenset({"BTREE", "HASH", "RTREE", "FULLTEXT", "SPATIAL", "VECTOR"})
RULES = frozenset({"RESTRICT", "CASCADE", "SET NULL", "NO ACTION", "SET DEFAULT"})
SPATIAL_TYPES = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection"}
)
TEXT_TYPES = frozenset(
    {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json", "xmltype"}
)
LONGEST_PREFIX = 1 << 16
_NOW = re.compile(r"CURRENT_TIMESTAMP(?:\(\d?\))?")

_COLUMNS = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA,
       CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT, GENERATION_EXPRESSION, {}
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN ({})
ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""

_INDEXES = """
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, {}, NON_UNIQUE, COLLATION,
       INDEX_TYPE, {}
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA IN ({})
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""

# KEY_COLUMN_USAGE shows a foreign key also where the account has no right on its parent; the rules do not.
# They are joined here: the servers take seconds for it where there are thousands of keys.
_FOREIGN_KEYS = """
SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA,
       REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA IN ({}) AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"""

_RULES = """
SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, DELETE_RULE, UPDATE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA IN ({})"""


def read_columns(
    session: Session, listed: Sql, checks: Checks, faults: Faults
) -> defaultdict[TableName, list[Column]]:
    """The columns of each table, in order."""
    dialect = session.dialect
    found = defaultdict[TableName, list[Column]](list)
    for schema, table, *row in session.rows(sql(_COLUMNS, Sql(dialect.SRID), listed)):
        place = faults.place(schema, table)
        if place is None:
            continue
        with faults.of(place):
            facts = _facts(row)
            column = dialect.column(facts, (*place, facts.name) in checks.json)
            as_type(column.type, f"a column `{facts.name}`")
            if column.on_update is not None and not _NOW.fullmatch(column.on_update):
                raise BadValue(f"has a column `{facts.name}` with an invalid ON UPDATE")
            if column.srid is not None and column.base_type not in SPATIAL_TYPES:
                raise BadValue(f"has a column `{facts.name}` with an invalid spatial system")
            if (column.charset or column.collation) and column.base_type not in TEXT_TYPES:
                raise BadValue(f"has a column `{facts.name}` with an invalid character set")
            found[place].append(column)
    return found


def _facts(row: Sequence[object]) -> ColumnFacts:
    name, type_, nullable, default, extra, charset, collation, comment, generation, srid = row
    named = as_name(name, "a column of a name")
    of = f"of its column `{named}`"
    return ColumnFacts(
        named,
        as_text(type_, f"a type {of}"),
        as_choice(nullable, f"an IS_NULLABLE {of}", ("YES", "NO")) == "YES",
        default=as_value(default, f"a default {of}"),
        extra=as_text(extra or "", f"an EXTRA {of}"),
        charset=as_optional_word(charset, f"a character set {of}"),
        collation=as_optional_word(collation, f"a collation {of}"),
        comment=as_value(comment, f"a comment {of}") or "",
        generation=as_optional_text(generation, f"an expression {of}"),
        srid=as_optional_int(srid, f"a spatial system {of}", most=(1 << 32) - 1),
    )


@dataclass(slots=True)
class Indexes:
    """Secondary indexes and primary keys by table, and the tables whose primary key is over a prefix."""

    of: defaultdict[TableName, list[Index]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[TableName, tuple[str, ...]] = field(default_factory=dict)
    prefixed: set[TableName] = field(default_factory=set)


def read_indexes(session: Session, listed: Sql, faults: Faults) -> Indexes:
    """All indexes of the schemas."""
    parts = defaultdict[tuple[str, str, str], list[IndexPart]](list)
    facts: dict[tuple[str, str, str], tuple[bool, str, bool]] = {}
    dialect = session.dialect
    condition = sql(_INDEXES, Sql(dialect.INDEX_EXPRESSION), Sql(dialect.UNUSED_INDEX), listed)
    for schema, table, name, *row in session.rows(condition):
        place = faults.place(schema, table)
        if place is None:
            continue
        with faults.of(place):
            index = (*place, as_name(name, "an index of a name"))
            part, facts[index] = _index_part(session, index[2], row)
            parts[index].append(part)
    found = Indexes()
    for (schema, table, name), members in parts.items():
        place = (schema, table)
        if name == "PRIMARY":
            with faults.of(place):
                found.keys[place] = tuple(as_name(p.column, "a primary key over a column") for p in members)
            if any(p.length is not None for p in members):
                found.prefixed.add(place)
        else:
            found.of[place].append(Index(name, tuple(members), *facts[schema, table, name]))
    return found


def _index_part(
    session: Session, name: str, row: Sequence[object]
) -> tuple[IndexPart, tuple[bool, str, bool]]:
    """One column or expression of an index; and of the index: whether unique, its kind, whether unused."""
    column, length, expression, non_unique, collation, kind, unused = row
    of = f"in its index `{name}`"
    kind = as_choice(kind, f"an index type {of}", KINDS)
    text = as_optional_text(expression, f"an expression {of}")
    if (column is None) == (not text):
        raise BadValue(f"has a part {of} that is neither column nor expression")
    named = None if column is None else as_name(column, f"a column {of}")
    # a spatial index has a length here that no DDL takes
    prefix = as_optional_int(length, f"a SUB_PART {of}", 1, LONGEST_PREFIX)
    descending = collation is not None and as_choice(collation, f"an order {of}", ("A", "D")) == "D"
    part = IndexPart(
        named,
        session.dialect.expression(text) if text else None,
        None if kind == "SPATIAL" else prefix,
        descending,
    )
    unique = not as_int(non_unique, f"a NON_UNIQUE {of}", 0, 1)
    return part, (unique, kind, bool(as_int(unused, f"a visibility {of}", 0, 1)))


def read_foreign_keys(
    session: Session, listed: Sql, faults: Faults
) -> defaultdict[TableName, list[ForeignKey]]:
    """All foreign keys of the schemas; the rules are RESTRICT where the account does not see them."""
    grouped = defaultdict[tuple[str, str, str], list[Row]](list)
    found = defaultdict[TableName, list[ForeignKey]](list)
    for schema, table, name, *row in session.rows(sql(_FOREIGN_KEYS, listed)):
        place = faults.place(schema, table)
        if place is not None:
            with faults.of(place):
                named = as_name(name, "a foreign key of a name")
                where = (*place, named)
                names = tuple(as_name(each, f"a name in its key `{named}`") for each in row)
                grouped[where].append(names)
    rules = dict[tuple[str, str, str], tuple[object, object]]()
    for schema, table, name, *pair in session.rows(sql(_RULES, listed)):
        place = faults.place(schema, table)
        if place is not None and isinstance(name, str):
            where = (*place, name)
            rules[where] = (pair[0], pair[1])
    for (schema, table, name), rows in grouped.items():
        place = (schema, table)
        with faults.of(place):
            on_delete, on_update = (
                "RESTRICT" if rule is None else as_choice(rule, f"a rule of its key `{name}`", RULES)
                for rule in rules.get((schema, table, name), (None, None))
            )
            key = ForeignKey(
                name,
                tuple(r[0] for r in rows),
                rows[0][1],
                rows[0][2],
                tuple(r[3] for r in rows),
                on_delete=on_delete,
                on_update=on_update,
            )
            if len({r[1:3] for r in rows}) > 1 or _doubled(key.columns) or _doubled(key.parent_columns):
                raise BadValue(f"has an invalid foreign key `{name}`")
            found[place].append(key)
    return found


def respelled(keys: Sequence[ForeignKey], columns: Sequence[Column]) -> tuple[ForeignKey, ...]:
    """The foreign keys with their columns spelled as the columns are: case does not tell names apart."""
    names = {c.name.lower(): c.name for c in columns}
    return tuple(replace(k, columns=tuple(names.get(n.lower(), n) for n in k.columns)) for k in keys)


def check_whole(table: TableDefinition) -> None:
    """Raise BadValue where the parts of a definition do not fit each other.

    A primary key over columns that are not shown is left to who reads it: the account lacks a right.
    """
    if _doubled(table.column_names):
        raise BadValue("has two columns of one name")
    if _doubled(table.key):
        raise BadValue("has a column twice in its primary key")
    if not table.columns:
        return
    names = {name.lower() for name in table.column_names}
    for key in table.foreign_keys:
        if not set(key.columns) <= set(table.column_names):
            raise BadValue(f"has a foreign key `{key.name}` on columns that the account cannot see")
    for index in table.indexes:
        if not {p.column.lower() for p in index.parts if p.column is not None} <= names:
            raise BadValue(f"has an index `{index.name}` on columns that the account cannot see")


def _doubled(names: Sequence[str]) -> bool:
    return len({name.lower() for name in names}) < len(names)
