"""Finding entities whose rows differ on the two servers: digests of whole rows, computed where the rows are.

No row travels, and keys with digests only from hash buckets that differ, to the source's server. What is
compared is the master row and the rows of each part, by the master's key, of entities that both outbound and
the local table hold. JSON alone travels, and only between MySQL and MariaDB, which spell one value
differently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from djlink_manifest.model.links.link import Link, copied_columns
from djlink_manifest.model.stores.external import is_inline, is_plain_json
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.compare import checksum, entity_diff
from djlink_manifest.servers.compare.checksum import canonical, sixty_bits
from djlink_manifest.servers.compare.key_diff import at_once
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.keys import predicates
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.checked_values import a_count, a_number
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, columns, comma, equal, idents, not_exists_in, sql, table

BUCKETS_MOST = 65_536

_COUNT, _TOTAL = Column("~n", "bigint"), Column("~total", "decimal(65,0)")


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one table on one server: `of` is a FROM clause in which `m` holds the entity's key."""

    session: Session
    of: Sql
    key: Sequence[Column]
    digest: Sql

    def buckets(self, count: int) -> dict[int, tuple[int, int]]:
        """The digest of the rows of each hash bucket of entities."""
        rows = self.session.rows(
            sql(
                "SELECT {} AS bucket, COUNT(*), SUM({}) FROM {} GROUP BY 1",
                self._bucket(count),
                self.digest,
                self.of,
            ),
            *(a_count, a_count, a_number),
        )
        return {b: (n, total) for b, n, total in rows}

    def entities(self, count: int, suspect: Sequence[int]) -> Sql:
        """The SELECT of the key and the digest of each entity's rows, of the entities in some buckets."""
        return sql(
            "SELECT {}, COUNT(*), SUM({}) FROM {} WHERE {} IN ({}) GROUP BY {}",
            reading(self.key, "m"),
            self.digest,
            self.of,
            self._bucket(count),
            comma([sql("{}", each) for each in suspect]),
            columns("m", [c.name for c in self.key]),
        )

    def _bucket(self, count: int) -> Sql:
        return sql("CRC32({}) % {}", canonical(self.key, "m"), count)


class _Digests(TemporaryTable):
    """A temporary table on the source server with a digest for each entity."""

    def __init__(self, session: Session, link: Link, label: str) -> None:
        columns = (*link.key_columns, _COUNT, _TOTAL)
        flags = "`~held` tinyint NOT NULL DEFAULT 0, `~changed` tinyint NOT NULL DEFAULT 0"
        body = f"{column_list(columns)}, {flags}, PRIMARY KEY ({idents(link.key).text})"
        super().__init__(session, (link.outbound_schema, f"~djlink_{label}"), columns, body)
        self.key = link.key


def find_changed(
    local: Session,
    source: Session,
    link: Link,
    into: KeyTable,
    only: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Put the keys of entities that both sides hold, and whose rows differ, into a set.

    Each side reads each table at most twice, however much differs, and memory holds no key; JSON between two
    vendors is read once more, in pages of entities. `only`: nothing but these columns is compared, by local
    table.
    """
    master = table(link.local.schema, link.local.name)
    held = local.count(sql("SELECT COUNT(*) FROM {}", master))
    if not held:
        return
    count = checksum.bucket_count(held, BUCKETS_MOST)
    alike = local.identity.version.vendor == source.identity.version.vendor
    pairs = list(_pairs(local, source, link, alike, only))
    suspect = list[list[int]]()
    for local_side, source_side in pairs:
        local_buckets, source_buckets = at_once(
            partial(local_side.buckets, count), partial(source_side.buckets, count)
        )
        suspect.append(
            [
                b
                for b in sorted(local_buckets.keys() | source_buckets.keys())
                if local_buckets.get(b) != source_buckets.get(b)
            ]
        )
    every = sorted({bucket for each in suspect for bucket in each})
    if every:
        _compare(pairs, suspect, every, count, link=link, into=into)
    if not alike and only is None and entity_diff.has_json(link):
        _compare_json(local, source, link, into)


def add_others(source: Session, link: Link, into: KeyTable, keys: Sequence[RawRow]) -> None:
    """Add keys to a set that may hold some of them already."""
    with key_table(source, link, "others") as others:
        others.add(keys)
        rest = not_exists_in(into.name, link.key, "o", link.key)
        names = reading(link.key_columns, "o")
        into.add(source.raw_rows(sql("SELECT {} FROM {} o WHERE {}", names, others.name, rest)))


def _compare_json(local: Session, source: Session, link: Link, into: KeyTable) -> None:
    """Add the entities whose JSON values differ, of those that are not among the set already."""
    with key_table(source, link, "held") as held:
        rest = not_exists_in(into.name, link.key, "o", link.key)
        held.add_from(sql("SELECT {} FROM {} o WHERE {}", columns("o", link.key), outbound_table(link), rest))
        for first, last in held.pages(predicates.ROWS_AT_ONCE):
            into.add(entity_diff.differing_json(local, source, link, held.keys(first, last)))


def _compare(
    pairs: Sequence[tuple[_Rows, _Rows]],
    suspect: Sequence[Sequence[int]],
    every: Sequence[int],
    count: int,
    link: Link,
    into: KeyTable,
) -> None:
    """Find the entities that differ in the buckets that do, by digests brought together at the source."""
    with _Digests(into.session, link, "masters") as masters:
        for number, (local, source_side) in enumerate(pairs):
            of = every if number == 0 else suspect[number]
            if not of:
                continue
            with _Digests(into.session, link, "theirs") as source:
                source.add_from(source_side.entities(count, of))
                if number == 0:
                    masters.add(local.session.stream(local.entities(count, of)))
                    _mark_masters(masters, source)
                    continue
                with _Digests(into.session, link, "ours") as local_digests:
                    local_digests.add(local.session.stream(local.entities(count, of)))
                    _mark_parts(masters, local_digests, source)
        keys = idents(link.key)
        into.add_from(sql("SELECT {} FROM {} WHERE `~changed` ORDER BY {}", keys, masters.name, keys))


def _mark_masters(masters: _Digests, source: _Digests) -> None:
    masters.update(
        {"~held": Sql("1"), "~changed": Sql("d.`~total` <> s.`~total`")},
        Sql("TRUE"),
        sql("JOIN {} s ON {}", source.name, equal("d", masters.key, "s", masters.key)),
    )


def _mark_parts(masters: _Digests, local: _Digests, source: _Digests) -> None:
    """An entity without rows of the part has no digest of it, on either side.

    Outside of the buckets that were looked at neither side has one.
    """
    masters.update(
        {"~changed": Sql("1")},
        Sql("d.`~held` AND NOT (o.`~n` <=> s.`~n` AND o.`~total` <=> s.`~total`)"),
        sql(
            "LEFT JOIN {} o ON {} LEFT JOIN {} s ON {}",
            local.name,
            equal("o", masters.key, "d", masters.key),
            source.name,
            equal("s", masters.key, "d", masters.key),
        ),
    )


def _pairs(
    local: Session,
    source: Session,
    link: Link,
    alike: bool,
    only: Mapping[str, Collection[str]] | None,
) -> Iterator[tuple[_Rows, _Rows]]:
    """Each table's rows here and at the source, the master's first; `alike`: JSON is compared as text.

    `only`: of the parts those that it names, and of all tables these columns.
    """
    local_table_name, key = table(link.local.schema, link.local.name), link.key_columns
    for source_table, local_table in zip(link.definition.tables, link.local.tables, strict=False):
        if only is not None and local_table.name not in only and source_table is not link.definition:
            continue
        compared = [c for c in _compared(link, source_table, local_table) if alike or not is_plain_json(c)]
        if only is not None:
            compared = [c for c in compared if c.name in only.get(local_table.name, ())]
        exact = checksum.byte_for_byte(compared, [local_table.column(c.name) for c in compared])
        what = sixty_bits(canonical(exact, "t", short=True)) if compared else Sql("0")
        match = equal("t", link.definition.entity_columns(source_table), "m", link.key)
        rows = table(local_table.schema, local_table.name)
        # the master joins itself, so that one form does for all tables; MySQL reads such a row once more
        local_side = sql("{} m JOIN {} t ON {}", local_table_name, rows, match)
        source_side = sql(
            "{} m JOIN {} t ON {}", outbound_table(link), table(source_table.schema, source_table.name), match
        )
        yield _Rows(local, local_side, key, what), _Rows(source, source_side, key, what)


def _compared(link: Link, source_table: TableDefinition, local_table: TableDefinition) -> tuple[Column, ...]:
    """The columns whose values count: what is copied; the master's key is what entities are found by."""
    copied = tuple(c for c in copied_columns(source_table, local_table) if not is_inline(c, local_table))
    return tuple(c for c in copied if c.name not in link.key) if source_table is link.definition else copied
