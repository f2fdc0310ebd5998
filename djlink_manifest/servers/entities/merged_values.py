"""Count the source's rows whose keys would be one by the collation of the local table.

On the source's server, where it has that very collation; else by the weights that the local server gives.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.merging import MergingKey, merging_keys
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.predicates import ROWS_AT_ONCE, in_pieces
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.checked_values import a_flag, a_text
from djlink_manifest.servers.session.session import RawRow, Session, first_values
from djlink_manifest.servers.sql import Sql, and_, column, comma, exists_in, joined, or_, sql, table, word


def count_merged(
    source: Session, local: Session, source_links: SourceLinks, link: Link, *, at_source: bool
) -> list[tuple[MergingKey, int]]:
    """For each key of the link that `collation` merges, how many rows of wanted or held entities that are."""
    found = []
    for key in merging_keys(link):
        tests = [sql("{} IS NOT NULL", column("t", c.name)) for c in _columns(key) if c.nullable]
        tests.append(concerned(source, source_links, link, key.owner))
        rows = sql("{} t WHERE {}", table(key.source_table.schema, key.source_table.name), and_(tests))
        if at_source:
            count = _count(source, rows, comma([_collated(key, name) for name in key.columns]))
        else:
            values = source.stream(sql("SELECT {} FROM {}", reading(_columns(key), "t"), rows))
            count = _repeated(_weights(local, key, values))
        if count:
            found.append((key, count))
    return found


def concerned(source: Session, source_links: SourceLinks, link: Link, owner: Sequence[str]) -> Sql:
    """The condition that a row `t` is of a wanted or held entity, whose key its columns `owner` hold."""
    wanted = Sets(source, source_links).is_wanted(link.address, "t", owner)
    if wanted is None:
        return Sql("TRUE")
    held = [exists_in(outbound_table(link), link.key, "t", owner)]
    return or_([wanted, *(held if link.address in source_links.held else [])])


def as_local(local: Column, value: Sql) -> Sql:
    """A text as the local column compares it."""
    return sql(
        "CONVERT({} USING {}) COLLATE {}", value, word(local.charset or ""), word(local.collation or "")
    )


def _columns(key: MergingKey) -> list[Column]:
    return [key.source_table.column(name) for name in key.columns]


def _collated(key: MergingKey, name: str) -> Sql:
    value = column("t", name)
    return as_local(key.local_table.column(name), value) if key.is_other(name) else value


def _count(session: Session, rows: Sql, values: Sql) -> int:
    groups = sql("SELECT COUNT(*) AS n FROM {} GROUP BY {} HAVING COUNT(*) > 1", rows, values)
    return session.count(sql("SELECT COALESCE(SUM(g.n), 0) FROM ({}) g", groups))


def _repeated(weights: Iterable[int]) -> int:
    """How many of them are not alone; eight bytes of memory each."""
    found = sorted(array("Q", weights))
    counts = (sum(1 for _ in group) for _, group in groupby(found))
    return sum(count for count in counts if count > 1)


def _weights(local: Session, key: MergingKey, rows: Iterator[RawRow]) -> Iterator[int]:
    """A number of each row's values, equal where the local server takes them for equal."""
    pads = {
        name: local.value(
            sql("SELECT {} = {}", *(as_local(of, sql("{}", text)) for text in ("a", "a "))), a_flag
        )
        for name in key.columns
        if (of := key.local_table.column(name)).is_text
    }
    while page := list(islice(rows, ROWS_AT_ONCE)):
        for some in in_pieces(local, page):
            selects = [sql("SELECT {}", _weight(key, pads, row)) for row in some]
            for digest in first_values(local.rows(joined(" UNION ALL ", selects), a_text)):
                yield int(digest[:16], 16)


def _weight(key: MergingKey, pads: dict[str, bool], row: RawRow) -> Sql:
    parts = []
    for name, value in zip(key.columns, row, strict=True):
        assert value is not None, "a key with NULL is not asked for"
        of = key.local_table.column(name)
        if not of.is_text:
            parts.append(sql("{}", value.hex()))
            continue
        text = sql("{}", value.decode())
        parts.append(
            sql("HEX(WEIGHT_STRING({}))", as_local(of, sql("RTRIM({})", text) if pads[name] else text))
        )
    return sql("SHA2(CONCAT_WS('|', {}), 256)", comma(parts))
