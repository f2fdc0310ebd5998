"""What an apply works with: writers, locks, marks, and what is known of the schemas."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.naming import LINEAGE
from djlink_manifest.reconcile.diff.link_tables import Ground
from djlink_manifest.reconcile.observe.connect import Reached
from djlink_manifest.reconcile.state.snapshot import Footing
from djlink_manifest.servers.ddl.lineage import is_lineage
from djlink_manifest.servers.entities.set_terms import Scene
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.ownership.locks import Locks
from djlink_manifest.servers.session.pool import Pool
from djlink_manifest.servers.session.session import Writer
from djlink_manifest.servers.stores.transport import Depot


@dataclass(frozen=True, slots=True)
class Site:
    """Links and their footings, pools of writers, locks, and what is known of the schemas.

    `marks` are the marks of the links due, as they stand or as they shall be written; `lineage` the (source,
    schema) pairs with a `~lineage` table; `new_schemas` the local schemas to make; `scenes` what the SQL of
    each source is made from; `blocked` the entities that the plan leaves out as they cannot come, by link;
    `holder` says who we are, for those who find a link locked; `depot` has the stores of external objects.
    """

    links: Mapping[str, Link]
    graph: LinkGraph
    footings: Mapping[str, Footing]
    marks: Mapping[str, Mark]
    sources: Mapping[str, Pool[Writer]]
    local: Pool[Writer]
    locks: Locks
    lineage: frozenset[tuple[str, str]]
    new_schemas: frozenset[str]
    scenes: Mapping[str, Scene]
    blocked: Mapping[str, PackedKeys]
    holder: str
    parallelism: int
    depot: Depot


@contextmanager
def open_site(
    due: Set[str],
    manifest: tuple[str, str],
    links: Mapping[str, Link],
    graph: LinkGraph,
    footings: Mapping[str, Footing],
    scenes: Mapping[str, Scene],
    blocked: Mapping[str, PackedKeys],
    local: Reached,
    sources: Mapping[str, Reached],
    parallelism: int,
    depot: Depot,
    besides: Set[str] = frozenset(),
) -> Iterator[Site]:
    """The site of an apply of the links `due`; its sessions, and the locks with them, end with the block.

    `manifest` is the manifest's name and contact; `besides` are sources of which links are taken out.
    """
    names = sorted({links[a].source for a in due} | besides)
    writers = {name: Pool(sources[name].address, Writer) for name in names}
    local_writers = Pool(local.address, Writer)
    schemas = {
        (name, schema)
        for name in names
        for (schema, t), found in sources[name].catalog.tables.items()
        if t == LINEAGE and is_lineage(found)
    }
    with closing(Locks(local.address, [sources[name].address for name in names])) as locks:
        try:
            yield Site(
                links=links,
                graph=graph,
                footings=footings,
                marks={a: _mark(links[a], manifest, sources[links[a].source], local) for a in due},
                sources=writers,
                local=local_writers,
                locks=locks,
                lineage=frozenset(schemas),
                new_schemas=frozenset(links[a].local.schema for a in due) - local.catalog.all_schemas,
                scenes=scenes,
                blocked=blocked,
                holder=holder(),
                parallelism=parallelism,
                depot=depot,
            )
        finally:
            for pool in (*writers.values(), local_writers):
                pool.close()


def holder() -> str:
    """Who we are, for those who find a link locked: user, host, process and since when."""
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getpid()}, since {since})"


def _mark(link: Link, manifest: tuple[str, str], source: Reached, local: Reached) -> Mark:
    """The mark of a link: as it stands at the source, else as it shall be written."""
    name, contact = manifest
    stands = source.catalog.mark(link.outbound_schema, link.outbound_table)
    return stands or Ground(name, source.catalog, local.catalog).new_mark(link, contact)
