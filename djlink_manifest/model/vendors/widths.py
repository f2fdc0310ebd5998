"""How wide columns are in bytes, and what of a table is too wide for a server: the same for both vendors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from djlink_manifest.model.tables.definition import TEXTS_AND_BLOBS, Column, IndexPart, TableDefinition

MOST_OF_A_KEY, MOST_OF_A_ROW = 3072, 65_535  # bytes
# bytes of a character at most; one where the character set is not named here
_CHARACTER = {
    **dict.fromkeys(("ucs2", "big5", "cp932", "euckr", "gb2312", "gbk", "sjis"), 2),
    **dict.fromkeys(("utf8", "utf8mb3", "eucjpms", "ujis"), 3),
    **dict.fromkeys(("utf8mb4", "utf16", "utf16le", "utf32", "gb18030"), 4),
}
# a text or blob is a length and a pointer in its row
_POINTER = {"tiny": 9, "": 10, "medium": 11, "long": 12}
_FIXED = {
    **{f"{size}{kind}": width for size, width in _POINTER.items() for kind in ("text", "blob")},
    "tinyint": 1,
    "year": 1,
    "smallint": 2,
    "mediumint": 3,
    "date": 3,
    "int": 4,
    "float": 4,
    "bigint": 8,
    "double": 8,
    "datetime": 8,
    "timestamp": 7,
    "time": 6,
    "bit": 8,
    "enum": 2,
    "set": 8,
    "uuid": 16,
}
PAGE = 16_384  # bytes that InnoDB gives to a table which holds a single short row
_USUAL_TEXT = 20  # characters
_USUAL_LONG = 100  # bytes of a text, a blob or JSON
_HEAD = 20  # bytes that InnoDB adds to a row
_LENGTHS = re.compile(r"\((\d+)(?:,(\d+))?\)")
_SIZES = ("tiny", "", "medium", "long")


def longer(type_: str, charset: str, other: str) -> str:
    """The text type that holds the same characters in the character set `other`."""
    if _CHARACTER.get(other, 1) <= _CHARACTER.get(charset, 1) or not type_.endswith("text"):
        return type_
    size = type_.removesuffix("text")
    return f"{_SIZES[min(_SIZES.index(size) + 1, 3)]}text" if size in _SIZES else type_


def too_wide(table: TableDefinition) -> Iterator[str]:
    """What of the table no server takes, in words, with the bytes at most."""
    keys = [("its primary key", [IndexPart(name) for name in table.key])]
    keys += [(f"the index `{i.name}`", list(i.parts)) for i in table.indexes if i.kind == "BTREE"]
    for words, parts in keys:
        width = sum(_part(table, part) for part in parts)
        if width > MOST_OF_A_KEY:
            yield f"{words} has {width} bytes, but only {MOST_OF_A_KEY} are allowed"
    yield from row_too_wide(table)


def row_too_wide(table: TableDefinition) -> Iterator[str]:
    """That a row of the table is too wide for any server, in words."""
    row = sum(_stored(column) for column in table.columns)
    if row > MOST_OF_A_ROW:
        yield f"a row has {row} bytes without its texts and blobs, but only {MOST_OF_A_ROW} are allowed"


def pulled_bytes(count: int, table: TableDefinition, rows: int, volume: int) -> float:
    """Return the bytes of so many rows, by the server's estimate of all `rows` of the table and their bytes.

    Servers count in pages, so a table of one page tells nothing: a usual row of its columns is taken instead.
    """
    if rows and volume > PAGE:
        return count * volume / rows
    usual = usual_row(table)
    return count * (min(usual, PAGE / rows) if rows else usual)


def usual_row(table: TableDefinition) -> int:
    """The bytes of a usual row, by the types of its columns: texts are taken for short."""
    return _HEAD + sum(map(_usual, table.columns))


def _usual(column: Column) -> int:
    base, lengths = column.base_type, _LENGTHS.search(column.type)
    if base in TEXTS_AND_BLOBS or base == "json":
        return _USUAL_LONG
    if base.endswith(("char", "binary")) and lengths is not None:
        return min(int(lengths[1]), _USUAL_TEXT)
    return byte_width(column)


def _part(table: TableDefinition, part: IndexPart) -> int:
    if part.column is None:
        return 0
    column = table.column(part.column)
    return part.length * _character(column) if part.length is not None else byte_width(column)


def _stored(column: Column) -> int:
    """The bytes in the row: with the length before what varies in length."""
    width = byte_width(column)
    return width + (1 if width < 256 else 2) if column.base_type.startswith("var") else width


def byte_width(column: Column) -> int:
    """The bytes of a value at most, without those of its length."""
    base, lengths = column.base_type, _LENGTHS.search(column.type)
    if base in _FIXED or lengths is None or base in TEXTS_AND_BLOBS:
        return _FIXED.get(base, 12)
    if base == "decimal":
        return int(lengths[1]) // 2 + 1
    return int(lengths[1]) * _character(column)


def _character(column: Column) -> int:
    return _CHARACTER.get(column.charset or "", 1)
