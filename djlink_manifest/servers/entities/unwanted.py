"""Find, on the source server, the entities that are held and no longer wanted."""

from __future__ import annotations

from collections.abc import Iterator

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.entities.key_sets import Sets, made_anew
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, and_, columns, exists_in, not_exists_in, sql, table


def stream_unwanted(session: Session, source_links: SourceLinks, link: Link) -> Iterator[RawRow]:
    """The keys, raw, in outbound that are not wanted, not requested and not approved, in key order."""
    return session.stream(
        _unwanted(session, source_links, link, outbound_table(link), reading(link.key_columns, "s"))
    )


def add_unwanted(source_links: SourceLinks, link: Link, found: KeyTable, into: KeyTable) -> None:
    """Put the keys in outbound that are not wanted, not requested and not approved into a set, in key order.

    `found` is an empty set. Sets of keys may be older than what is held: an entity that was pulled after they
    were made is not among them. So what is found is looked at again with new ones.
    """
    keys = columns("s", link.key)
    found.add_from(_unwanted(found.session, source_links, link, outbound_table(link), keys))
    if found.count:
        with made_anew(found.session, source_links) as now:
            into.add_from(_unwanted(found.session, now, link, found.name, keys))


def _unwanted(session: Session, source_links: SourceLinks, link: Link, of: Sql, what: Sql) -> Sql:
    """The SELECT of those of a table's keys; `what` is the select list on `s`.

    Those without a source row are left out: nobody said that they are not wanted.
    """
    wanted = Sets(session, source_links).is_wanted(link.address, "s", link.key)
    tests = [sql("NOT {}", wanted) if wanted is not None else Sql("FALSE")]
    tests.append(exists_in(source_table(link), link.key, "s", link.key))
    for name in (link.requested_table, link.approved_table):
        tests.append(not_exists_in(table(link.outbound_schema, name), link.key, "s", link.key))
    return sql("SELECT {} FROM {} s WHERE {} ORDER BY {}", what, of, and_(tests), columns("s", link.key))
