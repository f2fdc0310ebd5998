"""Comparing entities one by one: digests of the whole rows of those that some keys name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from djlink_manifest.model.links.link import Link, copied_columns
from djlink_manifest.model.stores.external import is_inline, is_plain_json
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.compare.checksum import byte_for_byte, canonical, sixty_bits
from djlink_manifest.servers.keys.predicates import in_pieces, keys_in
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, equal, sql, table
from djlink_manifest.servers.sql import columns as names_of

_MOST_DIGITS = 20  # of a whole number of 64 bits, or of its digits and sign


def equal_entities(local: Session, source: Session, link: Link, keys: Sequence[RawRow]) -> list[RawRow]:
    """Those of the keys whose master and part rows are the same on both servers, by digests of whole rows."""
    if any(
        is_inline(c, local_table) for source_table, local_table in link.tables for c in source_table.columns
    ):
        return []  # an object and a value in a row are not compared
    alike = local.identity.version.vendor == source.identity.version.vendor
    local_key = _entity_digests(local, link.local, link, keys, alike)
    source_side = _entity_digests(source, link.definition, link, keys, alike)
    same = [key for key in keys if key in local_key and local_key[key] == source_side.get(key)]
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
    local_values = _entity_json(local, link.local, link, keys)
    source_values = _entity_json(source, link.definition, link, keys)
    return [key for key in keys if key in local_values and local_values[key] != source_values.get(key)]


def _entity_digests(
    session: Session, where: TableDefinition, link: Link, keys: Sequence[RawRow], alike: bool
) -> dict[RawRow, tuple[object, ...]]:
    """Per key, digests of the master row and of the rows of each part; equal entities have equal values.

    `where` is the link's definition or its local table; `alike`: both servers are of one vendor, and write
    the same JSON value the same way.
    """
    found: dict[RawRow, tuple[object, ...]] = {}
    for number, (columns, rows, alias) in enumerate(_tables_of(where, link)):
        some = [c for c in columns if alike or not is_plain_json(c)]
        compared = byte_for_byte(some, [link.local.tables[number].column(c.name) for c in some])
        for piece in in_pieces(session, keys):
            select = sql(
                "SELECT {}, COUNT(*), SUM({}) FROM {} WHERE {} GROUP BY {}",
                reading(link.key_columns, "m"),
                sixty_bits(canonical(compared, alias, short=True)),
                rows,
                keys_in(where.key_columns, piece, "m"),
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
        for some in in_pieces(session, keys):
            select = sql(
                "SELECT {}, {}, {} FROM {} WHERE {}",
                reading(link.key_columns, "m"),
                canonical(of.key_columns, alias),
                reading(json_columns, alias),
                rows,
                keys_in(where.key_columns, some, "m"),
            )
            for row in session.stream(select):
                place, (own, *values) = tuple(row[: len(link.key)]), row[len(link.key) :]
                found.setdefault(place, []).append(f"{number} {own!r} {[_spelled(v) for v in values]}")
    return {key: sorted(rows) for key, rows in found.items()}


def _tables_of(where: TableDefinition, link: Link) -> Iterator[tuple[tuple[Column, ...], Sql, str]]:
    """Of the master and each part: the columns that both sides hold, the rows for a FROM, their alias."""
    master = table(where.schema, where.name)
    for source_table, local, local_table in zip(
        link.definition.tables, link.local.tables, where.tables, strict=False
    ):
        columns = copied_columns(source_table, local)
        if source_table is link.definition:
            yield columns, sql("{} m", master), "m"
            continue
        own_columns = link.definition.entity_columns(source_table)
        # by the master's key: where case does not count, a part may spell it otherwise
        match = equal("p", own_columns, "m", link.key)
        yield (
            columns,
            sql("{} m JOIN {} p ON {}", master, table(local_table.schema, local_table.name), match),
            "p",
        )


def _spelled(value: bytes | None) -> str | None:
    """A JSON text in one spelling of its value."""
    return None if value is None else json.dumps(json.loads(value, parse_int=_whole), sort_keys=True)


def _whole(digits: str) -> int | float:
    """A whole number as MySQL keeps it: a double where it has more than 64 bits."""
    number = int(digits) if len(digits) <= _MOST_DIGITS else None
    return number if number is not None and -(1 << 63) <= number < 1 << 64 else float(digits)
