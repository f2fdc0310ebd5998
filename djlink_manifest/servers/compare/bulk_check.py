"""A glance at many links at once: counts and digests of both sides, in one statement for each server.

Most links of most plans are as they were. What a glance shows to be level costs no statement of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.errors import ServerError
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Size, TableName
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.compare.checksum import SetDigest, digested, set_digest_of
from djlink_manifest.servers.compare.key_diff import SideDigests, at_once
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.checked_values import a_count, an_optional_text
from djlink_manifest.servers.session.errors import STRANGE
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, joined, sql, table

TABLES_AT_ONCE = 120  # of one statement: some 40 KB of text
ROWS_AT_ONCE = 100_000  # of one statement, by estimate: larger tables are better spread over sessions


@dataclass(frozen=True, slots=True)
class BulkCheck:
    """What was seen of a link: digests, the source's too, and each part's rows at the source and here."""

    digests: SideDigests
    source: SetDigest
    parts: tuple[tuple[str, int, int], ...]

    @property
    def is_level(self) -> bool:
        """Whether all that the source has is held and here, and nothing else.

        By the keys: equal counts would not tell rows that went while foreign key checks were off, and others
        that came.
        """
        return self.digests.agree and self.digests.source.same(self.source)


def groups(links: Iterable[Link], sizes: Mapping[TableName, Size]) -> Iterator[list[Link]]:
    """The links in groups of one statement each, by the source server's estimates of their rows."""
    group, tables, rows = list[Link](), 0, 0
    for link in links:
        count = len(link.definition.tables)
        size = sum(sizes.get((t.schema, t.name), Size(0, 0)).rows for t in link.definition.tables)
        if group and (tables + count > TABLES_AT_ONCE or rows + size > ROWS_AT_ONCE):
            yield group
            group, tables, rows = [], 0, 0
        group.append(link)
        tables, rows = tables + count, rows + size
    if group:
        yield group


def check_in_bulk(local: Session, source: Session, links: Sequence[Link]) -> Mapping[str, BulkCheck]:
    """Look at links of one source whose tables stand on both sides; all of the source at one moment.

    Raises ServerError, which names no link, where any of them cannot be read.
    """
    local_side, source_side = at_once(
        lambda: _local_digests(local, links), lambda: _source_digests(source, links)
    )
    found = dict[str, BulkCheck]()
    for number, link in enumerate(links):
        names = [part.name for part in link.definition.parts]
        digests = SideDigests(_digest(local, local_side[number, 0]), _digest(source, source_side[number, 0]))
        parts = tuple(
            (name, source_side[number, place][0], local_side[number, place][0])
            for place, name in enumerate(names, start=2)
        )
        found[link.address] = BulkCheck(digests, _digest(source, source_side[number, 1]), parts)
    return found


_Seen = Mapping[
    tuple[int, int], tuple[int, str | None]
]  # by the link's number and the table's: count and digest


def _local_digests(session: Session, links: Sequence[Link]) -> _Seen:
    selects = list[Sql]()
    for number, link in enumerate(links):
        digest = digested(session, link.key_columns)
        selects.append(sql("SELECT {}, 0, {} FROM {}", number, digest, _table(link.local)))
        selects += _parts(number, link.local.parts[: len(link.definition.parts)])
    return _seen(session, selects)


def _source_digests(session: Session, links: Sequence[Link]) -> _Seen:
    selects = list[Sql]()
    for number, link in enumerate(links):
        digest = digested(session, link.key_columns)
        selects.append(sql("SELECT {}, 0, {} FROM {}", number, digest, outbound_table(link)))
        selects.append(sql("SELECT {}, 1, {} FROM {}", number, digest, source_table(link)))
        selects += _parts(number, link.definition.parts)
    with session.snapshot():
        return _seen(session, selects)


def _parts(number: int, parts: Sequence[TableDefinition]) -> Iterator[Sql]:
    for place, part in enumerate(parts, start=2):
        yield sql("SELECT {}, {}, COUNT(*), '' FROM {}", number, place, _table(part))


def _seen(session: Session, selects: Sequence[Sql]) -> _Seen:
    rows = session.rows(joined(" UNION ALL ", selects), a_count, a_count, a_count, an_optional_text)
    found = {(number, place): (count, digest) for number, place, count, digest in rows}
    if len(found) != len(selects):
        raise ServerError("its response lacks counts that were asked for", server=session.name, hint=STRANGE)
    return found


def _digest(session: Session, seen: tuple[int, str | None]) -> SetDigest:
    return set_digest_of(session, *seen)


def _table(of: TableDefinition) -> Sql:
    return table(of.schema, of.name)
