"""Deletion requests: shown in the local table beside the rows, and approved once the rows are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from djlink_manifest.model.derive import extra_name, outbound_definitions
from djlink_manifest.model.link import Link
from djlink_manifest.servers.connection import RawRow, Session, Writer
from djlink_manifest.servers.digest import keys_in
from djlink_manifest.servers.outbound import local_among, release
from djlink_manifest.servers.sql import Sql, idents, sql, table
from djlink_manifest.servers.transfer import inserts, most_bytes, reading

ROWS_AT_ONCE = 1_000


def refresh_requested(source: Session, local: Writer, link: Link) -> int:
    """Write the local part of deletion requests anew, for the entities that are here; how many there are.

    One local transaction: a reader sees the requests of before or of now.
    """
    part = link.local.parts[-1]  # as `local_definition` makes it
    into = table(part.schema, part.name)
    asked = outbound_definitions(link.definition, link.outbound_schema, link.outbound_table)[1]
    names = [*link.key, *(extra_name(link.definition, n) for n in ("requested_at", "requested_by", "reason"))]
    theirs = [asked.column(name) for name in names]
    ours = [*part.key_columns, *(c for c in part.columns if c.name not in part.key)]
    rows = source.stream(sql("SELECT {} FROM {}", reading(theirs), _requested(link)))
    count = 0
    with local.transaction():
        local.execute(sql("DELETE FROM {}", into))
        for chunk in _chunks(rows):
            here = local_among(local, link, [row[: len(link.key)] for row in chunk])
            kept = [row for row in chunk if row[: len(link.key)] in here]
            for statement in inserts(into, ours, kept, most_bytes(local)):
                count += local.send(statement.text)
    return count


def approve_absent(source: Writer, local: Writer, link: Link, keys: Sequence[RawRow]) -> int:
    """Approve the requests of those keys that are absent here, as is proved under locks on both servers.

    Approval and the end of the outbound row are one act. The caller commits, at the source first.
    """
    asked = list(
        source.stream(
            sql(
                "SELECT {} FROM {} s WHERE {} FOR UPDATE",
                reading(link.key_columns, "s"),
                _requested(link),
                keys_in(link.key_columns, keys, "s"),
            )
        )
    )
    present = local_among(local, link, asked) if asked else set()
    gone = [key for key in asked if key not in present]
    if not gone:
        return 0
    chosen = keys_in(link.key_columns, gone, None)
    first = idents(link.key[:1])
    approved = table(link.outbound_schema, link.approved_table)
    source.execute(
        sql(
            "INSERT INTO {} ({}) SELECT {} FROM {} WHERE {} ON DUPLICATE KEY UPDATE {} = {}.{}",
            approved,
            idents(link.key),
            idents(link.key),
            _requested(link),
            chosen,
            first,
            approved,
            first,
        )
    )
    release(source, link, gone)
    return len(gone)


def _requested(link: Link) -> Sql:
    return table(link.outbound_schema, link.requested_table)


def _chunks(rows: Iterator[RawRow]) -> Iterator[list[RawRow]]:
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield chunk
