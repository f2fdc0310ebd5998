"""Comparing keys and rows of two servers by digests that the servers compute.

The digest of a set is its count and the sum of 60 bits of SHA-256 over each member's canonical text.
SHA-256 and not CRC32: XOR of CRC32 is linear, and a grid of keys cancels out. Two different sets of equal
size have equal sums with a probability of about 2^-60.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.link import Link
from djlink_manifest.servers import transfer
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.query import outbound_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, column, columns, comma, equal, ident, idents, sql, table

KEYS_AT_ONCE = 50_000  # keys of one side held in memory
BUCKETS_MOST = 65_536
ROWS_AT_ONCE = 500  # entities whose rows are compared by one statement

_EXACT = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"})
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class SetDigest:
    """The digest of a set of keys; equal sets have equal digests."""

    count: int
    total: int


def canonical(of: Sequence[Column], alias: str | None = None, *, short: bool = False) -> Sql:
    """Text that is equal on two servers exactly where the values are.

    Text and bytes are written in hex, NULL as `~`, so no separator can occur inside. `short` writes long
    values as their SHA-256 instead.
    """
    parts = []
    for each in of:
        name = column(alias, each.name) if alias else ident(each.name)
        parts.append(sql("COALESCE({}, '~')", _canonical(each, name, short)))
    return sql("CONCAT_WS('|', {})", comma(parts))


def set_digest(session: Session, of: Sql, key: Sequence[Column]) -> SetDigest:
    """The digest of a table's keys."""
    row = session.row(sql("SELECT COUNT(*), COALESCE(SUM({}), 0) FROM {}", sixty_bits(canonical(key)), of))
    return SetDigest(int(row[0]), int(row[1]))


def same_keys(local: Session, source: Session, link: Link) -> bool:
    """Whether outbound and the local table hold the same keys: two statements, no key travels.

    Local is read before outbound, here and below: a pull writes outbound first, so what is read in this order
    is never taken for unprotected while another pull runs.
    """
    here = set_digest(local, table(link.local.schema, link.local.name), link.key_columns)
    return here == set_digest(source, outbound_table(link), link.key_columns)


def compare_keys(local: Session, source: Session, link: Link, missing: KeyTable, extra: KeyTable) -> None:
    """Find the keys that outbound has and the local table lacks (`missing`), and the other way (`extra`).

    Keys travel only from hash buckets that differ, and none where the local table is empty.
    """
    here, there = table(link.local.schema, link.local.name), outbound_table(link)
    count = int(local.value(sql("SELECT COUNT(*) FROM {}", here)))
    if count == 0:
        missing.add_from(sql("SELECT {} FROM {}", idents(link.key), there))
        return
    most = max(count, int(source.value(sql("SELECT COUNT(*) FROM {}", there))))
    buckets = bucket_count(most)
    local_buckets = _buckets(local, here, link.key_columns, buckets)
    outbound_buckets = _buckets(source, there, link.key_columns, buckets)
    for group in _dirty(local_buckets, outbound_buckets):
        local_keys = set(_keys_of(local, here, link.key_columns, buckets, group))
        outbound_keys = set(_keys_of(source, there, link.key_columns, buckets, group))
        missing.add(sorted(outbound_keys - local_keys))
        extra.add(sorted(local_keys - outbound_keys))


def bucket_count(entities: int) -> int:
    """How many hash buckets so many entities are compared in."""
    return min(BUCKETS_MOST, max(16, 1 << (entities // 64).bit_length()))


def all_local_keys(local: Session, link: Link) -> Iterator[RawRow]:
    """Every key of the local table, raw."""
    what = transfer.reading(link.key_columns)
    return local.stream(sql("SELECT {} FROM {}", what, table(link.local.schema, link.local.name)))


def equal_entities(local: Session, source: Session, link: Link, keys: Sequence[RawRow]) -> list[RawRow]:
    """Those of the keys whose master and part rows are the same on both servers, by digests of whole rows."""
    here = _entity_digests(local, link.local, link.definition, keys)
    there = _entity_digests(source, link.definition, link.definition, keys)
    return [key for key in keys if key in here and here[key] == there.get(key)]


def keys_in(key: Sequence[Column], keys: Sequence[RawRow], alias: str) -> Sql:
    """The condition that the key columns of an aliased table hold one of these keys."""
    listed = [sql("({})", comma([_key_value(v, c) for v, c in zip(each, key, strict=True)])) for each in keys]
    return sql("({}) IN ({})", comma([column(alias, c.name) for c in key]), comma(listed))


def _entity_digests(
    session: Session, where: TableDefinition, source: TableDefinition, keys: Sequence[RawRow]
) -> dict[RawRow, tuple[object, ...]]:
    """Per key, digests of the master row and of the rows of each part; equal entities have equal values."""
    found: dict[RawRow, tuple[object, ...]] = {}
    key, master = source.key_columns, table(where.schema, where.name)
    for number, (theirs, here) in enumerate(zip(source.tables, where.tables, strict=False)):
        rows, alias = sql("{} m", master), "m"
        if theirs is not source:
            mine = source.master_columns(theirs)
            assert mine is not None, "a part without its master's key is refused when the link is resolved"
            # by the master's key: where case does not count, a part may spell it otherwise
            match = equal("p", mine, "m", source.key)
            rows, alias = sql("{} m JOIN {} p ON {}", master, table(here.schema, here.name), match), "p"
        select = sql(
            "SELECT {}, COUNT(*), SUM({}) FROM {} WHERE {} GROUP BY {}",
            transfer.reading(key, "m"),
            sixty_bits(canonical(theirs.stored_columns, alias, short=True)),
            rows,
            keys_in(key, keys, "m"),
            columns("m", source.key),
        )
        for row in session.stream(select):
            place = tuple(row[: len(key)])
            found[place] = (*found.get(place, ()), number, *row[len(key) :])
    return found


def _key_value(value: bytes | None, column: Column) -> Sql:
    """A raw key value as one that compares exactly with its column.

    Numbers are written as numbers: the server compares a long number with a string as two doubles, and large
    keys would be taken for each other.
    """
    if value is None:
        return Sql("NULL")
    if column.base_type == "bit":
        return sql("{}", int.from_bytes(value, "big"))
    if transfer.is_binary(column):
        return sql("{}", value)
    text = value.decode()
    return Sql(text) if column.base_type in _EXACT and _NUMBER.fullmatch(text) else sql("{}", text)


def _canonical(column: Column, name: Sql, short: bool) -> Sql:
    if column.is_text:
        text = sql("CONVERT({} USING utf8mb4)", name)
        return sql("SHA2({}, 256)", text) if short else sql("HEX({})", text)
    if transfer.is_binary(column):
        if column.base_type == "bit":
            return sql("HEX({} + 0)", name)
        return sql("SHA2({}, 256)", name) if short else sql("HEX({})", name)
    if column.base_type == "float":
        return sql("CAST({} + 0e0 AS CHAR)", name)
    text = sql("CAST({} AS CHAR)", name)
    return sql("SHA2({}, 256)", text) if short and column.base_type == "json" else text


def sixty_bits(text: Sql) -> Sql:
    """A number of 60 bits of a text's SHA-256."""
    return sql("CAST(CONV(LEFT(SHA2({}, 256), 15), 16, 10) AS UNSIGNED)", text)


def _bucket(key: Sequence[Column], buckets: int) -> Sql:
    return sql("CRC32({}) % {}", canonical(key), buckets)


def _buckets(session: Session, of: Sql, key: Sequence[Column], buckets: int) -> dict[int, SetDigest]:
    rows = session.rows(
        sql(
            "SELECT {} AS bucket, COUNT(*), SUM({}) FROM {} GROUP BY 1",  # a column may be called bucket
            _bucket(key, buckets),
            sixty_bits(canonical(key)),
            of,
        )
    )
    return {int(b): SetDigest(int(count), int(total)) for b, count, total in rows}


def _dirty(here: Mapping[int, SetDigest], there: Mapping[int, SetDigest]) -> Iterator[list[int]]:
    """The buckets that differ, in groups small enough to hold the keys of both sides in memory."""
    group, size = list[int](), 0
    for bucket in sorted(here.keys() | there.keys()):
        mine, other = here.get(bucket), there.get(bucket)
        if mine == other:
            continue
        count = max(d.count for d in (mine, other) if d is not None)
        if group and size + count > KEYS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(bucket)
        size += count
    if group:
        yield group


def _keys_of(
    session: Session, of: Sql, key: Sequence[Column], buckets: int, group: Sequence[int]
) -> Iterator[RawRow]:
    return session.stream(
        sql(
            "SELECT {} FROM {} WHERE {} IN ({})",
            transfer.reading(key),
            of,
            _bucket(key, buckets),
            comma([sql("{}", b) for b in group]),
        )
    )
