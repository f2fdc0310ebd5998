"""What an apply works with: writers, locks, and what its plan's observation found."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone

from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Dependents
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.server.epochs import EpochState
from djlink_manifest.reconcile.observe.context import Context
from djlink_manifest.reconcile.state.plan_keys import PlanKeys
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.ownership.locks import Locks
from djlink_manifest.servers.session.pool import Pool
from djlink_manifest.servers.session.session import Writer
from djlink_manifest.servers.stores.transport import StoreTransport


@dataclass(frozen=True, slots=True)
class ApplyInputs:
    """What a plan's observation leaves for its apply, beside the actions: sets of keys, and what SQL needs.

    `marks` are the links' marks, as they stand or as they shall be written, `marked` the links whose mark
    stands at the source; `held` are those whose outbound table stands, `complete` those whose requests and
    approvals stand too. `source_links` are what the SQL of each source is made from; `blocked` the entities
    that cannot come, by link, `keys` those that go; `dependents` the local foreign keys along which deletions
    spread; `epochs` what the marks said of the links' local server. `former_ids` are the ids that the marks
    of links which have moved still carry.
    """

    marks: Mapping[str, Mark]
    marked: frozenset[str]
    held: frozenset[str]
    complete: frozenset[str]
    source_links: Mapping[str, SourceLinks]
    blocked: Mapping[str, PackedKeys]
    keys: Mapping[str, PlanKeys]
    dependents: Dependents
    epochs: Mapping[str, EpochState]
    former_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApplyContext:
    """Links with pools of writers and locks, and what was found of them.

    `holder` says who we are, for those who find a link locked; `store_transport` has the stores of external
    objects.
    """

    links: Mapping[str, Link]
    graph: LinkGraph
    found: ApplyInputs
    sources: Mapping[str, Pool[Writer]]
    local: Pool[Writer]
    locks: Locks
    holder: str
    parallelism: int
    store_transport: StoreTransport

    def link_id(self, address: str) -> str:
        """The id in the marks of a link."""
        return self.found.marks[address].link_id

    def lock(self, address: str) -> None:
        """Take the locks of a link, those of its former ids too. Raises LinkLocked."""
        for link_id in (self.link_id(address), *self.found.former_ids.get(address, ())):
            self.locks.take(self.links[address], link_id)


@contextmanager
def open_apply_context(
    context: Context, due: Set[str], found: ApplyInputs, besides: Set[str] = frozenset()
) -> Iterator[ApplyContext]:
    """The site of an apply of the links `due`; its sessions, and the locks with them, end with the block.

    `besides` are sources of which links are taken out.
    """
    links = context.links
    names = sorted({links[a].source for a in due} | besides)
    writers = {name: Pool(context.sources[name].address, Writer) for name in names}
    local_writers = Pool(context.local.address, Writer)
    addresses = [context.sources[name].address for name in names]
    with closing(Locks(context.local.address, addresses)) as locks:
        try:
            yield ApplyContext(
                links=links,
                graph=context.graph,
                found=found,
                sources=writers,
                local=local_writers,
                locks=locks,
                holder=holder(),
                parallelism=context.options.parallelism,
                store_transport=context.at.store_transport,
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
