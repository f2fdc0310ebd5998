"""Key tables: temporary tables on a source server that hold sets of keys, so that keys need not travel.

They live in the outbound schema (the only one where the link user may make them), belong to one session and
end with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.ddl.tables import key_columns
from djlink_manifest.servers.query.rows import inserts, most_bytes, reading
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, idents, sql, table

SEQ = "~seq"  # counts the keys from 1 in the order they were added


class KeyTable:
    """A set of a link's keys on the source server, numbered from 1.

    MySQL lets a statement name a temporary table once only.
    """

    def __init__(self, session: Session, link: Link, label: str) -> None:
        self.session = session
        self.link = link
        self.name = table(link.outbound_schema, f"~djlink_{label}")
        self.count = 0

    def add(self, rows: Iterable[RawRow]) -> None:
        """Add keys that came over the wire, raw, in key order of columns."""
        for statement in inserts(self.name, self.link.key_columns, rows, most_bytes(self.session)):
            self.count += self.session.send_scratch(statement.text)

    def add_from(self, select: Sql) -> None:
        """Add the keys that a SELECT gives, on the server. It may begin with WITH."""
        if self.count:
            # an INSERT … SELECT takes more numbers than it needs, and the numbers must leave no gap
            self.session.scratch(sql("ALTER TABLE {} AUTO_INCREMENT = {}", self.name, self.count + 1))
        self.count += self.session.scratch(
            sql("INSERT INTO {} ({}) {}", self.name, idents(self.link.key), select)
        )

    def clear(self) -> None:
        """Empty the set."""
        self.session.scratch(sql("TRUNCATE TABLE {}", self.name))
        self.count = 0

    def pages(self, size: int) -> Iterator[tuple[int, int]]:
        """Ranges of numbers, both ends included, that cover the set."""
        for first in range(1, self.count + 1, size):
            yield first, min(first + size - 1, self.count)

    def keys(self, first: int, last: int) -> list[RawRow]:
        """The keys with these numbers, raw."""
        what = reading(self.link.key_columns)
        between = sql("`~seq` BETWEEN {} AND {}", first, last)
        return list(
            self.session.stream(sql("SELECT {} FROM {} WHERE {} ORDER BY `~seq`", what, self.name, between))
        )


@contextmanager
def key_table(session: Session, link: Link, label: str, *, looked_up: bool = True) -> Iterator[KeyTable]:
    """A fresh key table that is dropped at the end, unless the session broke.

    `looked_up`: keys are looked for in it, beside being read in their order.
    """
    found = KeyTable(session, link, label)
    columns = (
        f"`{SEQ}` bigint unsigned NOT NULL AUTO_INCREMENT, {key_columns(link.definition)},"
        f" PRIMARY KEY (`{SEQ}`)"
    )
    if looked_up:
        columns += f", UNIQUE KEY `~key` ({idents(link.key).text})"
    with temporary(session, found.name, columns):
        yield found


@contextmanager
def temporary(session: Session, name: Sql, columns: str) -> Iterator[None]:
    """A temporary table for the time of the block; one of the same name that was left behind is dropped.

    `columns` is what stands between the parentheses of its CREATE TABLE.
    """
    create_temporary(session, name, columns)
    yield
    # on an error the session is closed by its pool, and the table with it
    drop_temporary(session, name)


def create_temporary(session: Session, name: Sql, columns: str) -> None:
    """Create a temporary table in place of one of the same name that was left behind."""
    drop_temporary(session, name)
    session.scratch(Sql(f"CREATE TEMPORARY TABLE {name.text} ({columns}) ENGINE=InnoDB"))


def drop_temporary(session: Session, name: Sql) -> None:
    """Drop a temporary table, if it exists."""
    session.scratch(sql("DROP TEMPORARY TABLE IF EXISTS {}", name))
