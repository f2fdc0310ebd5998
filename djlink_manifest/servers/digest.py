"""Comparing keys and rows of two servers by digests that the servers compute.

The digest of a set is its count and the sum of 60 bits of SHA-256 over each member's canonical text.
SHA-256 and not CRC32: XOR of CRC32 is linear, and a grid of keys cancels out. Two different sets of equal
size have equal sums with a probability of about 2^-60.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.external import external_of, is_inline, is_plain_json
from djlink_manifest.model.link import Link, copied_columns
from djlink_manifest.servers import transfer
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.jsontext import same_object
from djlink_manifest.servers.query import outbound_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, column, comma, equal, ident, idents, sql, table, word
from djlink_manifest.servers.sql import columns as names_of

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
    """Whether outbound and the local table hold the same keys: two statements at once, no key travels.

    A difference found while another pull runs may be none; `compare_keys` looks again, in the right order.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="djlink") as other:
        there = other.submit(set_digest, source, outbound_table(link), link.key_columns)
        here = set_digest(local, table(link.local.schema, link.local.name), link.key_columns)
        return here == there.result()


def compare_keys(local: Session, source: Session, link: Link, missing: KeyTable, extra: KeyTable) -> None:
    """Find the keys that outbound has and the local table lacks (`missing`), and the other way (`extra`).

    Local is read before outbound: a pull writes outbound first, so what is read in this order is never taken
    for unprotected while another pull runs. Keys travel only from hash buckets that differ, and none where
    the local table is empty.
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
    if any(is_inline(c, ours) for theirs, ours in link.tables for c in theirs.columns):
        return []  # an object and a value in a row are not compared
    alike = local.identity.version.vendor == source.identity.version.vendor
    here = _entity_digests(local, link.local, link, keys, alike)
    there = _entity_digests(source, link.definition, link, keys, alike)
    same = [key for key in keys if key in here and here[key] == there.get(key)]
    if alike or not same:
        return same
    differ = set(differing_json(local, source, link, same))
    return [key for key in same if key not in differ]


def has_json(link: Link) -> bool:
    """Whether a table of the link has a JSON column."""
    return any(is_plain_json(c) for each in link.definition.tables for c in each.columns)


def differing_json(local: Session, source: Session, link: Link, keys: Sequence[RawRow]) -> list[RawRow]:
    """Those of the keys whose JSON values are not the same on both servers.

    Entities that are not here, or whose JSON rows differ in number, are for the digests to find.
    """
    mine = _entity_json(local, link.local, link, keys)
    theirs = _entity_json(source, link.definition, link, keys)
    return [key for key in keys if key in mine and mine[key] != theirs.get(key)]


def keys_in(key: Sequence[Column], keys: Sequence[RawRow], alias: str | None) -> Sql:
    """The condition that the key columns of a table, perhaps aliased, hold one of these keys.

    `key` are the columns as that table has them.
    """
    listed = [sql("({})", comma([key_value(v, c) for v, c in zip(each, key, strict=True)])) for each in keys]
    names = [column(alias, c.name) if alias else ident(c.name) for c in key]
    return sql("({}) IN ({})", comma(names), comma(listed))


def _entity_digests(
    session: Session, where: TableDefinition, link: Link, keys: Sequence[RawRow], alike: bool
) -> dict[RawRow, tuple[object, ...]]:
    """Per key, digests of the master row and of the rows of each part; equal entities have equal values.

    `where` is the link's definition or its local table; `alike`: both servers are of one vendor, and write
    the same JSON value the same way.
    """
    found: dict[RawRow, tuple[object, ...]] = {}
    for number, (columns, rows, alias) in enumerate(_tables_of(where, link)):
        compared = [c for c in columns if alike or not is_plain_json(c)]
        select = sql(
            "SELECT {}, COUNT(*), SUM({}) FROM {} WHERE {} GROUP BY {}",
            transfer.reading(link.key_columns, "m"),
            sixty_bits(canonical(compared, alias, short=True)),
            rows,
            keys_in(where.key_columns, keys, "m"),
            names_of("m", link.key),
        )
        for row in session.stream(select):
            place = tuple(row[: len(link.key)])
            found[place] = (*found.get(place, ()), number, *row[len(link.key) :])
    return found


def _entity_json(
    session: Session, where: TableDefinition, link: Link, keys: Sequence[RawRow]
) -> dict[RawRow, list[str]]:
    """Per key, the JSON values of its rows with the rows' own keys, each value spelled the same way."""
    found: dict[RawRow, list[str]] = {}
    for number, (columns, rows, alias) in enumerate(_tables_of(where, link)):
        of = link.definition.tables[number]
        json_columns = [c for c in columns if is_plain_json(c)]
        if not json_columns:
            continue
        select = sql(
            "SELECT {}, {}, {} FROM {} WHERE {}",
            transfer.reading(link.key_columns, "m"),
            canonical(of.key_columns, alias),
            transfer.reading(json_columns, alias),
            rows,
            keys_in(where.key_columns, keys, "m"),
        )
        for row in session.stream(select):
            place, (own, *values) = tuple(row[: len(link.key)]), row[len(link.key) :]
            found.setdefault(place, []).append(f"{number} {own!r} {[_spelled(v) for v in values]}")
    return {key: sorted(rows) for key, rows in found.items()}


def _tables_of(where: TableDefinition, link: Link) -> Iterator[tuple[tuple[Column, ...], Sql, str]]:
    """Of the master and each part: the columns that both sides hold, the rows for a FROM, their alias."""
    master = table(where.schema, where.name)
    for theirs, ours, here in zip(link.definition.tables, link.local.tables, where.tables, strict=False):
        columns = copied_columns(theirs, ours)
        if theirs is link.definition:
            yield columns, sql("{} m", master), "m"
            continue
        mine = link.definition.entity_columns(theirs)
        # by the master's key: where case does not count, a part may spell it otherwise
        match = equal("p", mine, "m", link.key)
        yield columns, sql("{} m JOIN {} p ON {}", master, table(here.schema, here.name), match), "p"


def _spelled(value: bytes | None) -> str | None:
    """A JSON text in one spelling of its value."""
    return None if value is None else json.dumps(json.loads(value), sort_keys=True)


def key_value(value: bytes | None, column: Column) -> Sql:
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
    if column.base_type in _EXACT and _NUMBER.fullmatch(text):
        return Sql(text)
    if column.charset in (None, "utf8mb4"):
        return sql("{}", text)
    # MariaDB compares rows of another character set than the column's wrongly
    return sql("CONVERT({} USING {})", text, word(column.charset or ""))


def _canonical(column: Column, name: Sql, short: bool) -> Sql:
    if column.is_text:
        text = sql("CONVERT({} USING utf8mb4)", name)
        return sql("SHA2({}, 256)", text) if short else sql("HEX({})", text)
    if transfer.is_binary(column):
        if column.base_type == "bit":
            return sql("HEX({} + 0)", name)
        return sql("SHA2({}, 256)", name) if short else sql("HEX({})", name)
    if column.base_type in {"float", "double"}:
        return _exact_number(name)
    text = same_object(name) if external_of(column) else sql("CAST({} AS CHAR)", name)
    return sql("SHA2({}, 256)", text) if short and column.base_type == "json" else text


def _exact_number(name: Sql) -> Sql:
    """A FLOAT or DOUBLE as its power of two and its bits, which each server computes exactly.

    Their own texts differ between vendors, and MySQL's CAST leaves out digits. The exponent changes at
    2^0.7, near no number that people write, so that no server's rounding of the logarithm matters. The power
    is divided off in two steps, for it may be out of range itself.
    """
    exact = sql("({} + 0e0)", name)
    power = sql("FLOOR(LOG2(ABS({})) + 0.3e0)", exact)
    half = sql("FLOOR({} / 2)", power)
    bits = sql("{} / POW(2, {}) / POW(2, {} - {}) * 9007199254740992e0", exact, half, power, half)
    text = sql("CONCAT(CAST({} AS SIGNED), 'e', CAST({} AS SIGNED))", power, bits)
    return sql("CASE WHEN {} = 0 THEN '0' ELSE {} END", name, text)


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
