"""What is held and wanted no longer, as SQL on the source server."""

from __future__ import annotations

from djlink_manifest.model.link import Link
from djlink_manifest.servers.query import outbound_table, source_table
from djlink_manifest.servers.sql import Sql, among, both, columns, not_among, sql, table
from djlink_manifest.servers.wanted import Scene, Sets


def unwanted_keys(scene: Scene, link: Link, what: Sql | None = None) -> Sql:
    """The SELECT of the keys in outbound, in key order, that are not wanted, not requested and not approved.

    Those without a source row are left out: nobody said that they are not wanted. `what` is the select list
    on `s`, the key's columns where it is None.
    """
    sets = Sets(scene)
    wanted = sets.wanted(link.address)
    tests = [not_among(wanted, link.key, "s", link.key)] if wanted is not None else [Sql("FALSE")]
    tests.append(among(source_table(link), link.key, "s", link.key))
    for name in (link.requested_table, link.approved_table):
        tests.append(not_among(table(link.outbound_schema, name), link.key, "s", link.key))
    keys = columns("s", link.key)
    return sql(
        "{}SELECT {} FROM {} s WHERE {} ORDER BY {}",
        sets.head(),
        what if what is not None else keys,
        outbound_table(link),
        both(tests),
        keys,
    )
