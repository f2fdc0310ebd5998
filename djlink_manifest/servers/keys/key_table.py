"""Key tables: temporary tables on a source server that hold sets of keys, numbered, to be taken in pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, idents, sql

SEQ = "~seq"  # counts the keys from 1 in the order they were added


class KeyTable(TemporaryTable):
    """A set of a link's keys on the source server, numbered from 1; `count` of them.

    `looked_up`: keys are looked for in it, beside being read in their order.
    """

    def __init__(self, session: Session, link: Link, label: str, *, looked_up: bool = True) -> None:
        keys = column_list(link.key_columns)
        body = f"`{SEQ}` bigint unsigned NOT NULL AUTO_INCREMENT, {keys}, PRIMARY KEY (`{SEQ}`)"
        if looked_up:
            body += f", UNIQUE KEY `~key` ({idents(link.key).text})"
        super().__init__(session, (link.outbound_schema, f"~djlink_{label}"), link.key_columns, body)
        self.link = link
        self.count = 0

    def add(self, rows: Iterable[RawRow]) -> int:
        """Add keys that came over the wire, raw, in key order of columns; how many."""
        added = super().add(rows)
        self.count += added
        return added

    def add_from(self, select: Sql) -> int:
        """Add the keys that a SELECT gives, on the server; how many. It may begin with WITH."""
        if self.count:
            # an INSERT … SELECT takes more numbers than it needs, and the numbers must leave no gap
            self.session.temporary.number_from(self.name, self.count + 1)
        added = super().add_from(select)
        self.count += added
        return added

    def clear(self) -> None:
        """Empty the set."""
        self.session.temporary.truncate(self.name)
        self.count = 0

    def pages(self, size: int) -> Iterator[tuple[int, int]]:
        """Ranges of numbers, both ends included, that cover the set."""
        for first in range(1, self.count + 1, size):
            yield first, min(first + size - 1, self.count)

    def keys(self, first: int, last: int) -> list[RawRow]:
        """The keys with these numbers, raw."""
        what = reading(self.link.key_columns)
        between = sql("`~seq` BETWEEN {} AND {}", first, last)
        return self.session.raw_rows(
            sql("SELECT {} FROM {} WHERE {} ORDER BY `~seq`", what, self.name, between)
        )


def key_table(session: Session, link: Link, label: str, *, looked_up: bool = True) -> KeyTable:
    """A key table for the time of a `with` block, which makes and drops it."""
    return KeyTable(session, link, label, looked_up=looked_up)
