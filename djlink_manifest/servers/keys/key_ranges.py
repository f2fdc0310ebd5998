"""Ranges of a key's order at the source, so that one large table can be pulled in several places at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.keys.predicates import key_value
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, and_, column, columns, or_, sql

# Types that a comparison with a literal orders as ORDER BY does; an ENUM is sorted by its number, and
# compared by its text
_ORDERED = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "date", "datetime", "timestamp"}
    | {"char", "varchar", "binary", "varbinary"}
)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys behind `after`, or from it on where it is `included`, up to `until`; None is no limit."""

    after: RawRow | None = None
    until: RawRow | None = None
    included: bool = False

    def test(self, key: Sequence[Column], alias: str, names: Sequence[str] | None = None) -> Sql:
        """The condition that an aliased table's key lies in the range, there perhaps of other `names`."""
        names = names or [c.name for c in key]
        least = ">=" if self.included else ">"
        tests = (
            [_beside(key, names, self.after, alias, side=">", last=least)] if self.after is not None else []
        )
        if self.until is not None:
            tests.append(_beside(key, names, self.until, alias, side="<", last="<="))
        return and_(tests)


def has_ranges(link: Link) -> bool:
    """Whether rows of the link, its parts' too, can be told apart by ranges of its key."""

    return all(map(partial(orders, link.definition), link.definition.tables))


def orders(master: TableDefinition, of: TableDefinition) -> bool:
    """Whether rows of the master, or of a part of it, can be told apart by ranges of the master's key."""
    names = master.entity_columns(of)
    pairs = [(c, of.column(n)) for c, n in zip(master.key_columns, names, strict=True)]
    # a row that names no entity by a NULL lies in no range, and in the one without limits
    return all(
        c.base_type in _ORDERED and (c.type, c.collation) == (own.type, own.collation) and not own.nullable
        for c, own in pairs
    )


class Ranges:
    """All keys of a link's source in ranges, one after the other, for several that take them at once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._rest: KeyRange | None = KeyRange()
        self._guard = threading.Lock()

    def take(self, session: Session, rows: int) -> KeyRange | None:
        """The next range, of so many rows of the source or the rest; None behind the last one."""
        with self._guard:
            if self._rest is None:
                return None
            after = self._rest.after
            limit = limit_of(session, self._link, self._rest, rows)
            self._rest = KeyRange(limit) if limit is not None else None
            return KeyRange(after, limit)


def limit_of(session: Session, link: Link, within: KeyRange, rows: int) -> RawRow | None:
    """The key up to which a range holds so many rows of the source; None where it holds no more than that."""
    keys = columns("s", link.key)
    select = sql(
        "SELECT {} FROM {} s WHERE {} ORDER BY {} LIMIT {}, 2",
        reading(link.key_columns, "s"),
        source_table(link),
        within.test(link.key_columns, "s"),
        keys,
        rows - 1,
    )
    found = session.raw_rows(select)
    return found[0] if len(found) == 2 else None


def held_in(session: Session, link: Link, within: KeyRange) -> int:
    """How many outbound rows lie in a range."""
    test = within.test(link.key_columns, "s")
    return session.count(sql("SELECT COUNT(*) FROM {} s WHERE {}", outbound_table(link), test))


def _beside(
    key: Sequence[Column], names: Sequence[str], limit: RawRow, alias: str, side: str, last: str
) -> Sql:
    """The key lies on one side of a limit in its order, or on it where `last` lets it.

    Servers use no index for a comparison of whole rows. Nested, so that most rows need one comparison alone:
    texts are compared by their collation, with every row that is read.
    """
    test: Sql | None = None
    for name, column_of, value in zip(reversed(names), reversed(key), reversed(limit), strict=True):
        own, literal = column(alias, name), key_value(value, column_of)
        if test is None:
            test = sql("{} {} {}", own, Sql(last), literal)
        else:
            within = and_([sql("{} = {}", own, literal), test])
            test = or_([sql("{} {} {}", own, Sql(side), literal), within])
    assert test is not None, "a key has a column"
    return test
