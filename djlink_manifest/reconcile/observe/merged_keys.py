"""Links whose `collation` would make one key of two: refused before anything is registered."""

from __future__ import annotations

from djlink_manifest.model.links.link import AS_SOURCE, Link
from djlink_manifest.model.links.merging import merging_keys
from djlink_manifest.model.vendors.collations import merges_nothing
from djlink_manifest.reconcile.state.snapshot import LinkTables, Refusal
from djlink_manifest.servers.catalog.reader import read_collations
from djlink_manifest.servers.entities.merged_values import count_merged
from djlink_manifest.servers.entities.respelled_keys import count_respelled
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.session.session import Session


def recollates(link_tables: LinkTables) -> bool:
    """Whether local columns are to take another collation."""
    changes = (column for change in link_tables.change_local for column in change.columns)
    return any(c.before.collation != c.after.collation for c in changes)


def merged_keys(source: Session, local: Session, source_links: SourceLinks, link: Link) -> Refusal | None:
    """The refusal of a link of which the local collation takes keys for one, of what is wanted or held."""
    if link.collation == AS_SOURCE:
        return None
    respelled = count_respelled(source, local, source_links, link)
    if respelled:
        words = ", ".join(f"{_rows(count)} of {name}" for name, count in respelled)
        by = f"by `collation: {link.collation}`"
        return Refusal(
            link.address,
            f"{by} rows would differ from the keys that they refer to, which are spelled otherwise: {words}",
            "choose a collation that takes them for equal, as the source's does; or exclude them (`where`)",
            link.location,
            only_pulls=True,
        )
    if not merging_keys(link) or merges_nothing(link.collation):
        return None
    alike = source.identity.version.vendor == local.identity.version.vendor
    at_source = alike and link.collation in read_collations(source, {link.collation})
    found = count_merged(source, local, source_links, link, at_source=at_source)
    if not found:
        return None
    words = ", ".join(f"{_rows(count)} in {key.words}" for key, count in found)
    return Refusal(
        link.address,
        f"by `collation: {link.collation}` values would be equal that the source tells apart: {words}",
        "choose a collation that tells them apart, such as utf8mb4_bin, or exclude all but one of them with "
        "`where`",
        link.location,
        only_pulls=True,
    )


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
