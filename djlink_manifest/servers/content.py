"""Finding entities whose rows differ on the two servers: digests of whole rows, computed where the rows are.

No row travels, and keys only from hash buckets that differ. What is compared is the master row and the rows
of each part, by the master's key, of entities that both outbound and the local table hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.link import Link
from djlink_manifest.servers import digest
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.digest import SetDigest, canonical, sixty_bits
from djlink_manifest.servers.query import outbound_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, columns, comma, equal, sql, table
from djlink_manifest.servers.transfer import reading


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one table on one server: `of` is a FROM clause in which `m` holds the entity's key."""

    session: Session
    of: Sql
    key: Sequence[Column]
    digest: Sql

    def buckets(self, count: int) -> dict[int, SetDigest]:
        """The digest of the rows of each hash bucket of entities."""
        rows = self.session.rows(
            sql(
                "SELECT {} AS bucket, COUNT(*), SUM({}) FROM {} GROUP BY 1",
                self._bucket(count),
                self.digest,
                self.of,
            )
        )
        return {int(b): SetDigest(int(n), int(total)) for b, n, total in rows}

    def entities(self, count: int, group: Sequence[int]) -> dict[RawRow, tuple[bytes | None, ...]]:
        """The digest of each entity's rows in some buckets; an entity without rows has none."""
        key = [c.name for c in self.key]
        select = sql(
            "SELECT {}, COUNT(*), SUM({}) FROM {} WHERE {} IN ({}) GROUP BY {}",
            reading(self.key, "m"),
            self.digest,
            self.of,
            self._bucket(count),
            comma([sql("{}", each) for each in group]),
            columns("m", key),
        )
        return {row[: len(key)]: row[len(key) :] for row in self.session.stream(select)}

    def _bucket(self, count: int) -> Sql:
        return sql("CRC32({}) % {}", canonical(self.key, "m"), count)


def find_changed(local: Session, source: Session, link: Link, into: KeyTable) -> None:
    """Put the keys of entities that both sides hold, and whose rows differ, into a set."""
    master = table(link.local.schema, link.local.name)
    entities = int(local.value(sql("SELECT COUNT(*) FROM {}", master)))
    if not entities:
        return
    count = digest.bucket_count(entities)
    pairs = list(_pairs(local, source, link))
    sizes, suspect = dict[int, int](), set[int]()
    for number, (here, there) in enumerate(pairs):
        mine, theirs = here.buckets(count), there.buckets(count)
        suspect |= {b for b in mine.keys() | theirs.keys() if mine.get(b) != theirs.get(b)}
        if number == 0:
            sizes = {
                b: max(d.get(b, _NONE).count for d in (mine, theirs)) for b in mine.keys() | theirs.keys()
            }
    for group in _groups(sorted(suspect & sizes.keys()), sizes):
        into.add(sorted(_changed(pairs, count, group)))


_NONE = SetDigest(0, 0)


def _changed(pairs: Sequence[tuple[_Rows, _Rows]], count: int, group: Sequence[int]) -> set[RawRow]:
    """The entities of some buckets that are on both sides and differ in any of their tables."""
    (here, there), *parts = pairs
    mine, theirs = here.entities(count, group), there.entities(count, group)
    shared = mine.keys() & theirs.keys()
    changed = {key for key in shared if mine[key] != theirs[key]}
    for here, there in parts:
        mine, theirs = here.entities(count, group), there.entities(count, group)
        changed |= {key for key in shared if mine.get(key) != theirs.get(key)}
    return changed


def _groups(buckets: Sequence[int], sizes: dict[int, int]) -> Iterator[list[int]]:
    """The buckets in groups small enough to hold the entities of both sides in memory."""
    group, size = list[int](), 0
    for bucket in buckets:
        if group and size + sizes[bucket] > digest.KEYS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(bucket)
        size += sizes[bucket]
    if group:
        yield group


def _pairs(local: Session, source: Session, link: Link) -> Iterator[tuple[_Rows, _Rows]]:
    """Each table's rows here and at the source, the master's first."""
    ours, key = table(link.local.schema, link.local.name), link.key_columns
    for theirs, mine in zip(link.definition.tables, link.local.tables, strict=False):
        compared = _compared(link, theirs)
        what = sixty_bits(canonical(compared, "t", short=True)) if compared else Sql("0")
        match = equal("t", _entity(link, theirs), "m", link.key)
        rows = table(mine.schema, mine.name)
        # the master joins itself, so that one form does for all tables; MySQL reads such a row once more
        here = sql("{} m JOIN {} t ON {}", ours, rows, match)
        there = sql("{} m JOIN {} t ON {}", outbound_table(link), table(theirs.schema, theirs.name), match)
        yield _Rows(local, here, key, what), _Rows(source, there, key, what)


def _compared(link: Link, of: TableDefinition) -> tuple[Column, ...]:
    """The columns whose values count: what is copied; the master's key is what entities are found by."""
    if of is link.definition:
        return tuple(c for c in of.stored_columns if c.name not in link.key)
    return of.stored_columns


def _entity(link: Link, of: TableDefinition) -> Sequence[str]:
    """The columns that hold the entity's key."""
    if of is link.definition:
        return link.key
    mine = link.definition.master_columns(of)
    assert mine is not None, "a part without its master's key is refused when the link is resolved"
    return mine
