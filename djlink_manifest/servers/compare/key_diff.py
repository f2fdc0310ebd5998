"""Finding the keys that one of two servers lacks: digests first, hash buckets where these differ.

The keys of the buckets that differ travel, and no others. A bucket's digest has 32 bits; what is found must
account for the whole sets' digests to the last bit, else every key is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.compare.checksum import SetDigest, bucket, bucket_count, check, set_digest
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.checked_values import a_count
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.session.wire import values
from djlink_manifest.servers.sql import Sql, comma, idents, sql, table

KEYS_AT_ONCE = 50_000  # keys of one side held in memory
BUCKETS_MOST = 16_384

_A = TypeVar("_A")
_B = TypeVar("_B")


@dataclass(frozen=True, slots=True)
class SideDigests:
    """The digests of a link's local table and of its outbound table."""

    local: SetDigest
    source: SetDigest

    @property
    def agree(self) -> bool:
        """Whether both hold the same keys."""
        return self.local.same(self.source)

    def explained_by(self, missing: SetDigest, extra: SetDigest) -> bool:
        """Whether the local keys with those missing are the outbound ones with those extra."""
        counts = self.local.count + missing.count == self.source.count + extra.count
        return counts and (self.local ^ self.source ^ missing ^ extra).total == 0


def side_digests(local: Session, source: Session, link: Link) -> SideDigests:
    """The digests of both sides: two statements at once, no key travels.

    A difference found while another pull runs may be none; `compare_keys` looks again, in the right order.
    """
    local_side, source_side = _sides(link)
    return SideDigests(
        *at_once(
            lambda: set_digest(local, local_side, link.key_columns),
            lambda: set_digest(source, source_side, link.key_columns),
        )
    )


def compare_keys(
    local: Session,
    source: Session,
    link: Link,
    missing: KeyTable,
    extra: KeyTable,
    known: SideDigests | None = None,
) -> None:
    """Find the keys that outbound has and the local table lacks (`missing`), and the other way (`extra`).

    Both sides are read as they were at one moment, local before outbound: a pull writes outbound first, so
    what is read in this order is never taken for unprotected while another pull runs. No key travels where
    the local table is empty. `known` are digests of a moment ago.
    """
    local_side, source_side = _sides(link)
    if not local.rows(sql("SELECT 1 FROM {} LIMIT 1", local_side)):
        # not in a snapshot, where the rows would be locked
        missing.add_from(sql("SELECT {} FROM {}", idents(link.key), source_side))
        return
    with local.snapshot(), source.snapshot(keep=True):
        seen = known or side_digests(local, source, link)
        buckets = bucket_count(max(seen.local.count, seen.source.count), BUCKETS_MOST)
        _find(
            local,
            source,
            link,
            buckets,
            groups=_dirty(*_buckets(local, source, link, buckets)),
            missing=missing,
            extra=extra,
        )
        if _accounted(seen, missing, extra):
            return
        if known is not None and _accounted(side_digests(local, source, link), missing, extra):
            return  # something was pulled or deleted since
    missing.clear()
    extra.clear()
    with local.snapshot(), source.snapshot(keep=True):
        every = _buckets(local, source, link, buckets)
        _find(
            local,
            source,
            link,
            buckets,
            groups=_grouped(*every, every[0].keys() | every[1].keys()),
            missing=missing,
            extra=extra,
        )


def at_once(one: Callable[[], _A], other: Callable[[], _B]) -> tuple[_A, _B]:
    """The results of both, which run at the same time."""
    with ThreadPoolExecutor(1, thread_name_prefix="djlink") as threads:
        running = threads.submit(one)
        second = other()
        return running.result(), second


def all_local_keys(local: Session, link: Link) -> Iterator[RawRow]:
    """Every key of the local table, raw."""
    return local.stream(sql("SELECT {} FROM {}", reading(link.key_columns), _sides(link)[0]))


def _sides(link: Link) -> tuple[Sql, Sql]:
    return table(link.local.schema, link.local.name), outbound_table(link)


def _accounted(seen: SideDigests, missing: KeyTable, extra: KeyTable) -> bool:
    key = missing.link.key_columns
    of_missing, of_extra = (set_digest(each.session, each.name, key) for each in (missing, extra))
    return seen.explained_by(of_missing, of_extra)


def _find(
    local: Session,
    source: Session,
    link: Link,
    buckets: int,
    groups: Iterable[Sequence[int]],
    missing: KeyTable,
    extra: KeyTable,
) -> None:
    local_side, source_side = _sides(link)
    width = len(link.key)
    for group in groups:
        local_keys, outbound_keys = at_once(
            lambda: set(_keys_of(local, local_side, link, buckets, group)),  # noqa: B023 - runs within the round
            lambda: set(_keys_of(source, source_side, link, buckets, group)),  # noqa: B023
        )
        missing.add(tuple(values(key, width)) for key in sorted(outbound_keys - local_keys))
        extra.add(tuple(values(key, width)) for key in sorted(local_keys - outbound_keys))


_Buckets = Mapping[int, tuple[int, int]]  # of each bucket the count and the digest


def _buckets(local: Session, source: Session, link: Link, buckets: int) -> tuple[_Buckets, _Buckets]:
    local_side, source_side = _sides(link)

    def of(session: Session, side: Sql) -> _Buckets:
        number, total = bucket(link.key_columns, buckets), check(link.key_columns)
        # a column may be called like an alias, so grouping is by the column's place
        rows = session.rows(
            sql("SELECT {}, COUNT(*), {} FROM {} GROUP BY 1", number, total, side), a_count, a_count, a_count
        )
        return {b: (count, digest) for b, count, digest in rows}

    return at_once(lambda: of(local, local_side), lambda: of(source, source_side))


def _dirty(local: _Buckets, source: _Buckets) -> Iterator[list[int]]:
    """The buckets that differ, in groups small enough to hold the keys of both sides in memory."""
    return _grouped(local, source, {b for b in local.keys() | source.keys() if local.get(b) != source.get(b)})


def _grouped(local: _Buckets, source: _Buckets, wanted: Iterable[int]) -> Iterator[list[int]]:
    group, size = list[int](), 0
    for number in sorted(wanted):
        count = max(local.get(number, (0, 0))[0], source.get(number, (0, 0))[0])
        if group and size + count > KEYS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(number)
        size += count
    if group:
        yield group


def _keys_of(session: Session, of: Sql, link: Link, buckets: int, group: Sequence[int]) -> Iterator[bytes]:
    """The keys as their packets: equal where the keys are, and small, however many columns they have."""
    key = link.key_columns
    numbers = comma([sql("{}", number) for number in group])
    select = sql("SELECT {} FROM {} WHERE {} IN ({})", reading(key), of, bucket(key, buckets), numbers)
    for _, packets in session.packets(select, held=True):
        yield from packets
