"""Keys as predicates: sets of key values written into a statement, in pieces of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.query.rows import is_binary, most_bytes
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, column, comma, ident, sql, word

ROWS_AT_ONCE = 500  # entities whose rows are compared by one statement
LITERAL_BYTES = 80  # at most, of a literal beside its value, each byte of which may be escaped
_EXACT = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"})
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def keys_in(key: Sequence[Column], keys: Sequence[RawRow], alias: str | None) -> Sql:
    """The condition that the key columns of a table, perhaps aliased, hold one of these keys.

    `key` are the columns as that table has them.
    """
    listed = [sql("({})", comma([key_value(v, c) for v, c in zip(each, key, strict=True)])) for each in keys]
    names = [column(alias, c.name) if alias else ident(c.name) for c in key]
    return sql("({}) IN ({})", comma(names), comma(listed))


def in_pieces(session: Session, keys: Sequence[RawRow]) -> Iterator[Sequence[RawRow]]:
    """The keys in pieces of which one statement with `keys_in` holds no more than the server takes."""
    limit, first, size = most_bytes(session), 0, 0
    for number, key in enumerate(keys):
        key_size = sum(2 * len(value or b"") + LITERAL_BYTES for value in key)
        if size + key_size > limit and number > first:
            yield keys[first:number]
            first, size = number, 0
        size += key_size
    if keys:
        yield keys[first:]


def key_value(value: bytes | None, column: Column) -> Sql:
    """A raw key value as one that compares exactly with its column.

    Numbers are written as numbers: the server compares a long number with a string as two doubles, and large
    keys would be taken for each other.
    """
    if value is None:
        return Sql("NULL")
    if column.base_type == "bit":
        return sql("{}", int.from_bytes(value, "big"))
    if is_binary(column):
        return sql("{}", value)
    text = value.decode()
    if column.base_type in _EXACT and _NUMBER.fullmatch(text):
        return Sql(text)
    if column.charset in (None, "utf8mb4"):
        return sql("{}", text)
    # MariaDB compares rows of another character set than the column's wrongly. What CONVERT makes has the
    # character set's own collation, as strong as the column's: another one than that is an error (1267)
    given = sql("CONVERT({} USING {})", text, word(column.charset or ""))
    return sql("{} COLLATE {}", given, word(column.collation)) if column.collation else given
