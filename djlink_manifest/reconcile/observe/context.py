"""What a job stands on: the manifest resolved against servers that were reached, and every link's footing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.model.links.link import Limit, Link
from djlink_manifest.model.links.local_rules import LastTimestamp, Leftover, LocalRule
from djlink_manifest.model.server.catalog import Catalog, TableName
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.tables.naming import LINEAGE
from djlink_manifest.reconcile.diff.link_tables import (
    CatalogPair,
    compare_for_deletions,
    compare_link,
    holding,
)
from djlink_manifest.reconcile.diff.moved_marks import source_marks
from djlink_manifest.reconcile.diff.moves import find_move, with_lineage
from djlink_manifest.reconcile.diff.renamed import former_names
from djlink_manifest.reconcile.observe.connect import Reached, Words
from djlink_manifest.reconcile.observe.stores import StoreTransport
from djlink_manifest.reconcile.resolve.links import Resolved
from djlink_manifest.reconcile.resolve.selection import Selection
from djlink_manifest.reconcile.resolve.unfit import (
    folded_at_source,
    folded_locally,
    refused,
    rejecting,
    told,
    unchecked,
)
from djlink_manifest.reconcile.state.moves import LinkMove
from djlink_manifest.reconcile.state.snapshot import LinkTables, Refusal, ServerFacts, merged
from djlink_manifest.servers.ddl.lineage import is_lineage


def usual_parallelism(sources: int) -> int:
    """How many links, or ranges of one link, go at the same time where nobody says: 2 to 4.

    One more than the processors that this process may use: while one waits for a server or the wire, the
    others fill them. Or the sources, where they are more: their links wait for different servers.
    """
    # what a container or a batch system lets this process have may be less than what the machine has
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return min(4, max(usable + 1, sources))


@dataclass(frozen=True, slots=True)
class AllLinkTables:
    """The footings of all links that have one, and the refusals with those known before.

    A link whose refusal bars pulls only has both. `held` are the links whose held rows can be read, whatever
    else may be amiss with them. `moves` are links that have another name now, `deferred` those that wait for
    them, with their addresses; all of these have a refusal that says so, since nothing else of them is looked
    at before.
    """

    found: Mapping[str, LinkTables]
    refusals: Mapping[str, Refusal]
    held: frozenset[str]
    moves: Mapping[str, LinkMove] = field(default_factory=dict)
    deferred: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a job: the local one, the sources that were reached, what is told of all sources.

    `facts` tells of each source that was not reached why; `store_transport` has the stores of external
    objects.
    """

    local: Reached
    sources: Mapping[str, Reached]
    facts: tuple[ServerFacts, ...]
    store_transport: StoreTransport


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a job works: so many links at the same time; `limit` replaces every `max_deletions`."""

    parallelism: int
    report: Words
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A manifest resolved against its servers.

    `outbound` gives each source's outbound schema, `selection` what a command is about; `named_before` are
    the links whose local lineage has the name of a former source.
    """

    manifest: Manifest
    at: Servers
    resolved: Resolved
    outbound: Mapping[str, str]
    selection: Selection
    options: RunOptions
    named_before: frozenset[str] = frozenset()

    @property
    def local(self) -> Reached:
        """The local server."""
        return self.at.local

    @property
    def sources(self) -> Mapping[str, Reached]:
        """The sources that were reached."""
        return self.at.sources

    @property
    def scope(self) -> frozenset[str]:
        """The links that the command works on."""
        return self.selection.links

    @property
    def removed(self) -> frozenset[str]:
        """Those of the links taken out that the command works on."""
        return self.selection.removed

    @property
    def links(self) -> Mapping[str, Link]:
        """All links by address, in scope or not."""
        return {link.address: link for link in self.resolved.links}

    @property
    def graph(self) -> LinkGraph:
        """The graph of all links."""
        return self.resolved.graph

    @property
    def is_whole(self) -> bool:
        """Whether all links are in scope."""
        return len(self.scope) == len(self.resolved.links)

    def catalog_pair(self, source: str) -> CatalogPair:
        """What the links of a source stand on."""
        manifest, catalog = self.manifest, self.sources[source].catalog
        return CatalogPair(
            manifest.name, catalog, self.local.catalog, manifest.contact, manifest.local.identity
        )

    def link_tables(self) -> AllLinkTables:
        """Find every link's footing."""
        found = dict[str, LinkTables]()
        refusals, held = {r.address: r for r in self.resolved.refusals}, set[str]()
        linked = {(t.schema, t.name): x.address for x in self.resolved.links for t in x.local.tables}
        catalog_pairs = {name: self.catalog_pair(name) for name in self.sources}
        moves = dict(self._moves(catalog_pairs, refusals))
        for link in self.resolved.links:
            catalogs = catalog_pairs[link.source]
            if holding(link, catalogs):
                held.add(link.address)
            if link.address in moves:
                continue
            known = refusals.get(link.address) or self._unfit(link, catalogs)
            stands = known or compare_link(link, catalogs, linked)
            if isinstance(stands, Refusal):
                refusals[link.address] = stands
                if not stands.only_pulls:
                    continue
                stands = compare_for_deletions(link, catalogs)
            if isinstance(stands, Refusal):
                refusals[link.address] = merged(refusals[link.address], stands)
            else:
                found[link.address] = stands
        due = {a: move for a, move in moves.items() if isinstance(move, LinkMove)}
        refusals |= {a: move for a, move in moves.items() if isinstance(move, Refusal)}
        deferred = self._deferred(due, refusals) if due else {}
        for address in {*due, *deferred}:
            found.pop(address, None)
            words = (
                "it has moved"
                if address in due
                else f"waits for the move of {', '.join(sorted(deferred[address]))}"
            )
            refusals[address] = Refusal(
                address, words, "run `djlink apply`, which carries the move out first"
            )
        return AllLinkTables(found, refusals, frozenset(held), due, deferred)

    def _moves(
        self, catalogs: Mapping[str, CatalogPair], refusals: Mapping[str, Refusal]
    ) -> Iterator[tuple[str, LinkMove | Refusal]]:
        """The links that have another name now, or cannot be brought to it."""
        for name, pair in catalogs.items():
            links = [link for link in self.resolved.links if link.source == name]
            declared = frozenset((link.definition.schema, link.definition.name) for link in links)
            befores = {x.address: source_marks(x, pair, declared)[1] for x in links if x.formers}
            marked = {a: (m[0].source_schema, m[0].source_table) for a, m in befores.items() if m}
            names = former_names(links, marked)
            for link in links:
                if link.address in refusals and not refusals[link.address].only_pulls:
                    continue
                move = find_move(link, pair, names, declared)
                if link.address in self.named_before and not isinstance(move, Refusal):
                    move = with_lineage(link, pair, move)
                if move is not None:
                    yield link.address, move

    def _deferred(
        self, moves: Mapping[str, LinkMove], refusals: Mapping[str, Refusal]
    ) -> Mapping[str, frozenset[str]]:
        """The links that wait for moves: connected with them, or of tables whose place is not free yet."""
        places = {old: address for address, move in moves.items() for old, _ in move.tables}
        found = dict[str, frozenset[str]]()
        connected = {a: group & moves.keys() for group in self.graph.groups() for a in group}
        for link in self.resolved.links:
            if link.address in moves:
                continue
            causes = {places[p] for t in link.local.tables if (p := (t.schema, t.name)) in places}
            if link.address not in refusals:
                causes |= connected[link.address]
            if causes:
                found[link.address] = frozenset(causes)
        return found

    def _unfit(self, link: Link, catalogs: CatalogPair) -> Refusal | None:
        """The refusal of a link whose names a server folds."""
        at_source = folded_at_source(link.source, (link,), catalogs.source.settings)
        return refused(link, (*at_source, *folded_locally((link,), catalogs.local.settings)))

    @property
    def rejecting(self) -> Mapping[str, Refusal]:
        """The servers that reject what djlink writes there, each with why."""
        servers = {"local": self.local, **self.sources}
        found = [each for name, reached in servers.items() for each in _rejecting(name, reached)]
        return {each.server: Refusal(each.server, told(each), each.fix) for each in reversed(found)}

    @property
    def unchecked(self) -> Iterator[Finding]:
        """The servers of which other sessions go without foreign keys."""
        for name, reached in (("local", self.local), *sorted(self.sources.items())):
            yield from unchecked(name, reached.catalog.settings)


def _rejecting(name: str, reached: Reached) -> Iterator[Finding]:
    return rejecting(name, reached.catalog.settings, reached.catalog.grants)


def for_deletions(
    context: Context, link_tables: Mapping[str, LinkTables], stopped: Set[str]
) -> tuple[Mapping[str, LinkTables], Context]:
    """The footings, and the context, in which of the links `stopped` no row comes.

    Of these only what deletions need is looked at. Parts that do not stand locally, or stand there as tables
    of somebody else's, are none of theirs.
    """
    links = {
        a: link.without_parts(link_tables[a].lacks_parts(link)) if a in stopped else link
        for a, link in context.links.items()
    }
    found = {a: t.for_deletions(context.links[a]) if a in stopped else t for a, t in link_tables.items()}
    resolved = replace(context.resolved, links=tuple(links.values()))
    return found, replace(context, resolved=resolved)


def lineage_schemas(source: Catalog) -> tuple[str, ...]:
    """The schemas of a source that have DataJoint's table of lineage, sorted."""
    tables = source.tables.items()
    return tuple(sorted(schema for (schema, name), t in tables if name == LINEAGE and is_lineage(t)))


def without_rules(link_tables: AllLinkTables, dropped: Set[tuple[TableName, str]]) -> AllLinkTables:
    """The footings without the rules of foreign keys, as (table, name), that are about to be dropped."""

    def kept(rule: LocalRule) -> bool:
        of = rule.of
        return (
            isinstance(of, Leftover | LastTimestamp)
            or ((rule.local_table.schema, rule.local_table.name), of.name) not in dropped
        )

    found = {a: replace(f, rules=tuple(filter(kept, f.rules))) for a, f in link_tables.found.items()}
    return replace(link_tables, found=found) if dropped else link_tables
