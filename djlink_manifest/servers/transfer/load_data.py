"""Rows from one server to another by LOAD DATA LOCAL, in lines that the source's server writes.

Short values are put into lines by the source's server, long ones (texts, blobs) travel as they are and are
escaped here. All are bytes in the local column's own character set, so that no server converts.

Where a row is one line and no more, this client passes on what came over the wire: each line has a beginning
and an end of its own, so that the local server finds it there, and skips what is in between.

LOAD DATA LOCAL takes what does not fit with a warning, and skips what is refused: whatever is not taken whole
and without a warning is rolled back and written by INSERT, which is strict and says what is wrong.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from djlink_manifest.errors import DjlinkError, ServerError
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.query.rows import is_binary
from djlink_manifest.servers.session.error_words import NO_LOCAL_LOAD
from djlink_manifest.servers.session.errors import is_transient
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.session.wire import values
from djlink_manifest.servers.sql import Sql, column, comma, ident, joined, sql, word
from djlink_manifest.servers.transfer.insert import Budget, row_too_long

CHUNK_BYTES = 1 << 18
NO_LINE = "the source's server could not format a row as a line"

_PLAIN = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "date", "time", "datetime"}
    | {"timestamp", "double"}  # a DOUBLE is exact in a line as a column alone, not in an expression
)
_SHORT = frozenset({"char", "varchar", "enum", "set"})
_SHORT_BYTES = frozenset({"binary", "varbinary"})
_SAME_BYTES = frozenset({"utf8mb4", "utf8mb3", "utf8"})  # as utf8mb4, in which values travel


class NotLoaded(DjlinkError):
    """The rows could not be loaded whole and unchanged; to be rolled back, and written by INSERT."""


Kind: TypeAlias = Literal["line", "long"]
Piece: TypeAlias = memoryview

# The bytes between two lines are the packet's head and the line's length, eight at most: this is longer, and
# no two of its characters are the same, so that they can neither hold it nor hide where it begins.
_BEGIN = "~djlinkrow>"
_BETWEEN = len(_BEGIN) + 5


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How the rows of a table are loaded.

    `select` is what is read, and of which `kinds`: a line of short values as it shall be; a long value, to be
    escaped here. `fields` are the columns and variables of the LOAD DATA statement, in the same order,
    `settings` its SET clause, perhaps empty. `token` follows the tab and the line feed that end a field and a
    line: drawn anew for each plan, so that no long value holds it, and none needs its tabs escaped.
    """

    select: Sql
    kinds: tuple[Kind, ...]
    fields: Sql
    settings: Sql
    token: str

    @property
    def passed_on(self) -> bool:
        """Whether the rows go on as they come over the wire."""
        return self.kinds == ("line",)


def load_plan(
    source_columns: Sequence[Column], local_columns: Sequence[Column], alias: str
) -> LoadPlan | None:
    """How to load these columns of the source into these of the local table; None where it cannot be done."""
    short, others = list[tuple[Sql, Sql]](), list[tuple[Sql, Sql]]()  # what is read, and what it becomes
    kinds, settings = list[Kind](), list[Sql]()
    for number, (source, local) in enumerate(zip(source_columns, local_columns, strict=True)):
        name, field = column(alias, source.name), ident(local.name)
        written = _short(source, local, name)
        if written is not None:
            short.append((written, field))
            continue
        if source.charset not in _SAME_BYTES and source.charset == local.charset and local.is_text:
            kinds.append("long")
            name = sql("CAST({} AS BINARY)", name)
        elif {source.charset, local.charset} <= {None, *_SAME_BYTES}:
            kinds.append("long")
            if not (local.is_text or is_binary(local)):  # JSON and the like are made from text, not of bytes
                field = Sql(f"@v{number}")
                settings.append(sql("{} = CONVERT({} USING utf8mb4)", ident(local.name), field))
        else:
            return None
        others.append((name, field))
    selected, fields = [read for read, _ in others], [field for _, field in (*short, *others)]
    # a value that holds 64 bits of chance is told by the warnings or the count, and written by INSERT
    token = secrets.token_hex(8) if others else ""
    if short:
        line = [read for read, _ in short]
        ends = (_BEGIN, "\\n") if not others else ("", "")
        selected.insert(
            0, sql("CONCAT('{}', {}, '{}')", Sql(ends[0]), joined(f", '\\t{token}', ", line), Sql(ends[1]))
        )
        kinds.insert(0, "line")
    sets = sql(" SET {}", comma(settings)) if settings else Sql("")
    return LoadPlan(comma(selected), tuple(kinds), comma(fields), sets, token)


def load(source: Session, select: Sql, local: Writer, into: Sql, plan: LoadPlan, budget: Budget) -> int:
    """Stream the rows of a select into a local table, inside the transaction that is open there; the rows.

    Raises NotLoaded; then the transaction holds what must be rolled back.
    """
    statement = sql(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET binary"
        " FIELDS TERMINATED BY '\\t{}' ESCAPED BY '\\\\' LINES STARTING BY '{}' TERMINATED BY '\\n{}' ({}){}",
        into,
        Sql(plan.token),
        Sql(_BEGIN if plan.passed_on else ""),
        Sql(plan.token),
        plan.fields,
        plan.settings,
    )
    before = budget.rows
    chunks = _passed_on if plan.passed_on else _chunks
    lines = chunks(source, select, local, plan, budget)
    try:
        taken, warnings = local.load(statement, lines)
    except ServerError as error:
        is_local = error.server == local.name and error.code is not None  # None: no packet holds a row
        if is_transient(error) or not is_local:
            raise
        local.loads = local.loads and error.code not in NO_LOCAL_LOAD
        raise NotLoaded(error.message, server=local.name) from error
    finally:
        lines.close()  # type: ignore[attr-defined]  # a generator; closing it frees the session
    sent = budget.rows - before
    if warnings or taken != sent:
        raise NotLoaded(
            f"{sent} rows were sent but {taken} inserted, with {warnings} warnings", server=local.name
        )
    return taken


def _short(source: Column, local: Column, name: Sql) -> Sql | None:
    """The text of a short value as it stands in a line; None for what may be long.

    Where it would be longer than the source's server allows, it is NULL, and so is the whole line.
    """
    if source.base_type in _PLAIN:
        text = name
    elif source.base_type == "float":
        text = sql("{} + 0e0", name)  # 15 digits and more, where FLOAT has 9; its own text shows 6
    elif source.base_type in _SHORT and local.charset is not None:
        if source.charset != local.charset and not (
            source.charset in _SAME_BYTES and local.charset == "utf8mb4"
        ):
            return None  # a SELECT converts what has no character there without a word, an INSERT does not
        plain = (
            name
            if source.charset == local.charset
            else sql("CONVERT({} USING {})", name, word(local.charset))
        )
        text = _escaped(sql("CAST({} AS BINARY)", plain))
    elif source.base_type in _SHORT_BYTES:
        text = _escaped(name)
    else:
        return None
    return sql("IF({} IS NULL, '\\\\N', {})", name, text) if source.nullable else text


def _escaped(text: Sql) -> Sql:
    for char, instead in (("\\\\", "\\\\\\\\"), ("\\t", "\\\\t"), ("\\n", "\\\\n")):
        text = sql("REPLACE({}, {}, {})", text, Sql(f"_binary'{char}'"), Sql(f"_binary'{instead}'"))
    return text


def _chunks(source: Session, select: Sql, local: Writer, plan: LoadPlan, budget: Budget) -> Iterator[Piece]:
    """The lines of the rows, in pieces that the local server takes as one packet."""
    packet = local.identity.max_allowed_packet
    most = min(CHUNK_BYTES, packet // 2)
    between, end = (sign + plan.token.encode() for sign in (b"\t", b"\n"))
    small, size = list[bytes](), 0
    for count, packets in source.packets(select):
        for each in packets:
            fields = _fields(plan.kinds, each, count)
            length = sum(map(len, fields)) + len(fields) * len(end)
            if length >= packet:
                raise row_too_long(length, local)
            budget.spend(1, length)
            for place, field in enumerate(fields, start=1):
                if len(field) > most:  # not joined with others: what is large is not copied once more
                    yield from _cut(b"".join(small), most)
                    yield from _cut(field, most)
                    small, size = [], 0
                else:
                    small.append(field)
                small.append(between if place < count else end)
            size += length
            if size > most:
                yield from _cut(b"".join(small), most)
                small, size = [], 0
    yield from _cut(b"".join(small), most)


def _cut(text: bytes, most: int) -> Iterator[Piece]:
    view = memoryview(text)
    for first in range(0, len(text), most):
        yield view[first : first + most]


def _passed_on(
    source: Session, select: Sql, local: Writer, plan: LoadPlan, budget: Budget
) -> Iterator[Piece]:
    """The rows as they came, in pieces that the local server takes as one packet."""
    most = min(CHUNK_BYTES, local.identity.max_allowed_packet // 2)
    for piece, rows in source.pieces(select):
        if rows < 0:
            raise NotLoaded(NO_LINE)
        budget.spend(rows, len(piece) - rows * _BETWEEN)
        yield from _cut(piece, most)


def _fields(kinds: Sequence[Kind], packet: bytes, count: int) -> list[bytes]:
    """The fields of a row as they stand in LOAD DATA."""
    parts = values(packet, count)
    for place, kind in enumerate(kinds):
        value = parts[place]
        if value is None:
            if kind == "line":
                raise NotLoaded(NO_LINE)
            parts[place] = b"\\N"
        elif kind == "long":
            parts[place] = value.replace(b"\\", b"\\\\")
    return cast("list[bytes]", parts)
