"""Key lists: keys of a link on its source's server, a few thousand at a time, to join tables with.

A list that is written into a statement is read by the server's parser once for each statement, and from some
thousand keys on its optimizer gives up ranges and reads whole tables. A joined temporary table does neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.keys.key_table import SEQ, KeyTable
from djlink_manifest.servers.keys.temporary_table import EntityKeys
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, column, columns, equal, sql


class KeysInHand:
    """Keys in a temporary table of a source's server, to join with: `count` of them."""

    def __init__(self, link: Link, name: Sql, count: int) -> None:
        self.link = link
        self.name = name
        self.count = count

    def joined(self, of: Sql) -> Sql:
        """The keys `d`, read first, joined with a table; an alias `r` of that table must follow."""
        return sql("{} d STRAIGHT_JOIN {}", self.name, of)

    def matches(self, alias: str = "r") -> Sql:
        """The condition of that join."""
        return equal(alias, self.link.key, "d", self.link.key)

    def select(self) -> Sql:
        """The SELECT of the keys."""
        return sql("SELECT {} FROM {} d WHERE {}", columns("d", self.link.key), self.name, self.in_())

    def in_(self) -> Sql:
        """The condition that a row `d` of the table is one of them."""
        return Sql("TRUE")


class NumberedKeys(KeysInHand):
    """The keys of a key table with some numbers, both ends included: they are there already."""

    def __init__(self, keys: KeyTable, first: int, last: int) -> None:
        super().__init__(keys.link, keys.name, last - first + 1)
        self.of = keys
        self.first = first
        self.last = last

    def read(self) -> list[RawRow]:
        """The keys, raw, in their order."""
        return self.of.keys(self.first, self.last)

    def matches(self, alias: str = "r") -> Sql:
        """The condition of the join, of these numbers alone."""
        return sql("{} AND {}", self.in_(), super().matches(alias))

    def in_(self) -> Sql:
        """The condition that a row `d` of the table has one of the numbers."""
        return sql("{} BETWEEN {} AND {}", column("d", SEQ), self.first, self.last)


class KeyList(EntityKeys, KeysInHand):
    """A list to put keys into. What a transaction put in is gone where it is rolled back.

    Lists of several links at the same time have different numbers.
    """

    def __init__(self, session: Session, link: Link, number: int = 0) -> None:
        super().__init__(session, link.definition, link.outbound_schema, f"list_{number}")
        self.link = link
        self.count = 0

    def put(self, keys: Sequence[RawRow]) -> None:
        """Replace what is in hand; the keys are raw, each once."""
        self.delete()
        self.add(keys)
        self.count = len(keys)


def key_list(session: Session, link: Link, number: int = 0) -> KeyList:
    """An empty list for the time of a `with` block, which begins outside of transactions."""
    return KeyList(session, link, number)
