"""The one place that wires the steps: reach, resolve, and what a job does from there on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from djlink_manifest.errors import DjlinkError, ServerError
from djlink_manifest.manifest.models.secrets import resolve_outbound, resolve_server
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.links.link import Limit
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.job import Job
from djlink_manifest.reconcile.observe.connect import Reached, Words, reach_all, same_servers, with_collations
from djlink_manifest.reconcile.observe.context import Context, RunOptions, Servers, usual_parallelism
from djlink_manifest.reconcile.observe.lock_wait import LockWait
from djlink_manifest.reconcile.observe.moves import lineage_named_before
from djlink_manifest.reconcile.observe.stores import open_store_transport
from djlink_manifest.reconcile.resolve.links import Resolved, resolve
from djlink_manifest.reconcile.resolve.local_schemas import local_schemas
from djlink_manifest.reconcile.resolve.renamed import following
from djlink_manifest.reconcile.resolve.selection import select
from djlink_manifest.reconcile.resolve.text_collations import chosen_collations
from djlink_manifest.reconcile.state.snapshot import ServerFacts

__all__ = ["Job", "LockWait", "open_job"]

LOG = logging.getLogger("djlink.reconcile")


@contextmanager
def open_job(
    manifest: Manifest,
    environ: Mapping[str, str],
    *,
    targets: Sequence[str] = (),
    excludes: Sequence[str] = (),
    below: bool = False,
    parallelism: int | None = None,
    limit: Limit | None = None,
    listener: Words | None = None,
) -> Iterator[Job]:
    """Reach all servers at once, read their catalogues and resolve the manifest's links.

    `targets` take in what they need, and `below` what needs them; `excludes` take out what needs them; both
    are addresses or globs. A source that cannot be reached, and what is declared and gives no link, is told
    in the plan, and the other links go on. `limit` replaces every `max_deletions`. Raises SecretError,
    UsageError for a target that the manifest does not declare, ServerError where the local server cannot be
    used.
    """
    report = listener or (lambda words: None)
    local = resolve_server(manifest.local, environ)
    addresses = {s.name: resolve_server(s, environ) for s in manifest.sources}
    outbound = {s.name: resolve_outbound(s, environ) for s in manifest.sources}
    schemas = {
        addresses[s.name]: {
            outbound[s.name],
            owner_schema(outbound[s.name]),
            *(c.name for c in s.schemas),
        }
        for s in manifest.sources
    }
    marked = {addresses[name]: {schema} for name, schema in outbound.items()}
    local_schema_names = local_schemas(manifest)
    results = dict(
        reach_all({local: local_schema_names, **schemas}, {local: local_schema_names, **marked}, report)
    )
    reached = {name: r for name, r in results.items() if isinstance(r, Reached)}
    with ExitStack() as open_things:
        for each in reached.values():
            open_things.callback(each.close)
        base = results[local.name]
        if isinstance(base, DjlinkError):
            raise base
        found = (r for name, r in reached.items() if name in addresses)
        base = with_collations(base, found, chosen_collations(manifest))
        catalogs = {name: r.catalog for name, r in reached.items() if name in addresses}
        store_transport = open_things.enter_context(open_store_transport(manifest, catalogs, environ, report))
        going = {entry.address for entry in manifest.taken_out}

        def context() -> Context:
            """The manifest resolved against the servers that are of use."""
            reached = {name: r for name, r in results.items() if isinstance(r, Reached)}
            sources = {name: r for name, r in reached.items() if name in addresses}
            resolved = resolve(
                manifest,
                {name: r.catalog for name, r in sources.items()},
                base.catalog,
                outbound,
                stores=store_transport.stores,
                homes=same_servers(reached),
            )
            facts = tuple(_facts(addresses[name], results[name], resolved) for name in sorted(addresses))
            LOG.info(
                "%d of %d servers reached, %d links resolved, %d tables refused",
                *(len(reached), len(results), len(resolved.links), len(resolved.refusals)),
            )
            selection = select(resolved, facts, targets, excludes, below=below, removed=going)
            servers = Servers(base, sources, facts, store_transport)
            options = RunOptions(parallelism or usual_parallelism(len(sources)), report, limit)
            return Context(
                following(manifest, resolved.links),
                servers,
                resolved,
                outbound,
                selection=selection,
                options=options,
                named_before=lineage_named_before(resolved.links, base),
            )

        def without(error: ServerError) -> Context:
            results[error.server or ""] = error
            return context()

        yield Job(context(), without)


def _facts(address: ServerAddress, result: Reached | DjlinkError, resolved: Resolved) -> ServerFacts:
    """A source as the plan's head shows it, or why it is of no use."""
    if isinstance(result, DjlinkError):
        host = address.veiled(address.host)
        return ServerFacts(address.name, host, problem=result.message, hint=result.hint)
    return result.facts(sum(1 for link in resolved.links if link.source == address.name))
