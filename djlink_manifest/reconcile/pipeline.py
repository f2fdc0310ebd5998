"""The one place that wires the steps: reach, resolve, observe, plan, apply."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

from djlink_manifest.errors import DjlinkError, UsageError
from djlink_manifest.manifest.match import nearest
from djlink_manifest.manifest.secrets import resolve_outbound, resolve_server
from djlink_manifest.manifest.values import Approval, Manifest
from djlink_manifest.model.explanation import Explanation, KeyText
from djlink_manifest.model.graph import LinkGraph
from djlink_manifest.model.link import Limit, Link
from djlink_manifest.model.views import owner_schema
from djlink_manifest.reconcile import adopting
from djlink_manifest.reconcile import plan as planning
from djlink_manifest.reconcile.adoption import Adoption, Rehearsal, adopted, adoption, rehearsal
from djlink_manifest.reconcile.apply import apply
from djlink_manifest.reconcile.approving import approval_of_orphans, approvals_of
from djlink_manifest.reconcile.deletions import Deletions, observe_deletions, orphan_keys, requested_keys
from djlink_manifest.reconcile.doctor import examine
from djlink_manifest.reconcile.drafting import draft_schemas, outbound_schema
from djlink_manifest.reconcile.explaining import Inquiry, of_the_set
from djlink_manifest.reconcile.footing import Ground, footing, forgotten, forgotten_here, holding
from djlink_manifest.reconcile.keytext import parse_key
from djlink_manifest.reconcile.ownerside import owners_lack
from djlink_manifest.reconcile.plan import LinkPlan, Plan, concerned
from djlink_manifest.reconcile.progress import Event, Listener, Report
from djlink_manifest.reconcile.prospecting import prospect
from djlink_manifest.reconcile.reach import Reached, Words, reach_all
from djlink_manifest.reconcile.removal import Removal, done, left_out
from djlink_manifest.reconcile.resolve import Resolved, local_schemas, resolve
from djlink_manifest.reconcile.scope import matching, scope_of
from djlink_manifest.reconcile.site import Site, open_site
from djlink_manifest.reconcile.snapshot import (
    Footing,
    Forgotten,
    LinkSnapshot,
    Observation,
    Refusal,
    ServerFacts,
)
from djlink_manifest.reconcile.storage import Depot, open_depot
from djlink_manifest.reconcile.survey import Survey, source_scene, survey
from djlink_manifest.reconcile.taking_out import counted_forgotten, find_removals

__all__ = ["Job", "draft_schemas", "examine", "open_job", "outbound_schema", "prospect"]


class Job:
    """A manifest resolved against its servers: what can be planned and applied while the job is open.

    `links` and `graph` are those in scope, sorted; `refusals` what of the manifest cannot become a link;
    `servers` the sources, with the problem of each that could not be used.
    """

    def __init__(
        self,
        manifest: Manifest,
        local: Reached,
        sources: Mapping[str, Reached],
        facts: tuple[ServerFacts, ...],
        resolved: Resolved,
        outbound: Mapping[str, str],
        scope: frozenset[str],
        parallelism: int,
        say: Words,
        depot: Depot,
        limit: Limit | None = None,
        removed: frozenset[str] = frozenset(),
    ) -> None:
        self._limit = limit
        self._removed = removed
        self._manifest = manifest
        self._local = local
        self._sources = sources
        self.servers = facts
        self._resolved = resolved
        self._outbound = outbound
        self._scope = scope
        self._parallelism = parallelism
        self._say = say
        self._depot = depot
        self._all = {link.address: link for link in resolved.links}
        self._whole = scope == frozenset(self._all)
        self.links: tuple[Link, ...] = tuple(self._all[a] for a in sorted(scope))
        self.graph: LinkGraph = resolved.graph.subset(scope)
        self.refusals: tuple[Refusal, ...] = tuple(
            r for r in resolved.refusals if r.address in scope or (self._whole and r.address not in self._all)
        )
        self._footings: dict[str, Footing] = {}
        self._survey: Survey | None = None
        self._deletions: Deletions | None = None
        self._seen: Observation | None = None

    def plan(self, *, verify: bool = False, orphans_of: Collection[str] = ()) -> Plan:
        """Observe every link, then plan. A link that cannot be observed is blocked; the others go on.

        `verify`: the rows of what is held and here are compared with the source's, by digests. `orphans_of`:
        links of which the orphans are looked at, so that an approval can name them.
        """
        seen = self._survey = survey(
            self._all,
            self._resolved.graph,
            self._scope,
            self._footings,
            *self._stand(),
            self._local,
            self._sources,
            self._parallelism,
            self._say,
            self._depot,
            verify=verify,
        )
        found = self._deletions = observe_deletions(
            self._all,
            self._resolved.graph,
            self._footings,
            seen,
            self._manifest.approvals,
            self._local,
            self._sources,
            self._parallelism,
            self._say,
            orphans_of,
        )
        refusals = {**seen.refusals, **found.refusals}
        removals, left = self._removals()
        self._seen = Observation(
            self._manifest.name,
            self._manifest.digest,
            self._manifest.files,
            self._local.facts(len(self.links)),
            self.servers,
            self._footings,
            seen.snapshots,
            tuple(r for r in refusals.values() if r.address in self._scope or r in self.refusals),
            counted_forgotten(self._forgotten(), (*removals, *left), self._sources),
            (
                *done(
                    (e for e in self._manifest.removed if e.address in self._removed),
                    {r.address: r for r in removals},
                ),
                *map(left_out, left),
                *self._owners_lack(),
            ),
            found.links,
            found.lately,
            self._manifest.approvals,
            self._limit,
            removals,
            found.unseen,
        )
        return planning.make(self.links, self.graph, self._seen)

    def approved(self, plan: Plan, by: str, day: str) -> tuple[Plan, tuple[Approval, ...]]:
        """The plan once more, with the deletions approved that await it; nothing is observed anew.

        And the approvals, as they would stand in a manifest.
        """
        if self._seen is None:
            raise ValueError("only a plan that this job made can be approved")
        given = approvals_of(plan, by, day)
        seen = replace(self._seen, approvals=(*self._seen.approvals, *given))
        return planning.make(self.links, self.graph, seen), given

    def approvals(
        self, plan: Plan, address: str, by: str, day: str, *, orphans: bool = False
    ) -> tuple[Approval, ...]:
        """The approval of what awaits one of a link, or of its orphans; none where there is nothing."""
        if orphans:
            found = (approval_of_orphans(p, by, day) for p in plan.links if p.address == address)
            return tuple(a for a in found if a is not None)
        return tuple(a for a in self.approved(plan, by, day)[1] if a.link == address)

    def requested(self, address: str) -> Iterator[KeyText]:
        """The keys of the link's open requests, each as (column, text) pairs."""
        link = self._all[address]
        with self._sources[link.source].readers.session() as session:
            yield from requested_keys(session, link)

    def orphans(self, address: str) -> Iterator[KeyText]:
        """The keys of the link's local rows without a source row."""
        link = self._all[address]
        with self._sources[link.source].readers.session() as there, self._local.readers.session() as here:
            yield from orphan_keys(there, here, link)

    def apply(self, plan: Plan, listener: Listener, stop: threading.Event) -> Report:
        """Carry out a plan that this job made; `listener` is called by one thread at a time.

        Raises LinkLocked, before anything is done, where another djlink works on one of the links.
        """
        if self._deletions is None:
            raise ValueError("apply carries out a plan that the same job made")
        guard = threading.Lock()

        def one_at_a_time(event: Event) -> None:
            with guard:
                listener(event)

        sources = {each.source for each in plan.removals if not each.blocked}
        with self._site(concerned(plan), sources) as site:
            return apply(plan, site, one_at_a_time, stop, self._deletions.dependents)

    @contextmanager
    def holding(self, addresses: Set[str]) -> Iterator[None]:
        """Hold the locks of those of the links that have tables, after a plan. Raises LinkLocked."""
        linked = {
            a for a, f in self._footings.items() if a in addresses and not (f.make_outbound or f.make_local)
        }
        with self._site(linked) as site:
            for address in sorted(linked):
                site.locks.take(site.links[address], site.marks[address].link_id)
            yield

    def _site(self, due: Set[str], besides: Set[str] = frozenset()) -> AbstractContextManager[Site]:
        """The site of these links, over what the last plan observed, and of the sources `besides`."""
        if self._survey is None:
            raise ValueError("a job that made no plan has observed nothing")
        return open_site(
            due,
            (self._manifest.name, self._manifest.contact),
            self._all,
            self._resolved.graph,
            self._footings,
            self._survey.scene_links,
            self._survey.blocked,
            self._local,
            self._sources,
            self._parallelism,
            self._depot,
            besides,
        )

    def explain(self, address: str, key: str) -> tuple[Explanation, LinkPlan]:
        """One entity, by its key as a person writes it, and the plan of its link for it alone.

        Raises UsageError for what is no link or no key of it, ServerError.
        """
        link = self._link(address)
        values = parse_key(key, link)
        source = self._sources[link.source]
        refused, holds = self._stand()
        scene, refusals = source_scene(self._all, refused, self._footings, holds, source)
        if address not in scene.links:
            raise UsageError(f"{address}: {refusals[address].reason}", hint=refusals[address].hint)
        with source.readers.session() as there, self._local.readers.session() as here:
            inquiry = Inquiry(scene, self._footings, source.catalog, self._local.catalog, there, here)
            explained = inquiry.explain(scene.links[address], values)
        above = self._resolved.graph.upstream([address])
        plan = planning.make(
            tuple(self._all[a] for a in sorted(above)),
            self._resolved.graph.subset(above),
            Observation(
                self._manifest.name,
                self._manifest.digest,
                self._manifest.files,
                self._local.facts(len(above)),
                self.servers,
                self._footings,
                {**{a: LinkSnapshot({}) for a in above}, address: explained.snapshot},
                tuple(r for r in refusals.values() if r.address in above),
            ),
        )
        return explained.explanation, of_the_set(next(p for p in plan.links if p.address == address))

    def _link(self, address: str) -> Link:
        if address not in self._all:
            told = next((r for r in self._resolved.refusals if r.address == address), None)
            if told is not None:
                raise UsageError(f"{address}: {told.reason}", hint=told.hint)
            self._check_source(address)
            close = nearest(address, sorted(self._all))
            hint = f"did you mean `{close}`?" if close else "`djlink status` lists the links"
            raise UsageError(f"{address}: no link of this manifest", hint=hint)
        return self._all[address]

    def _check_source(self, address: str) -> None:
        """Raise UsageError where the address is of a source that cannot be used."""
        for server in self.servers:
            if server.problem and address.startswith(f"{server.name}."):
                raise UsageError(
                    f"{address}: {server.name} cannot be used: {server.problem}", hint=server.hint
                )

    def rehearse(self, patterns: Sequence[str], given_up: str | None = None) -> Rehearsal:
        """What `adopt` would do for the links that these addresses or globs name. Nothing is changed.

        `given_up` names another lab's manifest whose tables may be taken. Raises UsageError for no link.
        """
        for pattern in patterns:
            self._check_source(pattern)
        chosen = sorted(matching(self._resolved.graph.nodes, patterns, "adopt"))
        found = {}
        for address in chosen:
            link = self._all[address]
            ground = Ground(self._manifest.name, self._sources[link.source].catalog, self._local.catalog)
            found[address] = adoption(link, ground, self._manifest.contact, given_up)
        return rehearsal(found, lambda taken: self._as_adopted(chosen, taken))

    def adopt(self, rehearsed: Rehearsal) -> None:
        """Write the marks of what was rehearsed. Raises LinkLocked, ServerError."""
        adopting.adopt(rehearsed.adoptions, self._all, self._local, self._sources)

    def _as_adopted(
        self, chosen: Sequence[str], taken: Sequence[Adoption]
    ) -> tuple[Plan, Mapping[str, LinkSnapshot]]:
        """The plan of the chosen links, and what was observed, as if those taken were adopted already."""
        sources, local = dict(self._sources), self._local
        for each in taken:
            there = sources[each.source]
            outbound = adopted(there.catalog, each.outbound.outbound_schema, each.outbound)
            sources[each.source] = replace(there, catalog=outbound)
            local = replace(local, catalog=adopted(local.catalog, each.local.local_schema, each.local))
        job = Job(
            replace(self._manifest, removed=()),
            local,
            sources,
            self.servers,
            self._resolved,
            self._outbound,
            self._resolved.graph.upstream(chosen),
            self._parallelism,
            self._say,
            self._depot,
        )
        plan = job.plan()
        return plan, job._survey.snapshots if job._survey else {}

    def _stand(self) -> tuple[Mapping[str, Refusal], frozenset[str]]:
        """Find every link's footing.

        The refusals of links that have none, and those known before; the links whose held rows can be read.
        """
        refusals, held = {r.address: r for r in self._resolved.refusals}, set[str]()
        for address, link in self._all.items():
            ground = Ground(self._manifest.name, self._sources[link.source].catalog, self._local.catalog)
            if holding(link, ground):
                held.add(address)
            if address in refusals:
                continue
            found = footing(link, ground)
            if isinstance(found, Refusal):
                refusals[address] = found
            else:
                self._footings[address] = found
        return refusals, frozenset(held)

    def _owners_lack(self) -> list[str]:
        """What keeps djlink from making the owners' views where their schema stands, with the GRANT."""
        found = list[str]()
        for name, reached in sorted(self._sources.items()):
            outbound = self._outbound[name]
            lack = owners_lack(reached.catalog, outbound)
            if lack is not None and owner_schema(outbound) in reached.catalog.all_schemas:
                found.append("; ".join(lack))
        return found

    def _removals(self) -> tuple[tuple[Removal, ...], tuple[Removal, ...]]:
        """The links to take out, and those that `--target` or `--exclude` leave out."""
        found = find_removals(self._manifest, self._all, self._outbound, self._local, self._sources)
        chosen = tuple(r for r in found if r.address in self._removed)
        return chosen, tuple(r for r in found if r.address not in self._removed)

    def _forgotten(self) -> tuple[Forgotten, ...]:
        if not self._whole:
            return ()
        found = list[Forgotten]()
        for spec in self._manifest.sources:
            if spec.name not in self._sources:
                continue
            ground = Ground(self._manifest.name, self._sources[spec.name].catalog, self._local.catalog)
            mine = tuple(link for link in self._resolved.links if link.source == spec.name)
            declared = frozenset(schema.name for schema in spec.schemas)
            found += forgotten(mine, ground, self._outbound[spec.name], declared)
        if len(self._sources) == len(self._manifest.sources):
            found += forgotten_here(
                self._manifest.name, self._local.catalog, [r.catalog for r in self._sources.values()]
            )
        return tuple(found)


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
    are addresses or globs. A source that cannot be reached is told in the plan, and the links of the others
    go on. `limit` replaces every `max_deletions`. Raises SecretError, GraphError, UsageError for a target
    that is no link, ServerError where the local server cannot be used.
    """
    say = listener or (lambda words: None)
    local = resolve_server(manifest.local, environ)
    addresses = {s.name: resolve_server(s.server, environ) for s in manifest.sources}
    outbound = {s.name: resolve_outbound(s, environ) for s in manifest.sources}
    schemas = {
        addresses[s.name]: {
            outbound[s.name],
            owner_schema(outbound[s.name]),
            *(c.name for c in s.schemas),
        }
        for s in manifest.sources
    }
    results = reach_all({local: local_schemas(manifest), **schemas}, say)
    reached = {name: r for name, r in results.items() if isinstance(r, Reached)}
    with ExitStack() as open_things:
        for each in reached.values():
            open_things.callback(each.close)
        base = results[local.name]
        if isinstance(base, DjlinkError):
            raise base
        sources = {name: r for name, r in reached.items() if name in addresses}
        catalogs = {name: r.catalog for name, r in sources.items()}
        depot = open_things.enter_context(open_depot(manifest, catalogs, environ, say))
        resolved = resolve(manifest, catalogs, base.catalog, outbound, depot.stores)
        facts = []
        for name, address in sorted(addresses.items()):
            result = results[name]
            if isinstance(result, DjlinkError):
                facts.append(ServerFacts(name, address.host, problem=result.message, hint=result.hint))
            else:
                facts.append(result.facts(sum(1 for link in resolved.links if link.source == name)))
        going = {entry.address for entry in manifest.removed}
        scope, chosen = scope_of(resolved.graph, targets, excludes, below, going)
        workers = parallelism or min(4, max(2, os.cpu_count() or 2))
        told = tuple(facts)
        yield Job(
            manifest, base, sources, told, resolved, outbound, scope, workers, say, depot, limit, chosen
        )
