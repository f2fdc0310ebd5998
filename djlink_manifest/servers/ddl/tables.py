"""DDL: table definitions as text.

Types and expressions come from another server's catalogue, so they are checked before they become part of a
statement: a type must look like one, an expression must stay within its parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from djlink_manifest.errors import ServerError
from djlink_manifest.model.tables.definition import (
    Check,
    Column,
    ForeignKey,
    Index,
    IndexPart,
    TableDefinition,
)
from djlink_manifest.model.vendors.wellformed import is_contained, is_type, unknown_words
from djlink_manifest.servers.session.session import Writer
from djlink_manifest.servers.sql import ident, idents, sql, table, word

_BARE_DEFAULT = re.compile(r"b'[01]*'|0x[0-9A-Fa-f]+")
# what the catalogue says of DEFAULT CURRENT_TIMESTAMP; an expression default (now()) is `now()` there
_NOW = re.compile(r"CURRENT_TIMESTAMP(?:\(\d?\))?")
# MySQL takes a literal default of these as an expression alone
_LONG = frozenset({"tinytext", "text", "mediumtext", "longtext", "json"})
# each vendor reads its own word
_UNUSED = " /*!80000 INVISIBLE *//*M!100600 IGNORED */"
_RULES = frozenset({"RESTRICT", "CASCADE", "SET NULL", "NO ACTION", "SET DEFAULT"})


def create_table(definition: TableDefinition) -> str:
    """The CREATE TABLE of one table, without its parts. Raises ServerError for what cannot be rendered."""
    lines = [_column(c) for c in definition.columns]
    lines.append(f"PRIMARY KEY ({idents(definition.key).text})")
    lines += [_index(i) for i in definition.indexes]
    lines += [foreign_key(k) for k in definition.foreign_keys]
    lines += [_check(c) for c in definition.checks]
    tail = "ENGINE=InnoDB"
    if definition.collation:
        tail += f" COLLATE={word(definition.collation).text}"
    if definition.comment:
        tail += f" COMMENT={literal(definition.comment)}"
    body = ",\n  ".join(lines)
    return f"CREATE TABLE {table(definition.schema, definition.name).text} (\n  {body}\n) {tail}"


def add_foreign_key(schema: str, name: str, key: ForeignKey) -> str:
    """The ALTER TABLE that adds a foreign key."""
    return f"ALTER TABLE {table(schema, name).text} ADD {foreign_key(key)}"


def add_to_table(
    schema: str, name: str, columns: Sequence[tuple[Column, str | None]], indexes: Sequence[Index]
) -> str:
    """The ALTER TABLE that adds columns, each behind another or first, and indexes, all of them or none."""
    clauses = [
        f"ADD COLUMN {_column(column)} " + (f"AFTER {ident(after).text}" if after else "FIRST")
        for column, after in columns
    ]
    clauses += [f"ADD {_index(index)}" for index in indexes]
    return f"ALTER TABLE {table(schema, name).text} {', '.join(clauses)}"


def change_table(schema: str, name: str, columns: Sequence[Column], comment: str | None) -> str:
    """The ALTER TABLE that gives columns other definitions, where they are, and the table another comment."""
    clauses = [f"MODIFY COLUMN {_column(column)}" for column in columns]
    if comment is not None:
        clauses.append(f"COMMENT = {literal(comment)}")
    return f"ALTER TABLE {table(schema, name).text} {', '.join(clauses)}"


def row_columns(columns: Sequence[Column], key: Sequence[str]) -> str:
    """What the parentheses of a temporary table for rows with these columns enclose, with a primary key."""
    plain = [
        replace(c, default=None, default_is_expression=False, on_update=None, comment="", invisible=False)
        for c in columns
    ]
    return ", ".join([*map(_column, plain), f"PRIMARY KEY ({idents(key).text})"])


def key_columns(definition: TableDefinition) -> str:
    """The columns of the primary key as a column list of a temporary table, in key order."""
    return column_list(definition.key_columns)


def column_list(columns: Sequence[Column]) -> str:
    """Columns of a temporary table that hold the values of these, without defaults and the like."""
    plain = (
        Column(c.name, c.type, nullable=c.nullable, charset=c.charset, collation=c.collation) for c in columns
    )
    return ", ".join(_column(c) for c in plain)


def ensure_schema(session: Writer, schema: str, collation: str | None) -> None:
    """Make a schema that does not exist, with a default collation.

    DataJoint declares tables with their schema's collation, and a foreign key to a text column needs the same
    one: what the lab declares beside its linked tables can refer to them.

    `CREATE SCHEMA IF NOT EXISTS` would wait for the transactions of others in a schema that stands.
    """
    if session.rows(sql("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", schema)):
        return
    default = f" COLLATE {word(collation).text}" if collation else ""
    session.ddl(f"CREATE SCHEMA IF NOT EXISTS {ident(schema).text}{default}")


def literal(text: str) -> str:
    """A string literal. The session's sql_mode keeps backslash escapes on."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def foreign_key(key: ForeignKey) -> str:
    """The constraint's clause; both rules are always written."""
    for rule in (key.on_delete, key.on_update):
        if rule not in _RULES:
            raise ServerError(f"an invalid foreign key rule: {rule!r}")
    return (
        f"CONSTRAINT {ident(key.name).text} FOREIGN KEY ({idents(key.columns).text})"
        f" REFERENCES {table(key.parent_schema, key.parent_table).text} ({idents(key.parent_columns).text})"
        f" ON DELETE {key.on_delete} ON UPDATE {key.on_update}"
    )


def _column(column: Column) -> str:
    if not is_type(column.type):
        raise ServerError(f"column `{column.name}` has a type that djlink does not know: {column.type!r}")
    text = f"{ident(column.name).text} {column.type}"
    if column.charset:
        text += f" CHARACTER SET {word(column.charset).text}"
    if column.collation:
        text += f" COLLATE {word(column.collation).text}"
    if column.generated is not None:
        kind = "STORED" if column.stored else "VIRTUAL"
        text += f" GENERATED ALWAYS AS ({_contained(column.generated)}) {kind}"
    if column.generated is None:
        text += (" NULL" if column.nullable else " NOT NULL") + _default(column)
    elif not column.nullable:
        text += " NOT NULL"
    if column.auto_increment:
        text += " AUTO_INCREMENT"
    if column.srid is not None:
        text += f" /*!80003 SRID {int(column.srid)} */"
    if column.invisible:
        text += " INVISIBLE"
    if column.comment:
        text += f" COMMENT {literal(column.comment)}"
    return text


def _default(column: Column) -> str:
    text = ""
    if column.default is not None:
        if column.default_is_expression:
            now = _NOW.fullmatch(column.default)
            text = f" DEFAULT {column.default}" if now else f" DEFAULT ({_contained(column.default)})"
        elif column.base_type in _LONG:
            text = f" DEFAULT ({literal(column.default)})"
        elif column.charset is None and _BARE_DEFAULT.fullmatch(column.default):
            text = f" DEFAULT {column.default}"
        else:
            text = f" DEFAULT {literal(column.default)}"
    if column.on_update is not None:
        if not _NOW.fullmatch(column.on_update):
            raise ServerError(f"column `{column.name}` has an ON UPDATE that djlink does not know")
        text += f" ON UPDATE {column.on_update}"
    return text


def _check(check: Check) -> str:
    text = f"CONSTRAINT {ident(check.name).text} CHECK ({_contained(check.expression)})"
    return text if check.enforced else f"{text} /*!80016 NOT ENFORCED */"


def _index(index: Index) -> str:
    kind = {kind: f"{kind} KEY" for kind in ("FULLTEXT", "SPATIAL", "VECTOR")}.get(
        index.kind, "UNIQUE KEY" if index.unique else "KEY"
    )
    parts = ", ".join(_index_part(p) for p in index.parts)
    return f"{kind} {ident(index.name).text} ({parts}){_UNUSED if index.unused else ''}"


def _index_part(part: IndexPart) -> str:
    if part.column is None:
        text = f"({_contained(part.expression or '')})"
    else:
        text = ident(part.column).text + (f"({part.length})" if part.length else "")
    return text + (" DESC" if part.descending else "")


def _contained(expression: str) -> str:
    """The expression, proved to stay within the parentheses around it."""
    if not is_contained(expression):
        raise ServerError(f"an expression of the source's definition is not well-formed: {expression!r}")
    unknown = unknown_words(expression)
    if unknown:
        words = ", ".join(unknown)
        raise ServerError(
            f"an expression of the source's definition has {words}, which djlink does not support"
        )
    return expression
