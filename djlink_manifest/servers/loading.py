"""Rows from one server to another by LOAD DATA LOCAL, in lines that the source's server writes.

Short values are put into lines by the source's server, long ones (texts, blobs) travel as they are and are
escaped here. Everything is bytes in the local column's own character set, so that no server converts.

LOAD DATA LOCAL takes what does not fit with a warning, and skips what is refused: whatever is not taken whole
and without a warning is rolled back and written by INSERT, which is strict and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from djlink_manifest.errors import DjlinkError, RowsRefused, ServerError
from djlink_manifest.model.definition import Column
from djlink_manifest.servers import numbers
from djlink_manifest.servers.connection import Session, Writer
from djlink_manifest.servers.failures import is_passing
from djlink_manifest.servers.sql import Sql, column, comma, ident, joined, sql, word
from djlink_manifest.servers.transfer import Budget, is_binary, row_too_long
from djlink_manifest.servers.wire import values

CHUNK_BYTES = 1 << 18

_PLAIN = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "date", "time", "datetime"}
    | {"timestamp"}
)
_FLOATING = frozenset({"float", "double"})
_SHORT = frozenset({"char", "varchar", "enum", "set"})
_SHORT_BYTES = frozenset({"binary", "varbinary"})
_SAME_BYTES = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii"})  # as utf8mb4, in which values travel


class NotLoaded(DjlinkError):
    """The rows could not be loaded whole and unchanged; to be rolled back, and written by INSERT."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How the rows of a table are loaded.

    `select` is what is read: `escaped` tells of each value of it whether it is to be escaped here. `fields`
    are the columns and variables of the LOAD DATA statement, `settings` its SET clause, perhaps empty.
    """

    select: Sql
    escaped: tuple[bool, ...]
    fields: Sql
    settings: Sql


def load_plan(theirs: Sequence[Column], ours: Sequence[Column], alias: str) -> LoadPlan | None:
    """How to load these columns of the source into these of the local table; None where it cannot be done."""
    pieces, escaped, short = list[Sql](), list[bool](), list[Sql]()
    fields, settings = list[Sql](), list[Sql]()

    def flush() -> None:
        if short:
            pieces.append(sql("CONCAT({})", joined(", '\\t', ", short)) if len(short) > 1 else short[0])
            escaped.append(False)
            short.clear()

    for number, (there, here) in enumerate(zip(theirs, ours, strict=True)):
        name = column(alias, there.name)
        written = _short(there, here, name)
        if written is not None:
            short.append(written)
        elif here.charset is None or here.charset in _SAME_BYTES:
            flush()
            pieces.append(name)
            escaped.append(True)
        else:
            return None
        if written is not None or here.is_text or is_binary(here):
            fields.append(ident(here.name))
        else:  # JSON and the like are made from text, and take no bytes
            fields.append(Sql(f"@v{number}"))
            settings.append(sql("{} = CONVERT({} USING utf8mb4)", ident(here.name), Sql(f"@v{number}")))
    flush()
    sets = sql(" SET {}", comma(settings)) if settings else Sql("")
    return LoadPlan(comma(pieces), tuple(escaped), comma(fields), sets)


def load(source: Session, select: Sql, local: Writer, into: Sql, plan: LoadPlan, budget: Budget) -> int:
    """Stream the rows of a select into a local table, inside the transaction that is open there; the rows.

    Raises NotLoaded; then the transaction holds what must be rolled back.
    """
    statement = sql(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET binary"
        " FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){}",
        into,
        plan.fields,
        plan.settings,
    )
    before = budget.rows
    lines = _chunks(source, select, local, plan, budget)
    try:
        taken, warnings = local.load(statement, lines)
    except RowsRefused:
        raise  # a row that no packet holds
    except ServerError as error:
        if is_passing(error) or error.server != local.name:
            raise
        local.loads = local.loads and error.code not in numbers.NO_LOCAL_LOAD
        raise NotLoaded(error.message, server=local.name) from error
    finally:
        lines.close()  # type: ignore[attr-defined]  # a generator; closing it frees the session
    sent = budget.rows - before
    if warnings or taken != sent:
        raise NotLoaded(
            f"{sent} rows were sent and {taken} taken, with {warnings} warnings", server=local.name
        )
    return taken


def _short(there: Column, here: Column, name: Sql) -> Sql | None:
    """The text of a short value as it stands in a line; None for what may be long.

    Where it would be longer than the source's server allows, it is NULL, and so is the whole line.
    """
    if there.base_type in _PLAIN:
        text = name
    elif there.base_type in _FLOATING:
        text = sql("({} + 0e0)", name)  # the exact value: the text of a FLOAT shows 6 digits
    elif there.base_type in _SHORT and here.charset is not None:
        if there.charset != here.charset and here.charset != "utf8mb4":
            return None
        plain = (
            name if there.charset == here.charset else sql("CONVERT({} USING {})", name, word(here.charset))
        )
        text = _escaped(sql("CAST({} AS BINARY)", plain))
    elif there.base_type in _SHORT_BYTES:
        text = _escaped(name)
    else:
        return None
    return sql("IF({} IS NULL, '\\\\N', {})", name, text) if there.nullable else text


def _escaped(text: Sql) -> Sql:
    for char, instead in (("\\\\", "\\\\\\\\"), ("\\t", "\\\\t"), ("\\n", "\\\\n")):
        text = sql("REPLACE({}, {}, {})", text, Sql(f"_binary'{char}'"), Sql(f"_binary'{instead}'"))
    return text


def _chunks(source: Session, select: Sql, local: Writer, plan: LoadPlan, budget: Budget) -> Iterator[bytes]:
    """The lines of the rows, in pieces that the local server takes as one packet."""
    packet = local.identity.max_allowed_packet
    most = min(CHUNK_BYTES, packet // 2)
    make = _Lines(plan)
    for count, packets in source.packets(select):
        lines, size, longest = make(packets, count)
        if longest >= packet:
            raise row_too_long(longest, local)
        budget.spend(len(packets), size)
        text = b"".join(lines)
        for first in range(0, len(text), most):
            yield text[first : first + most]


class _Lines:
    """Rows' packets to lines."""

    def __init__(self, plan: LoadPlan) -> None:
        self._escaped = plan.escaped

    def __call__(self, packets: Sequence[bytes], count: int) -> tuple[list[bytes], int, int]:
        """The lines with their ends, their bytes, and the longest one's."""
        if self._escaped == (False,):
            lines = [self._line(packet) for packet in packets]
        else:
            lines = [self._joined(values(packet, count)) for packet in packets]
        sizes = list(map(len, lines))
        return lines, sum(sizes), max(sizes)

    @staticmethod
    def _line(packet: bytes) -> bytes:
        """A row that is one value, the whole line."""
        if packet[0] < 0xFB:
            return packet[1:] + b"\n"
        (line,) = values(packet, 1)
        if line is None:
            raise NotLoaded("the source's server could not write a row as a line")
        return line + b"\n"

    def _joined(self, row: Sequence[bytes | None]) -> bytes:
        parts = []
        for value, escape in zip(row, self._escaped, strict=True):
            if value is None:
                if not escape:
                    raise NotLoaded("the source's server could not write a row as a line")
                parts.append(b"\\N")
            elif escape:
                parts.append(value.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n"))
            else:
                parts.append(value)
        return b"\t".join(parts) + b"\n"
