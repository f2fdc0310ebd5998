"""Rows as a server is asked for them and as it takes them: select lists and INSERT statements of raw rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, column, comma, ident, idents, sql, word

STATEMENT_ROWS = 5_000
STATEMENT_BYTES = 8 << 20
# all of their values become the same again from UTF-8; not every server knows the last one by name
_AS_UTF8 = frozenset({"utf8mb4", "utf8mb3", "utf8", "gb18030"})


_BINARY = frozenset(
    {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit"}
    | {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection", "vector"}
)


_BYTES = b"_binary"


@dataclass(frozen=True, slots=True)
class Statement:
    """An INSERT as bytes, and how many rows it writes."""

    text: bytes
    rows: int


def reading(columns: Sequence[Column], alias: str | None = None) -> Sql:
    """The select list that reads these columns exactly."""
    return comma([_exact(c, column(alias, c.name) if alias else ident(c.name)) for c in columns])


def reading_rows(columns: Sequence[Column], alias: str) -> Sql:
    """As `reading`, for rows that `copy` writes: text is read in its own character set."""
    return comma(
        [
            sql("CAST({} AS BINARY)", column(alias, c.name)) if _in_its_own(c) else reading([c], alias)
            for c in columns
        ]
    )


def is_binary(column: Column) -> bool:
    """Whether the values are bytes rather than text or numbers."""
    return column.charset is None and column.base_type in _BINARY


def most_bytes(session: Session) -> int:
    """How long a statement for this server may be: half of what it takes, and not more than memory likes."""
    return min(STATEMENT_BYTES, session.identity.max_allowed_packet // 2)


def inserts(into: Sql, columns: Sequence[Column], rows: Iterable[RawRow], limit: int) -> Iterator[Statement]:
    """INSERT statements for raw rows, each of at most `limit` bytes where a single row allows it.

    The rows are as `reading` has them.
    """
    return _inserts(into, columns, [_BYTES if is_binary(c) else b"" for c in columns], rows, limit)


def _inserts(
    into: Sql, columns: Sequence[Column], heads: Sequence[bytes], rows: Iterable[RawRow], limit: int
) -> Iterator[Statement]:
    """`heads` stand before the literals of the columns."""
    head = sql("INSERT INTO {} ({}) VALUES ", into, idents(c.name for c in columns)).text.encode()
    values, size = list[bytes](), 0
    for row in rows:
        text = raw_row(row, heads)
        if values and (size + len(text) > limit or len(values) >= STATEMENT_ROWS):
            yield Statement(head + b",".join(values), len(values))
            values, size = [], 0
        values.append(text)
        size += len(text) + 1
    if values:
        yield Statement(head + b",".join(values), len(values))


def raw_row(row: RawRow, heads: Sequence[bytes]) -> bytes:
    """A row as a parenthesised list of literals. Numbers are quoted too: the column's type converts them."""
    return b"(" + b",".join([_literal(value, head) for value, head in zip(row, heads, strict=True)]) + b")"


def _exact(column: Column, name: Sql) -> Sql:
    return sql("{} + 0e0", name) if column.base_type == "float" else name


def _in_its_own(column: Column) -> bool:
    return column.charset is not None and column.charset not in _AS_UTF8


def _head(column: Column) -> bytes:
    """What stands before a literal of what `reading_rows` reads: the local server knows the bytes by it.

    Strict as its sessions are, it refuses those that a column of another character set cannot hold.
    """
    if _in_its_own(column):
        return b"_" + word(column.charset or "").text.encode()
    return _BYTES if is_binary(column) else b""


def _literal(value: bytes | None, head: bytes) -> bytes:
    if value is None:
        return b"NULL"
    escaped = value.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    return head + b"'" + escaped + b"'"
