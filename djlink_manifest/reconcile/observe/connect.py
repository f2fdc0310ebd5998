"""Reach every server of a manifest at once and read its catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import Catalog, fingerprint
from djlink_manifest.model.vendors.collations import collations_used
from djlink_manifest.parallel import each
from djlink_manifest.reconcile.state.snapshot import ServerFacts
from djlink_manifest.servers.catalog.reader import read_catalog, read_collations
from djlink_manifest.servers.ownership.locks import is_same_server
from djlink_manifest.servers.session.pool import Pool
from djlink_manifest.servers.session.session import Session

Words: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reached:
    """A server that was reached: its catalogue, its readers, and how many seconds reading took."""

    address: ServerAddress
    catalog: Catalog
    readers: Pool[Session]
    seconds: float

    def facts(self, links: int) -> ServerFacts:
        """The server as the plan's head shows it."""
        version = self.catalog.identity.version
        return ServerFacts(
            self.address.name,
            self.address.host,
            version.vendor,
            version.text,
            links=links,
            seconds=self.seconds,
            identity=fingerprint(self.catalog.identity),
        )

    def close(self) -> None:
        """End the sessions; after a Ctrl-C some may still be used."""
        self.readers.interrupt()


def reach_all(
    wanted: Mapping[ServerAddress, Set[str]], marked: Mapping[ServerAddress, Set[str]], report: Words
) -> Mapping[str, Reached | DjlinkError]:
    """Every server by name, with the catalogue of the schemas wanted there, or why it could not be used.

    `marked` are, of each server, the schemas with djlink's own marks.
    """

    def reach(address: ServerAddress) -> Reached | DjlinkError:
        report(f"reading {address.name}")
        started = time.monotonic()
        pool = pools[address]
        try:
            with pool.session() as session:
                catalog = read_catalog(session, wanted[address], marked[address])
                return Reached(address, catalog, pool, time.monotonic() - started)
        except DjlinkError as error:
            pool.close()
            return error

    pools = {address: Pool(address, Session) for address in wanted}
    try:
        found = each(reach, wanted, len(wanted))
    except BaseException:
        for pool in pools.values():
            pool.interrupt()
        raise
    return dict(zip((a.name for a in wanted), found, strict=True))


def with_collations(local: Reached, sources: Iterable[Reached], chosen: Iterable[str] = ()) -> Reached:
    """The local server with those of its collations that the sources' tables ask for, and those `chosen`.

    Raises ServerError.
    """
    collations = collations_used((t for s in sources for t in s.catalog.tables.values()), chosen)
    with local.readers.session() as session:
        return replace(local, catalog=replace(local.catalog, collations=read_collations(session, collations)))


def same_servers(reached: Mapping[str, Reached]) -> Mapping[str, str]:
    """Each name with the first one that leads to the same server.

    Equal fingerprints alone do not prove it: servers in containers of one recipe have them too.
    """
    found = dict[str, str]()
    for name, own in reached.items():
        own_fingerprint = fingerprint(own.catalog.identity)
        alike = [
            n for n in found if found[n] == n and fingerprint(reached[n].catalog.identity) == own_fingerprint
        ]
        found[name] = next((n for n in alike if _is_same(reached[n], own)), name)
    return found


def _is_same(one: Reached, other: Reached) -> bool:
    try:
        with one.readers.session() as first, other.readers.session() as second:
            return is_same_server(first, second)
    except DjlinkError:  # it went away just now; what is known of it is that it looks the same
        return True
