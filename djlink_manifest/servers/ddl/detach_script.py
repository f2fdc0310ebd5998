"""An administrator's way out of links whose lab has vanished, as a script. Nothing here is run by djlink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from djlink_manifest.model.links.holding import OwnedLink
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import APPROVED, HISTORY, MARKS, REQUESTED
from djlink_manifest.model.tables.owner_views import owner_views
from djlink_manifest.servers.ddl.tables import literal
from djlink_manifest.servers.sql import table


def way_out(links: Sequence[OwnedLink], sources: Mapping[OwnedLink, TableDefinition]) -> str:
    """The script. Views go before the tables that they show; the ledgers stay."""
    lines = [
        "-- For an administrator of this server. Afterwards, the source's owner can delete the rows.",
        "-- The lab keeps its copies. Ask the lab before you run this.",
    ]
    for link in links:
        lines += ["", *_of_link(link, sources[link])]
    return "".join(f"{line}\n" for line in lines)


def _of_link(link: OwnedLink, source: TableDefinition) -> Iterator[str]:
    names = [f"{link.source[0]}.{link.source[1]}", link.lab]
    # a comment ends at a line's end, and the lab wrote its own name
    told, lab = ("".join(c if c.isprintable() else "?" for c in name) for name in names)
    yield f"-- {told}, held by {lab}"
    marks = table(link.outbound, MARKS).text
    # fails, and with it the script, where the schema is none of djlink's
    yield f"DO (SELECT COUNT(*) FROM {marks});"
    for view in owner_views(source, link.outbound, link.base).values():
        yield f"DROP VIEW IF EXISTS {table(view.schema, view.name).text};"
    tables = (link.base, link.base + REQUESTED, link.base + APPROVED)
    yield f"DROP TABLE IF EXISTS {', '.join(table(link.outbound, name).text for name in tables)};"
    yield f"DELETE FROM {marks} WHERE table_name = {literal(link.base)};"
    yield f"-- its ledger stays: {table(link.outbound, link.base + HISTORY).text}"
