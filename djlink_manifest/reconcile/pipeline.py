"""The one place that wires the steps: reach, resolve, observe, plan, apply."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase

from djlink_manifest.errors import DjlinkError, UsageError
from djlink_manifest.manifest.match import nearest
from djlink_manifest.manifest.secrets import resolve_outbound, resolve_server
from djlink_manifest.manifest.values import Approval, Manifest
from djlink_manifest.model.graph import LinkGraph
from djlink_manifest.model.link import Limit, Link
from djlink_manifest.reconcile import plan as planning
from djlink_manifest.reconcile.apply import apply
from djlink_manifest.reconcile.approving import approvals_of
from djlink_manifest.reconcile.deletions import Deletions, observe_deletions, requested_keys
from djlink_manifest.reconcile.footing import Ground, footing, forgotten, forgotten_here, holding
from djlink_manifest.reconcile.plan import Plan, concerned
from djlink_manifest.reconcile.progress import Event, Listener, Report
from djlink_manifest.reconcile.reach import Reached, Words, reach_all
from djlink_manifest.reconcile.removal import Removal, done
from djlink_manifest.reconcile.resolve import Resolved, local_schemas, resolve
from djlink_manifest.reconcile.site import open_site
from djlink_manifest.reconcile.snapshot import Footing, Forgotten, Observation, Refusal, ServerFacts
from djlink_manifest.reconcile.survey import Survey, survey
from djlink_manifest.reconcile.taking_out import counted_forgotten, find_removals, take_out


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
        limit: Limit | None = None,
    ) -> None:
        self._limit = limit
        self._manifest = manifest
        self._local = local
        self._sources = sources
        self.servers = facts
        self._resolved = resolved
        self._outbound = outbound
        self._scope = scope
        self._parallelism = parallelism
        self._say = say
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

    def plan(self, *, verify: bool = False) -> Plan:
        """Observe every link, then plan. A link that cannot be observed is blocked; the others go on.

        `verify`: the rows of what is held and here are compared with the source's, by digests.
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
        )
        refusals = {**seen.refusals, **found.refusals}
        removals = self._removals()
        self._seen = Observation(
            self._manifest.name,
            self._manifest.digest,
            self._manifest.files,
            self._local.facts(len(self.links)),
            self.servers,
            self._footings,
            seen.snapshots,
            tuple(r for r in refusals.values() if r.address in self._scope or r in self.refusals),
            counted_forgotten(self._forgotten(), removals, self._sources),
            tuple(done(self._manifest.removed, {r.address: r for r in removals})) if self._whole else (),
            found.links,
            found.lately,
            self._manifest.approvals,
            self._limit,
            removals,
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

    def requested(self, address: str) -> Iterator[tuple[tuple[str, str], ...]]:
        """The keys of the link's open requests, each as (column, text) pairs."""
        link = self._all[address]
        with self._sources[link.source].readers.session() as session:
            yield from requested_keys(session, link)

    def apply(self, plan: Plan, listener: Listener, stop: threading.Event) -> Report:
        """Carry out a plan that this job made; `listener` is called by one thread at a time.

        Raises LinkLocked, before anything is done, where another djlink works on one of the links.
        """
        if self._survey is None or self._deletions is None:
            raise ValueError("apply carries out a plan that the same job made")
        guard = threading.Lock()

        def one_at_a_time(event: Event) -> None:
            with guard:
                listener(event)

        removed = tuple(
            take_out(each, self._local, self._sources[each.source])
            for each in plan.removals
            if not each.blocked
        )
        for outcome in removed:
            listener(outcome)
        with open_site(
            concerned(plan),
            (self._manifest.name, self._manifest.contact),
            self._all,
            self._resolved.graph,
            self._footings,
            self._survey.scene_links,
            self._survey.blocked,
            self._local,
            self._sources,
            self._parallelism,
        ) as site:
            report = apply(plan, site, one_at_a_time, stop, self._deletions.dependents)
        return replace(report, outcomes=(*removed, *report.outcomes))

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

    def _removals(self) -> tuple[Removal, ...]:
        """The links to take out; none where the plan is of a part of the manifest."""
        if not self._whole:
            return ()
        return find_removals(self._manifest, self._all, self._outbound, self._local, self._sources)

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
    parallelism: int | None = None,
    limit: Limit | None = None,
    listener: Words | None = None,
) -> Iterator[Job]:
    """Reach all servers at once, read their catalogues and resolve the manifest's links.

    `targets` take in what they need, `excludes` take out what needs them; both are addresses or globs. A
    source that cannot be reached is told in the plan, and the links of the others go on. `limit` replaces
    every `max_deletions`. Raises SecretError, GraphError, UsageError for a target that is no link,
    ServerError where the local server cannot be used.
    """
    say = listener or (lambda words: None)
    local = resolve_server(manifest.local, environ)
    addresses = {s.name: resolve_server(s.server, environ) for s in manifest.sources}
    outbound = {s.name: resolve_outbound(s, environ) for s in manifest.sources}
    schemas = {addresses[s.name]: {outbound[s.name], *(c.name for c in s.schemas)} for s in manifest.sources}
    results = reach_all({local: local_schemas(manifest), **schemas}, say)
    reached = {name: r for name, r in results.items() if isinstance(r, Reached)}
    try:
        base = results[local.name]
        if isinstance(base, DjlinkError):
            raise base
        sources = {name: r for name, r in reached.items() if name in addresses}
        catalogs = {name: r.catalog for name, r in sources.items()}
        resolved = resolve(manifest, catalogs, base.catalog, outbound)
        facts = []
        for name, address in sorted(addresses.items()):
            result = results[name]
            if isinstance(result, DjlinkError):
                facts.append(ServerFacts(name, address.host, problem=result.message, hint=result.hint))
            else:
                facts.append(result.facts(sum(1 for link in resolved.links if link.source == name)))
        scope = _scope(resolved, targets, excludes)
        workers = parallelism or min(4, max(2, os.cpu_count() or 2))
        yield Job(manifest, base, sources, tuple(facts), resolved, outbound, scope, workers, say, limit)
    finally:
        for each in reached.values():
            each.close()


def _scope(resolved: Resolved, targets: Sequence[str], excludes: Sequence[str]) -> frozenset[str]:
    graph = resolved.graph
    scope = graph.upstream(_matching(graph, targets, "--target")) if targets else frozenset(graph.nodes)
    return scope - graph.downstream(_matching(graph, excludes, "--exclude"))


def _matching(graph: LinkGraph, patterns: Sequence[str], option: str) -> set[str]:
    found = set[str]()
    for pattern in patterns:
        matched = {a for a in graph.nodes if fnmatchcase(a, pattern)}
        if not matched:
            close = nearest(pattern, graph.nodes)
            hint = f"did you mean `{close}`?" if close else "`djlink status` lists the links"
            raise UsageError(f"{option} {pattern}: no link of this manifest", hint=hint)
        found |= matched
    return found
