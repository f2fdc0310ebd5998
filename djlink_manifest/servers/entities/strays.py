"""Strays: rows in outbound, or requests and approvals, whose source row is gone. Reads, on the source server.

The foreign keys forbid them. They come of foreign key checks that were off: an owner's script, TRUNCATE, a
dump that was restored.
"""

from __future__ import annotations

from collections.abc import Mapping

from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.checked_values import a_count, a_flag
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    columns,
    equal,
    exists_in,
    joined,
    not_exists_in,
    sql,
    table,
)


def count_strays(
    session: Session,
    link: Link,
    missing: KeyTable | None,
    extra: KeyTable | None,
    held: int | None = None,
    *,
    requests: bool,
) -> Mapping[Presence, int]:
    """How many entities without a source row outbound, requests and approvals know, by where they are.

    `missing` holds the keys that are in outbound and not local, `extra` those local and not in outbound.
    `held`: so many source rows are in outbound, where that is counted already. `requests` tells that there
    are requests or approvals.
    """
    members = _members(link) if requests else [outbound_table(link)]
    found = dict[Presence, int]()
    for number, of in enumerate(members):
        stand = held if number == 0 else None
        if stand is None:
            # a third faster than an anti-join, for which MySQL copies the keys of the source
            match = equal("s", link.key, "o", link.key)
            joining = sql("SELECT COUNT(*) FROM {} o STRAIGHT_JOIN {} s ON {}", of, source_table(link), match)
            stand = session.count(joining)
        if stand == session.count(sql("SELECT COUNT(*) FROM {}", of)):
            continue
        alone = [not_exists_in(other, link.key, "o", link.key) for other in members[:number]]
        tests = and_([not_exists_in(source_table(link), link.key, "o", link.key), *alone])
        source = [
            exists_in(other, link.key, "o", link.key)
            if n > number
            else Sql("TRUE" if n == number else "FALSE")
            for n, other in enumerate(members)
        ] + [Sql("FALSE")] * (3 - len(members))
        keys, lacks = (missing, "NOT {}") if number == 0 else (extra, "{}")
        if keys is None or not keys.count:
            local_side = Sql("TRUE" if number == 0 else "FALSE")
        else:
            local_side = sql(lacks, exists_in(keys.name, link.key, "o", link.key))
        rows = session.rows(
            sql(
                "SELECT f.l, f.h, f.r, f.a, COUNT(*) FROM (SELECT {} AS l, {} AS h, {} AS r, {} AS a"
                " FROM {} o WHERE {}) f GROUP BY f.l, f.h, f.r, f.a",
                local_side,
                *source,
                of,
                tests,
            ),
            *(*[a_flag] * 4, a_count),
        )
        for local, held, requested, approved, count in rows:
            presence = Presence(False, bool(held), local, bool(requested), approved)
            found[presence] = found.get(presence, 0) + count
    return found


def add_gone(link: Link, extra: KeyTable | None, into: KeyTable) -> None:
    """Put the keys that have no source row into a set: of `extra`, which are local alone, and the strays."""
    of = _members(link)
    if extra is not None and extra.count:
        of.append(extra.name)
    gone = not_exists_in(source_table(link), link.key, "o", link.key)
    each = [sql("SELECT {} FROM {} o WHERE {}", columns("o", link.key), rows, gone) for rows in of]
    into.add_from(joined(" UNION ", each))


def _members(link: Link) -> list[Sql]:
    """The outbound table, and those of requests and approvals."""
    names = (link.requested_table, link.approved_table)
    return [outbound_table(link), *(table(link.outbound_schema, name) for name in names)]
