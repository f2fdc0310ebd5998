"""The one place that wires the steps: resolve the servers, read catalogues, resolve links, observe, plan,
apply."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TypeVar

from djlink_manifest.errors import DjlinkError, ServerError, UsageError
from djlink_manifest.manifest.match import nearest
from djlink_manifest.manifest.secrets import resolve_outbound, resolve_server
from djlink_manifest.manifest.values import Manifest
from djlink_manifest.model.catalog import Catalog, Mark, fingerprint
from djlink_manifest.model.definition import unprotectable
from djlink_manifest.model.graph import LinkGraph
from djlink_manifest.model.link import Link
from djlink_manifest.model.naming import LINEAGE
from djlink_manifest.model.selection import is_textual
from djlink_manifest.model.server import ServerAddress
from djlink_manifest.reconcile import plan as planning
from djlink_manifest.reconcile.apply import Site, apply
from djlink_manifest.reconcile.footing import Ground, footing, forgotten
from djlink_manifest.reconcile.observe import observe
from djlink_manifest.reconcile.plan import Plan
from djlink_manifest.reconcile.progress import Event, Listener, Report
from djlink_manifest.reconcile.resolve import Resolved, local_schemas, resolve
from djlink_manifest.reconcile.snapshot import (
    Footing,
    Forgotten,
    LinkSnapshot,
    Observation,
    Refusal,
    ServerFacts,
)
from djlink_manifest.servers.catalog import read_catalog
from djlink_manifest.servers.census import barring_links, check_condition
from djlink_manifest.servers.connection import Session, Writer, open_session
from djlink_manifest.servers.locks import Locks
from djlink_manifest.servers.pool import Pool
from djlink_manifest.servers.wanted import Scene

_T = TypeVar("_T")
_R = TypeVar("_R")
Words = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Reached:
    """A server that was reached: its catalogue, its readers, and how long reading took."""

    address: ServerAddress
    catalog: Catalog
    readers: Pool[Session]
    seconds: float


class Job:
    """A manifest resolved against its servers: what can be planned and applied while the job is open."""

    def __init__(
        self,
        manifest: Manifest,
        local: _Reached,
        sources: Mapping[str, _Reached],
        facts: tuple[ServerFacts, ...],
        resolved: Resolved,
        outbound: Mapping[str, str],
        scope: frozenset[str],
        parallelism: int,
        listener: Words,
    ) -> None:
        self._manifest = manifest
        self._local = local
        self._sources = sources
        self._facts = facts
        self._resolved = resolved
        self._outbound = outbound
        self._scope = scope
        self._parallelism = parallelism
        self._say = listener
        self._all = {link.address: link for link in resolved.links}
        self._whole = scope == frozenset(self._all)
        self.links: tuple[Link, ...] = tuple(self._all[a] for a in sorted(scope))
        self.graph: LinkGraph = resolved.graph.subset(scope)
        self.refusals: tuple[Refusal, ...] = tuple(
            r for r in resolved.refusals if r.address in scope or (self._whole and r.address not in self._all)
        )
        self._footings: dict[str, Footing] = {}
        self._refused: dict[str, Refusal] = {}

    def plan(self) -> Plan:
        """Observe every link, then plan. A link that cannot be observed is blocked; the others go on."""
        refusals = {r.address: r for r in self._resolved.refusals}
        for address, link in self._all.items():
            if address not in refusals:
                found = footing(link, self._ground(link))
                if isinstance(found, Refusal):
                    refusals[address] = found
                else:
                    self._footings[address] = found
        refusals.update(self._check_conditions(refusals))
        snapshots = self._observe(refusals)
        return planning.make(
            self.links,
            self.graph,
            Observation(
                self._manifest.name,
                self._manifest.digest,
                self._manifest.files,
                _facts(self._local, len(self.links)),
                self._facts,
                self._footings,
                snapshots,
                tuple(r for r in refusals.values() if r.address in self._scope or r in self.refusals),
                self._forgotten(),
                _not_yet(self._manifest),
            ),
        )

    def apply(self, plan: Plan, listener: Listener, stop: threading.Event) -> Report:
        """Carry out a plan that this job made. Raises LinkLocked before anything is done."""
        due = {p.address for p in plan.links if p.actions and not p.is_stopped}
        names = {self._all[a].source for a in due}
        writers = {name: Pool(self._sources[name].address, Writer) for name in names}
        local = Pool(self._local.address, Writer)
        guard = threading.Lock()

        def one_at_a_time(event: Event) -> None:
            with guard:
                listener(event)

        with self._locks(names) as locks:
            try:
                return apply(plan, self._site(due, writers, local, locks), one_at_a_time, stop)
            finally:
                for pool in (*writers.values(), local):
                    pool.close()

    def close(self) -> None:
        """End the sessions."""
        for reached in (self._local, *self._sources.values()):
            reached.readers.close()

    def _ground(self, link: Link) -> Ground:
        return Ground(self._manifest.name, self._sources[link.source].catalog, self._local.catalog)

    def _check_conditions(self, refusals: Mapping[str, Refusal]) -> Mapping[str, Refusal]:
        """Ask the source servers whether they take each `where` that is SQL text."""
        found = {}
        for address, link in self._all.items():
            if address in refusals or link.where is None or not is_textual(link.where):
                continue
            with self._sources[link.source].readers.session() as session:
                problem = check_condition(session, link)
            if problem:
                hint = "correct the condition; it may use the table's own columns only"
                found[address] = Refusal(
                    address, f"the server does not take `where`: {problem}", hint, link.location
                )
        return found

    def _observe(self, refusals: dict[str, Refusal]) -> dict[str, LinkSnapshot]:
        """Snapshots of the links in scope that are neither refused nor below a refused one."""
        self._refused = dict(refusals)
        scenes = self._scenes()
        snapshots: dict[str, LinkSnapshot] = {}

        def one(address: str) -> None:
            link = self._all[address]
            self._say(f"observing {address}")
            source, local = self._sources[link.source], self._local
            try:
                with source.readers.session() as there, local.readers.session() as here:
                    snapshots[address] = observe(
                        link, self._footings[address], scenes[link.source], source.catalog.sizes, there, here
                    )
            except ServerError as error:
                refusals[address] = Refusal(
                    address, f"{error.server}: {error.message}", error.hint, link.location
                )

        for wave in self.graph.waves():
            stopped = self._resolved.graph.downstream(refusals)
            with ThreadPoolExecutor(self._parallelism, thread_name_prefix="djlink") as threads:
                list(threads.map(one, [a for a in wave if a not in stopped]))
        return snapshots

    def _scenes(self) -> Mapping[str, Scene]:
        """Each source's links as SQL sees them, with which outbound tables stand and which have requests."""
        scenes = {}
        for name, reached in self._sources.items():
            links = self._scene_links(name)
            held = frozenset(a for a in links if _stands(self._footings.get(a), links[a]))
            complete = [links[a] for a in sorted(held) if not self._footings[a].make_outbound]
            with reached.readers.session() as session:
                barring = barring_links(session, complete)
            scenes[name] = Scene.of(links, held, barring)
        return scenes

    def _scene_links(self, source: str) -> dict[str, Link]:
        """The links of a source for its SQL, in a plan and in its apply.

        A link refused before any was observed counts with what is held, one without a key not at all.
        """
        links = {
            a: replace(link, where=None, pull="none") if a in self._refused else link
            for a, link in self._all.items()
            if link.source == source and unprotectable(link.definition) is None
        }
        return {
            a: replace(link, references=tuple(r for r in link.references if r.parent in links))
            for a, link in links.items()
        }

    def _forgotten(self) -> tuple[Forgotten, ...]:
        if not self._whole:
            return ()
        found = []
        for name, reached in self._sources.items():
            ground = Ground(self._manifest.name, reached.catalog, self._local.catalog)
            mine = tuple(link for link in self._resolved.links if link.source == name)
            found += list(forgotten(mine, ground, self._outbound[name]))
        return tuple(found)

    @contextmanager
    def _locks(self, names: set[str]) -> Iterator[Locks]:
        opened = list[Session]()

        def session(reached: _Reached) -> Session:
            opened.append(open_session(reached.address, Session))
            return opened[-1]

        try:
            locks = Locks(session(self._local))
            for name in sorted(names):
                locks.add_source(name, session(self._sources[name]))
            yield locks
        finally:
            for each in opened:
                each.close()

    def _site(
        self, due: set[str], writers: Mapping[str, Pool[Writer]], local: Pool[Writer], locks: Locks
    ) -> Site:
        schemas = self._local.catalog.all_schemas
        return Site(
            links=self._all,
            graph=self._resolved.graph,
            footings=self._footings,
            marks={a: self._mark(self._all[a]) for a in due},
            sources=writers,
            local=local,
            locks=locks,
            lineage=frozenset(
                (name, schema)
                for name, r in self._sources.items()
                for schema, t in r.catalog.tables
                if t == LINEAGE
            ),
            new_schemas=frozenset(self._all[a].local.schema for a in due) - schemas,
            scene_links={name: self._scene_links(name) for name in writers},
            holder=holder(),
            parallelism=self._parallelism,
        )

    def _mark(self, link: Link) -> Mark:
        """The mark of a link: as it stands at the source, else as it shall be written."""
        ground = self._ground(link)
        for mark in ground.source.marks.get(link.outbound_schema, ()):
            if mark.table_name == link.outbound_table:
                return mark
        return Mark(
            link_id=ground.link_id(link),
            table_name=link.outbound_table,
            manifest=self._manifest.name,
            contact=self._manifest.contact,
            source_schema=link.definition.schema,
            source_table=link.definition.name,
            outbound_schema=link.outbound_schema,
            outbound_table=link.outbound_table,
            local_server=self._local.catalog.identity.hostname,
            local_schema=link.local.schema,
            local_table=link.local.name,
            fingerprint=fingerprint(self._local.catalog.identity),
        )


@contextmanager
def open_job(
    manifest: Manifest,
    environ: Mapping[str, str],
    *,
    targets: Sequence[str] = (),
    excludes: Sequence[str] = (),
    parallelism: int | None = None,
    listener: Words | None = None,
) -> Iterator[Job]:
    """Reach all servers at once, read their catalogues and resolve the manifest's links.

    `targets` take in what they need, `excludes` take out what needs them; both are addresses or globs. A
    source that cannot be reached is told in the plan, and the links of the others go on. Raises
    SecretError, GraphError, UsageError for a target that is no link, ServerError where the local server
    cannot be used.
    """
    say = listener or (lambda words: None)
    local = resolve_server(manifest.local, environ)
    addresses = {s.name: resolve_server(s.server, environ) for s in manifest.sources}
    outbound = {s.name: resolve_outbound(s, environ) for s in manifest.sources}
    wanted = {s.name: {outbound[s.name], *(c.name for c in s.schemas)} for s in manifest.sources}

    def reach(address: ServerAddress, schemas: set[str]) -> _Reached | DjlinkError:
        say(f"reading {address.name}")
        started = time.monotonic()
        pool = Pool(address, Session)
        try:
            with pool.session() as session:
                return _Reached(address, read_catalog(session, schemas), pool, time.monotonic() - started)
        except DjlinkError as error:
            return error

    with ThreadPoolExecutor(len(addresses) + 1, thread_name_prefix="djlink") as threads:
        here = threads.submit(reach, local, set(local_schemas(manifest)))
        futures = {name: threads.submit(reach, address, wanted[name]) for name, address in addresses.items()}
    base = here.result()
    if isinstance(base, DjlinkError):
        raise base
    results = {name: future.result() for name, future in futures.items()}
    reached = {name: r for name, r in results.items() if isinstance(r, _Reached)}
    try:
        resolved = resolve(manifest, {name: r.catalog for name, r in reached.items()}, outbound)
        facts = tuple(_source_facts(addresses[n], r, resolved) for n, r in sorted(results.items()))
        scope = _scope(resolved, targets, excludes)
        workers = parallelism or min(4, max(2, os.cpu_count() or 2))
        job = Job(manifest, base, reached, facts, resolved, outbound, scope, workers, say)
        yield job
    finally:
        for each in (base, *reached.values()):
            each.readers.close()


def holder() -> str:
    """Who we are, for those who find a link locked: user, host, process and since when."""
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getpid()}, since {since})"


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


def _stands(footing: Footing | None, link: Link) -> bool:
    return footing is not None and not any(t.name == link.outbound_table for t in footing.make_outbound)


def _source_facts(address: ServerAddress, result: _Reached | DjlinkError, resolved: Resolved) -> ServerFacts:
    if isinstance(result, DjlinkError):
        return ServerFacts(address.name, address.host, problem=result.message, hint=result.hint)
    return _facts(result, sum(1 for link in resolved.links if link.source == address.name))


def _not_yet(manifest: Manifest) -> tuple[str, ...]:
    """What the manifest says that this version does not carry out."""
    words = []
    if manifest.removed:
        count = len(manifest.removed)
        words.append(f"`removed` names {count} links: this version takes no link out, their tables stay")
    if manifest.approvals:
        words.append("`approvals` are checked, and not carried out: this version deletes nothing locally")
    return tuple(words)


def _facts(reached: _Reached, links: int) -> ServerFacts:
    version = reached.catalog.identity.version
    return ServerFacts(
        reached.address.name, reached.address.host, version.vendor, version.text, links, reached.seconds
    )
