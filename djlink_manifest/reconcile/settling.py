"""What is gone locally and was asked for is approved, link by link, under the links' locks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from djlink_manifest.reconcile.observe import differing_keys
from djlink_manifest.reconcile.site import Site
from djlink_manifest.servers.settled import ROWS_AT_ONCE, approve_absent, refresh_requested


@contextmanager
def locked(site: Site, addresses: Iterable[str]) -> Iterator[None]:
    """Hold the locks of these links. Raises LinkLocked where another djlink works on one of them."""
    for address in addresses:
        site.locks.take(site.links[address], site.marks[address].link_id)
    yield


def approve_gone(site: Site, addresses: Iterable[str]) -> int:
    """Approve what the source asked to delete and is gone here; how many entities, over all links."""
    count = 0
    for address in addresses:
        link, mark = site.links[address], site.marks[address]
        with site.sources[link.source].session() as source, site.local.session() as local:
            site.locks.take(link, mark.link_id)
            with differing_keys(link, True, True, source, local) as (missing, _):
                for first, last in missing.pages(ROWS_AT_ONCE) if missing else ():
                    keys = missing.keys(first, last) if missing else []
                    with local.transaction("REPEATABLE READ"), source.transaction():
                        count += approve_absent(source, local, link, keys)
                        site.locks.check(link, mark.link_id, source, local)
    return count


def refresh(site: Site, address: str) -> int:
    """Bring the local part of deletion requests up to date; how many stand here."""
    link = site.links[address]
    with site.sources[link.source].session() as source, site.local.session() as local:
        return refresh_requested(source, local, link)
