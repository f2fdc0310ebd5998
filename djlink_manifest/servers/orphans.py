"""Orphans: local rows whose source row is gone, or that the lab added. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from djlink_manifest.model.link import Link
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.digest import canonical
from djlink_manifest.servers.query import source_table
from djlink_manifest.servers.scratch import KeyTable
from djlink_manifest.servers.sql import Sql, columns, not_among, sql
from djlink_manifest.servers.transfer import reading


def digest_of_orphans(source: Session, link: Link, extra: KeyTable) -> tuple[str, int]:
    """The digest of the keys of `extra`, local keys that outbound lacks, that the source lacks; their number.

    It depends neither on the order in which a server keeps rows, nor on the vendor.
    """
    key = canonical(link.key_columns, "e")
    found, count = hashlib.sha256(), 0
    for (text,) in source.stream(_orphans(link, extra, key, sql("CAST({} AS BINARY)", key))):
        found.update((text or b"") + b"\n")
        count += 1
    return f"sha256:{found.hexdigest()}", count


def stream_orphans(source: Session, link: Link, extra: KeyTable) -> Iterator[RawRow]:
    """These keys, raw, in key order."""
    what = reading(link.key_columns, "e")
    return source.stream(_orphans(link, extra, what, columns("e", link.key)))


def _orphans(link: Link, extra: KeyTable, what: Sql, order: Sql) -> Sql:
    gone = not_among(source_table(link), link.key, "e", link.key)
    return sql("SELECT {} FROM {} e WHERE {} ORDER BY {}", what, extra.name, gone, order)
