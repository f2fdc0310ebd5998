"""Orphans: local rows whose source row is gone, or that the lab added. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

from djlink_manifest.model.link import Link
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.digest import canonical, digest_of_keys
from djlink_manifest.servers.query import source_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, columns, not_among, sql
from djlink_manifest.servers.transfer import reading


def digest_of_orphans(source: Session, link: Link, extra: KeyTable) -> tuple[str, int]:
    """The digest, and number, of the local keys in `extra`, which outbound lacks, that the source lacks."""
    key = canonical(link.key_columns, "e")
    rows = source.stream(_orphans(link, extra, key, sql("CAST({} AS BINARY)", key)))
    return digest_of_keys(text for (text,) in rows)


def stream_orphans(source: Session, link: Link, extra: KeyTable) -> Iterator[RawRow]:
    """These keys, raw, in key order."""
    what = reading(link.key_columns, "e")
    return source.stream(_orphans(link, extra, what, columns("e", link.key)))


def _orphans(link: Link, extra: KeyTable, what: Sql, order: Sql) -> Sql:
    gone = not_among(source_table(link), link.key, "e", link.key)
    return sql("SELECT {} FROM {} e WHERE {} ORDER BY {}", what, extra.name, gone, order)
