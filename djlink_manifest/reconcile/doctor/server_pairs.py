"""What differs between a source's server and the local one, and what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.health import Finding, Health
from djlink_manifest.reconcile.doctor.settings import CLOCK_WARNING, packet
from djlink_manifest.reconcile.resolve.unfit import folded_at_source, without_zones


def between_findings(name: str, source: Health, local: Health) -> Iterator[Finding]:
    """What the health of a source and of the local server say side by side."""
    if packet(source) > packet(local):
        yield Finding(
            "local",
            "max_allowed_packet",
            "note",
            f"{packet(local):,} bytes locally, {packet(source):,} at {name}",
            why=f"{name} may have a row that is too large for the local server; only the entity of that "
            "row is refused",
            fix=f"SET GLOBAL max_allowed_packet = {packet(source)}; and in the local server's configuration",
        )
    if source.zone_minutes != local.zone_minutes:
        yield Finding(
            name,
            "time_zone",
            "note",
            f"{source.zone}; the local server: {local.zone}",
            why="TIMESTAMP values are copied as the same instants, which each server shows in its own time "
            "zone; DATETIME values are copied unchanged",
            fix="to compare times of two servers, use UTC: SET time_zone = '+00:00'",
        )
    apart = source.ahead - local.ahead
    if abs(apart) - source.give_or_take - local.give_or_take >= CLOCK_WARNING:
        yield Finding(
            name,
            "clock",
            "warning",
            f"{abs(apart):,.1f} s {'ahead of' if apart > 0 else 'behind'} the local server's",
            why="times of the two servers cannot be put in order",
            fix="synchronize the clock that is wrong by NTP",
        )
    small, large = (int(h.globals.get("innodb_page_size", "0")) for h in (local, source))
    if 0 < small < large:
        yield Finding(
            "local",
            "innodb_page_size",
            "warning",
            f"{small:,} bytes locally, {large:,} at {name}",
            why="a table or index of the source may be too wide for the local server",
            fix="the setting can be changed only when a server is created; exclude such tables",
        )
    case = (source.globals.get("lower_case_table_names"), local.globals.get("lower_case_table_names"))
    if case[0] != case[1]:
        yield Finding(
            name,
            "lower_case_table_names",
            "note",
            f"{case[0]} at the source, {case[1]} on the local server",
            why="names with uppercase letters refer to different tables on the two servers",
            fix="use lowercase names",
        )


def link_findings(name: str, links: Iterable[Link], source: Health, local: Catalog) -> Iterator[Finding]:
    """What the links of a source ask of the servers: collations, names, zones."""
    links = tuple(links)
    missing = Counter[str]()
    for link in links:
        for table in link.definition.tables:
            missing.update({c.collation for c in table.columns if c.collation and _lacks(local, c.collation)})
    for collation, tables in sorted(missing.items()):
        yield Finding(
            name,
            "collations",
            "note",
            f"{collation}, used by {tables} of its tables, does not exist on the local server",
            why="those columns get a collation that keeps all values distinct; local comparisons are "
            "sensitive to case and accents",
            fix="no action needed (docs/vendors.md); a local server of the same vendor and version has this "
            "collation",
        )
    yield from folded_at_source(name, links, source.globals)
    yield from without_zones(name, links, named_zones=source.named_zones)


def _lacks(local: Catalog, collation: str) -> bool:
    spellings = {collation, collation.replace("utf8_", "utf8mb3_"), collation.replace("utf8mb3_", "utf8_")}
    return not spellings & local.collations.keys()
