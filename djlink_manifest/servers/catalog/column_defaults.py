"""Defaults that information_schema spoils.

Bytes end there at the first NUL (MariaDB since 11.8 writes them as hex), `?` stands for rare characters, and
MySQL has a TIMESTAMP in the time zone of who made the table. SHOW CREATE TABLE has them whole; it is asked
for the few tables that need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from djlink_manifest.errors import MissingPrivilege
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.session.checked_values import BadValue
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql, table, unescaped

_LITERAL = re.compile(
    rb"^  `(?P<name>(?:[^`]|``)+)` .*? DEFAULT "
    rb"(?:(?:0x|x')(?P<hex>[0-9A-Fa-f]+)|'(?P<text>(?:[^'\\]|''|\\(?s:.))*)')",
    re.MULTILINE,
)
_CODECS = {"utf8mb4": "utf-8", "utf16": "utf-16-be", "utf32": "utf-32-be"}
_BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})


def is_doubtful(column: Column) -> bool:
    """Whether the catalogue may have spoilt the column's default."""
    if column.default is None or column.default_is_expression:
        return False
    if column.base_type == "timestamp":
        return not column.default.startswith("0000")
    return column.base_type in _BYTES or (column.is_text and "?" in column.default)


def whole_defaults(session: Session, schema: str, name: str, columns: Iterable[Column]) -> list[Column]:
    """The columns with the defaults that the table really has. Raises BadValue for what is no definition."""
    try:
        # as bytes: MariaDB puts those of a default into the text as they are
        rows = session.raw_rows(sql("SHOW CREATE TABLE {}", table(schema, name)))
    except MissingPrivilege:  # no such table is linked; its defaults do not matter
        return list(columns)
    if len(rows) != 1 or len(rows[0]) < 2:
        raise BadValue("has an invalid SHOW CREATE TABLE")
    try:
        text = rows[0][1] or b""
        found = {m["name"].replace(b"``", b"`").decode(): m for m in _LITERAL.finditer(text)}
        return [_mended(c, found[c.name]) if is_doubtful(c) and c.name in found else c for c in columns]
    except (ValueError, LookupError) as error:  # bytes that are no text of their character set
        raise BadValue("has a default that is not valid text in its character set") from error


def _mended(column: Column, literal: re.Match[bytes]) -> Column:
    if column.base_type == "timestamp":
        default = (literal["text"] or b"").decode()
    elif literal["hex"] is None:
        # latin-1 stands for the bytes one by one
        value = unescaped(literal["text"].decode("latin-1")).encode("latin-1")
        default = value.decode() if column.is_text else _as_hex(value)
    elif column.is_text:
        codec = _CODECS.get(column.charset or "")
        default = bytes.fromhex(literal["hex"].decode()).decode(codec) if codec else column.default or ""
    else:
        default = _as_hex(bytes.fromhex(literal["hex"].decode()))
    return replace(column, default=default)


def _as_hex(value: bytes) -> str:
    return "0x" + value.hex() if value else ""
