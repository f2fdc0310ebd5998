"""Orphans: entities whose source row is gone, or that the lab added; those that are held too. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.compare.checksum import canonical, digest_of_keys
from djlink_manifest.servers.entities.strays import add_gone
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import source_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, columns, not_exists_in, sql


@contextmanager
def orphans(source: Session, link: Link, extra: KeyTable | None) -> Iterator[KeyTable]:
    """The keys that the source lacks, of those that are local alone (`extra`) and those held or requested."""
    with key_table(source, link, "orphans") as found:
        add_gone(link, extra, found)
        yield found


def digest_of_orphans(source: Session, link: Link, found: KeyTable) -> tuple[str, int]:
    """The digest of these keys, as far as the source still lacks them, and their number."""
    key = canonical(link.key_columns, "e")
    rows = source.stream(_orphans(link, found, key, sql("CAST({} AS BINARY)", key)))
    return digest_of_keys(text for (text,) in rows)


def stream_orphans(source: Session, link: Link, found: KeyTable) -> Iterator[RawRow]:
    """These keys, raw, in key order."""
    what = reading(link.key_columns, "e")
    return source.stream(_orphans(link, found, what, columns("e", link.key)))


def _orphans(link: Link, found: KeyTable, what: Sql, order: Sql) -> Sql:
    gone = not_exists_in(source_table(link), link.key, "e", link.key)
    return sql("SELECT {} FROM {} e WHERE {} ORDER BY {}", what, found.name, gone, order)
