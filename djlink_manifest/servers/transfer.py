"""Rows from one server to another through this client: read as bytes, written in large statements.

Values are only passed on, so nothing is decoded: binary values travel as they are, FLOAT as the exact DOUBLE
(the text protocol shows 6 digits), keys as UTF-8, and other text in its own character set, for not every
value of it has one in UTF-8 that becomes the same again. Memory holds one statement, not one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from djlink_manifest.errors import DjlinkError, RowsRefused
from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.servers.connection import RawRow, Session, Writer
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


class BatchTooLarge(DjlinkError):
    """A batch holds more bytes than one transaction shall; its halves are to be tried."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An INSERT as bytes, and how many rows it writes."""

    text: bytes
    rows: int


@dataclass(slots=True)
class Budget:
    """What one transaction may hold, and what it holds so far. A single entity is always let through."""

    bytes: int
    single: bool = False
    spent: int = 0
    rows: int = 0

    def spend(self, rows: int, size: int) -> None:
        """Count a statement. Raises BatchTooLarge over four times the bytes, if the batch can be smaller."""
        self.rows += rows
        self.spent += size
        if self.spent > 4 * self.bytes and not self.single:
            raise BatchTooLarge(f"more than {4 * self.bytes} bytes in one batch")


@dataclass(frozen=True, slots=True)
class Written:
    """How rows that were read are written: with these columns, each row made into another one or left."""

    columns: Sequence[Column]
    change: Callable[[RawRow], RawRow] | None = None


Conversion: TypeAlias = Callable[[TableDefinition, TableDefinition, Sequence[Column]], Written]


def as_read(theirs: TableDefinition, ours: TableDefinition, read: Sequence[Column]) -> Written:
    """The conversion of a source's table to the local one that changes nothing."""
    return Written(read)


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


def copy(
    source: Session,
    select: Sql,
    local: Writer,
    into: Sql,
    columns: Sequence[Column],
    budget: Budget,
    change: Callable[[RawRow], RawRow] | None = None,
) -> int:
    """Stream the rows of a select into a local table, inside the transaction that is open there; the rows.

    The select reads as `reading_rows` does. `change` makes each row what is written. Raises RowsRefused where
    the local server takes fewer rows than were sent, or none for its packet limit.
    """
    packet = local.identity.max_allowed_packet
    rows, written = source.stream(select), 0
    try:
        changed = map(change, rows) if change else rows
        heads = [_head(c) for c in columns]
        for statement in _inserts(into, columns, heads, changed, most_bytes(local)):
            if len(statement.text) >= packet:
                raise row_too_long(len(statement.text), local)
            budget.spend(statement.rows, len(statement.text))
            taken = local.send(statement.text)
            if taken != statement.rows:
                raise RowsRefused(f"{statement.rows} rows were sent and {taken} taken", server=local.name)
            written += taken
    finally:
        rows.close()  # type: ignore[attr-defined]  # a generator; closing it frees the session
    return written


def row_too_long(size: int, local: Writer) -> RowsRefused:
    """The error for a row of so many bytes, which the local server does not take."""
    return RowsRefused(
        f"a row of {size:,} bytes is over max_allowed_packet, {local.identity.max_allowed_packet:,}",
        server=local.name,
        hint=f"on the local server: SET GLOBAL max_allowed_packet = {1 << size.bit_length()}",
    )


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
