"""Rows from one server to another through this client: read as bytes, written in large statements.

Values are only passed on, so nothing is decoded: binary values travel as they are, FLOAT as the exact DOUBLE
(the text protocol shows 6 digits), keys as UTF-8, and other text in its own character set, for not every
value of it has one in UTF-8 that becomes the same again. Memory holds one statement, not one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from djlink_manifest.errors import DjlinkError, RowsRefused
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.query.rows import _head, _inserts, most_bytes
from djlink_manifest.servers.session.session import RawRow, Session, Writer
from djlink_manifest.servers.sql import Sql


class BatchTooLarge(DjlinkError):
    """A batch holds more bytes than one transaction shall; its halves are to be tried."""


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
class RowFormat:
    """How rows that were read are written: with these columns, each row made into another one or left."""

    columns: Sequence[Column]
    change: Callable[[RawRow], RawRow] | None = None


Conversion: TypeAlias = Callable[[TableDefinition, TableDefinition, Sequence[Column]], RowFormat]


def as_read(source_table: TableDefinition, local_table: TableDefinition, read: Sequence[Column]) -> RowFormat:
    """The conversion of a source's table to the local one that changes nothing."""
    return RowFormat(read)


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
                raise RowsRefused(f"{statement.rows} rows were sent but {taken} inserted", server=local.name)
            written += taken
    finally:
        rows.close()  # type: ignore[attr-defined]  # a generator; closing it frees the session
    return written


def row_too_long(size: int, local: Writer) -> RowsRefused:
    """The error for a row of so many bytes, which the local server does not take."""
    return RowsRefused(
        f"a row of {size:,} bytes exceeds max_allowed_packet, {local.identity.max_allowed_packet:,}",
        server=local.name,
        hint=f"on the local server: SET GLOBAL max_allowed_packet = {1 << size.bit_length()}",
    )
