"""Catalogues: what tables a server has, read from information_schema in a few statements for all schemas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from djlink_manifest.model.catalog import Catalog, Size, TableName
from djlink_manifest.model.definition import Column, ForeignKey, Index, IndexPart, TableDefinition
from djlink_manifest.model.naming import MARKS
from djlink_manifest.model.rights import parse_grants
from djlink_manifest.servers.checks import Checks, read_checks
from djlink_manifest.servers.connection import Row, Session, first_values
from djlink_manifest.servers.defaults import is_doubtful, whole_defaults
from djlink_manifest.servers.dialects import ColumnFacts
from djlink_manifest.servers.marks import read_marks
from djlink_manifest.servers.sql import Sql, comma, sql
from djlink_manifest.servers.views import read_definers


def read_catalog(session: Session, schemas: Iterable[str]) -> Catalog:
    """Read the catalogue of these schemas; schemas that do not exist are simply absent.

    Without collations, which the local server alone is asked for (`read_collations`).
    """
    everything = {
        str(name)
        for name in first_values(session.rows(sql("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")))
    }
    asked = sorted(set(schemas) & everything)
    grants = parse_grants(str(line) for line in first_values(session.rows(sql("SHOW GRANTS"))))
    if not asked:
        return Catalog(session.name, session.identity, frozenset(everything), {}, {}, {}, grants, {})
    listed = comma([sql("{}", name) for name in asked])
    checks = read_checks(session, listed)
    columns = _columns(session, listed, checks)
    indexes, keys, prefixed = _indexes(session, listed)
    foreign_keys = _foreign_keys(session, listed)
    tables, sizes = {}, {}
    for row in session.rows(sql(_TABLES, listed)):
        name = (str(row[0]), str(row[1]))
        if row[2] == "BASE TABLE" and any(is_doubtful(c) for c in columns[name]):
            columns[name] = whole_defaults(session, *name, columns[name])
        tables[name] = TableDefinition(
            *name,
            columns=tuple(columns[name]),
            key=keys.get(name, ()),
            indexes=tuple(indexes[name]),
            foreign_keys=tuple(foreign_keys[name]),
            comment=str(row[4] or ""),
            engine=str(row[3] or ""),
            collation=row[5],
            kind=_KINDS.get(row[2], "view"),
            partitioned="partitioned" in str(row[6] or ""),
            prefix_key=name in prefixed,
            checks=tuple(checks.of.get(name, ())),
        )
        sizes[name] = Size(int(row[7] or 0), int(row[8] or 0))
    marks = read_marks(session, {s: t.column_names for (s, name), t in tables.items() if name == MARKS})
    return Catalog(
        session.name,
        session.identity,
        frozenset(everything),
        tables,
        sizes,
        marks,
        grants,
        {},
        read_definers(session, listed),
    )


def read_collations(session: Session, names: Iterable[str] | None = None) -> Mapping[str, str]:
    """The character set of each collation that the server has; of all those named, or of all.

    A MariaDB has 1,300 of them, 48 KB, of which tables use few.
    """
    name = Sql(session.dialect.COLLATION_NAME)
    what = sql(
        "SELECT {}, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY", name
    )
    if names is not None:
        what = sql("{} WHERE {} IN ({})", what, name, comma([sql("{}", each) for each in sorted(set(names))]))
    return {str(collation): str(charset) for collation, charset in session.rows(what)}


_KINDS: Mapping[str, Literal["table", "sequence", "versioned"]] = {
    "BASE TABLE": "table",
    "SEQUENCE": "sequence",
    "SYSTEM VERSIONED": "versioned",
}

_TABLES = """
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COMMENT, TABLE_COLLATION, CREATE_OPTIONS,
       TABLE_ROWS, DATA_LENGTH
FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})"""

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


def _columns(session: Session, listed: Sql, checks: Checks) -> defaultdict[TableName, list[Column]]:
    dialect = session.dialect
    found = defaultdict[TableName, list[Column]](list)
    for schema, table, *row in session.rows(sql(_COLUMNS, Sql(dialect.SRID), listed)):
        facts = _facts(row)
        found[schema, table].append(dialect.column(facts, (schema, table, facts.name) in checks.json))
    return found


def _facts(row: Sequence[Any]) -> ColumnFacts:
    name, type_, nullable, default, extra, charset, collation, comment, generation, srid = (
        value.decode() if isinstance(value, bytes) else value for value in row
    )
    return ColumnFacts(
        name,
        type_,
        nullable == "YES",
        default,
        extra or "",
        charset,
        collation,
        comment or "",
        generation,
        None if srid is None else int(srid),
    )


def _indexes(
    session: Session, listed: Sql
) -> tuple[Mapping[TableName, list[Index]], Mapping[TableName, tuple[str, ...]], set[TableName]]:
    """Secondary indexes, primary keys, and the tables whose primary key is over a prefix."""
    parts = defaultdict[tuple[str, str, str], list[IndexPart]](list)
    facts: dict[tuple[str, str, str], tuple[bool, str, bool]] = {}
    dialect = session.dialect
    asked = sql(_INDEXES, Sql(dialect.INDEX_EXPRESSION), Sql(dialect.UNUSED_INDEX), listed)
    for row in session.rows(asked):
        schema, table, name, column, length, expression, non_unique, collation, kind, unused = row
        place = (str(schema), str(table), str(name))
        text = dialect.expression(str(expression)) if expression else None
        # a spatial index has a length here that no DDL takes
        prefix = None if kind == "SPATIAL" else length
        parts[place].append(IndexPart(column, text, prefix, collation == "D"))
        facts[place] = (not int(non_unique), str(kind), bool(int(unused)))
    indexes = defaultdict[TableName, list[Index]](list)
    keys: dict[TableName, tuple[str, ...]] = {}
    prefixed = set[TableName]()
    for (schema, table, name), members in parts.items():
        unique, kind, unused = facts[schema, table, name]
        if name == "PRIMARY":
            keys[schema, table] = tuple(str(p.column) for p in members)
            if any(p.length is not None for p in members):
                prefixed.add((schema, table))
        else:
            indexes[schema, table].append(Index(name, tuple(members), unique, kind, unused))
    return indexes, keys, prefixed


def _foreign_keys(session: Session, listed: Sql) -> Mapping[TableName, list[ForeignKey]]:
    grouped = defaultdict[tuple[str, str, str], list[Row]](list)
    for row in session.rows(sql(_FOREIGN_KEYS, listed)):
        grouped[row[0], row[1], row[2]].append(row[3:])
    rules = {tuple(row[:3]): (row[3], row[4]) for row in session.rows(sql(_RULES, listed))}
    found = defaultdict[TableName, list[ForeignKey]](list)
    for (schema, table, name), rows in grouped.items():
        on_delete, on_update = rules.get((schema, table, name), (None, None))
        found[schema, table].append(
            ForeignKey(
                name,
                tuple(r[0] for r in rows),
                rows[0][1],
                rows[0][2],
                tuple(r[3] for r in rows),
                on_delete=on_delete or "RESTRICT",
                on_update=on_update or "RESTRICT",
            )
        )
    return found
