"""Ranges of a key's order at the source, so that one large table can be pulled in several places at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.link import Link
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.digest import key_value
from djlink_manifest.servers.query import outbound_table, source_table
from djlink_manifest.servers.sql import Sql, both, column, columns, either, sql
from djlink_manifest.servers.transfer import reading

# Types that a comparison with a literal orders as ORDER BY does; an ENUM is sorted by its number, and
# compared by its text
_ORDERED = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "date", "datetime", "timestamp"}
    | {"char", "varchar", "binary", "varbinary"}
)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys behind `after` up to `until`; None is no limit."""

    after: RawRow | None = None
    until: RawRow | None = None

    def test(self, key: Sequence[Column], alias: str, names: Sequence[str] | None = None) -> Sql:
        """The condition that an aliased table's key lies in the range, there perhaps of other `names`."""
        names = names or [c.name for c in key]
        tests = [_behind(key, names, self.after, alias)] if self.after is not None else []
        if self.until is not None:
            tests.append(sql("NOT ({})", _behind(key, names, self.until, alias)))
            limit = key_value(self.until[0], key[0])
            tests.append(sql("{} <= {}", column(alias, names[0]), limit))  # for the index
        return both(tests)


def has_ranges(link: Link) -> bool:
    """Whether rows of the link, its parts' too, can be told apart by ranges of its key."""

    def alike(part: TableDefinition) -> bool:
        names = link.definition.master_columns(part) or ()
        pairs = zip(link.key_columns, names, strict=True)
        return all((c.type, c.collation) == (part.column(n).type, part.column(n).collation) for c, n in pairs)

    return all(c.base_type in _ORDERED for c in link.key_columns) and all(map(alike, link.definition.parts))


def key_ranges(session: Session, link: Link, count: int) -> tuple[KeyRange, ...]:
    """So many ranges that hold about as many rows of the source each, or fewer for too few rows."""
    step = int(session.value(sql("SELECT COUNT(*) FROM {}", source_table(link)))) // count
    limits = list[RawRow]()
    while step and len(limits) < count - 1:
        limit = limit_of(session, link, KeyRange(limits[-1] if limits else None), step)
        if limit is None:
            break
        limits.append(limit)
    return tuple(KeyRange(a, b) for a, b in zip([None, *limits], [*limits, None], strict=True))


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
    found = list(session.stream(select))
    return found[0] if len(found) == 2 else None


def held_in(session: Session, link: Link, within: KeyRange) -> int:
    """How many outbound rows lie in a range."""
    return _count(session, outbound_table(link), link, within)


def holds_all(session: Session, link: Link, within: KeyRange) -> bool:
    """Whether outbound holds every source row of a range, in the moment that the session sees.

    The foreign key makes outbound's rows some of the source's, so that equal counts prove it.
    """
    held = held_in(session, link, within)
    return held == _count(session, source_table(link), link, within)


def _count(session: Session, of: Sql, link: Link, within: KeyRange) -> int:
    test = within.test(link.key_columns, "s")
    return int(session.value(sql("SELECT COUNT(*) FROM {} s WHERE {}", of, test)))


def _behind(key: Sequence[Column], names: Sequence[str], limit: RawRow, alias: str) -> Sql:
    """The key lies behind a limit in its order. Servers use no index for a comparison of whole rows."""
    own = [column(alias, name) for name in names]
    values = [key_value(v, c) for v, c in zip(limit, key, strict=True)]
    cases = []
    for place in range(len(key)):
        same = [sql("{} = {}", n, v) for n, v in zip(own[:place], values[:place], strict=True)]
        cases.append(both([*same, sql("{} > {}", own[place], values[place])]))
    return both([sql("{} >= {}", own[0], values[0]), either(cases)]) if len(key) > 1 else either(cases)
