"""Observe all links in scope: what the servers take, which requests there are, and every link's snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from djlink_manifest.errors import ServerError, Unusable, with_server
from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.selection import NOTHING, is_textual
from djlink_manifest.model.tables.definition import unprotectable
from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.parallel import each
from djlink_manifest.reconcile.observe.connect import Reached
from djlink_manifest.reconcile.observe.context import AllLinkTables, Context
from djlink_manifest.reconcile.observe.link import ObservedLink, level_snapshot, observe, observe_stopped
from djlink_manifest.reconcile.observe.merged_keys import merged_keys, recollates
from djlink_manifest.reconcile.resolve.external_columns import store_names
from djlink_manifest.reconcile.resolve.unfit import needs_zones, without_zones
from djlink_manifest.reconcile.resolve.unfit import refused as refused_by
from djlink_manifest.reconcile.state.plan_keys import PlanKeys
from djlink_manifest.reconcile.state.snapshot import LinkSnapshot, Refusal
from djlink_manifest.servers.catalog.health import knows_zones
from djlink_manifest.servers.compare.bulk_check import BulkCheck, check_in_bulk, groups
from djlink_manifest.servers.entities.counts import links_with_requests
from djlink_manifest.servers.entities.set_terms import SetTerms, SourceLinks
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.query.conditions import check_condition
from djlink_manifest.servers.session.error_words import NOT_EVALUATED
from djlink_manifest.servers.session.errors import understood


@dataclass(frozen=True, slots=True)
class ObservedLinks:
    """What was observed.

    `refusals` has those given and those found; `source_links` what the SQL of each source is made from, in
    the plan and in its apply; `blocked` the entities that cannot come, by link, and `keys` those that go.
    """

    snapshots: Mapping[str, LinkSnapshot]
    refusals: Mapping[str, Refusal]
    blocked: Mapping[str, PackedKeys]
    source_links: Mapping[str, SourceLinks]
    keys: Mapping[str, PlanKeys]


def observe_all(context: Context, link_tables: AllLinkTables, *, verify: bool = False) -> ObservedLinks:
    """Snapshots of the links in scope that can be observed.

    Of a link of which no row comes, as it or one above it is refused, the entities are counted by state, and
    that is all. Links out of scope take part in what is wanted: a parent is needed by them too. It is needed
    by refused links for the rows that they hold. What fails for one link is a refusal of that link, and a
    source that fails as a whole refuses all of its links. `verify`: rows are compared too. Raises Unusable
    for a server that does not answer, or whose answers cannot be read.
    """
    refusals = dict(link_tables.refusals)
    failed = dict[str, ServerError]()
    for name, reached in context.sources.items():
        try:
            with understood(name):
                refusals |= _conditions(_of_source(context.links, name), refusals, reached)
        except Unusable:
            raise
        except ServerError as error:
            failed[name] = error
    found = _Observed(context, link_tables, refusals, verify=verify)
    for name in context.sources:
        try:
            if name in failed:
                raise failed[name]
            found.look_at(name)
        except Unusable:
            raise
        except ServerError as error:
            own_links = _of_source(context.links, name)
            refusals |= {a: _refusal(link, error) for a, link in own_links.items() if _may_go_on(a, refusals)}
    found.in_bulk = _bulk_checks(context, link_tables, found.source_links, refusals)
    for wave in context.graph.subset(context.scope).waves():
        found.wave(wave)
    return ObservedLinks(found.snapshots, refusals, found.blocked, found.source_links, found.keys)


def _of_source(links: Mapping[str, Link], source: str) -> dict[str, Link]:
    return {a: link for a, link in links.items() if link.source == source}


def _may_go_on(address: str, refusals: Mapping[str, Refusal]) -> bool:
    """Whether a link is not refused, or its deletions go on all the same."""
    return address not in refusals or refusals[address].only_pulls


@dataclass(slots=True)
class _Observed:
    """What was observed so far, wave after wave.

    `refusals` grows; `in_bulk` is what was seen of links together with others. `again` are links of the wave
    in hand whose statements met a `where` that cannot be evaluated, `met` all of these with that link.
    """

    context: Context
    link_tables: AllLinkTables
    refusals: dict[str, Refusal]
    verify: bool
    source_links: dict[str, SourceLinks] = field(default_factory=dict)
    in_bulk: Mapping[str, BulkCheck] = field(default_factory=dict)
    snapshots: dict[str, LinkSnapshot] = field(default_factory=dict)
    blocked: dict[str, PackedKeys] = field(default_factory=dict)
    keys: dict[str, PlanKeys] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    met: set[tuple[str, str]] = field(default_factory=set)
    comparable: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        links = self.context.links
        tables = self.link_tables.found
        self.comparable = {a for a, f in tables.items() if a in links and f.is_comparable(links[a])}

    def look_at(self, source: str) -> None:
        """Find what the SQL of a source is made from. Raises ServerError."""
        own_links, reached = _of_source(self.context.links, source), self.context.sources[source]
        stopped = self.context.graph.downstream(self.refusals)
        with understood(source):
            usable = _usable_links(own_links, stopped)
            self.source_links[source] = _source_links(reached, usable, self.link_tables)

    def look_again(self, source: str) -> None:
        """As `look_at`, once links were refused while they were observed."""
        try:
            self.look_at(source)
        except Unusable:
            raise
        except ServerError as error:
            for address, link in _of_source(self.context.links, source).items():
                if _may_go_on(address, self.refusals):
                    self.refusals[address] = _refusal(link, error)

    def wave(self, addresses: Sequence[str]) -> None:
        """Observe the links of a wave, at the same time."""
        due = [a for a in addresses if a in self.link_tables.found]
        while due:
            before = frozenset(self.refusals)
            stopped = self.context.graph.downstream(before)
            found = dict[str, PackedKeys]()
            step = partial(self._one, stopped, found)
            going = [a for a in due if _may_go_on(a, self.refusals)]
            each(step, going, self.context.options.parallelism)
            self.blocked |= {address: packed for address, packed in found.items() if packed.count}
            due, self.again = sorted(self.again), set()
            for name in sorted({source_of(a) for a in self.refusals.keys() - before}) if due else ():
                self.look_again(name)

    def _one(self, stopped: Collection[str], found: dict[str, PackedKeys], address: str) -> None:
        """Observe a link; the entities that cannot come go into `found`."""
        link, context, level = self.context.links[address], self.context, self.in_bulk.get(address)
        is_same = not recollates(self.link_tables.found[address])
        if level is not None and level.is_level and not self.verify and address not in stopped and is_same:
            self.snapshots[address] = level_snapshot(level)
            return
        context.options.report(f"{'comparing the rows of' if self.verify else 'observing'} {address}")
        source = context.sources[link.source]
        above = context.graph.upstream([address]) - {address}
        try:
            with (
                understood(source.address.name),
                source.readers.session() as source_session,
                context.local.readers.session() as local_session,
            ):
                at = ObservedLink(
                    link,
                    self.link_tables.found[address],
                    self.source_links[link.source],
                    sizes=source.catalog.sizes,
                    source=source_session,
                    local=local_session,
                    blocked=self.blocked,
                    comparable=self.comparable,
                    store_transport=context.at.store_transport,
                )
                merged = None
                if address not in stopped:
                    merged = merged_keys(source_session, local_session, at.source_links, link)
                if merged is not None:
                    self.refusals[address] = merged
                if address in stopped or merged is not None:
                    self.snapshots[address], self.keys[address] = observe_stopped(at)
                    return
                self.snapshots[address], found[address], self.keys[address] = observe(
                    at,
                    level.digests if level is not None else None,
                    verify=self.verify,
                    hangs=any(self.keys[a].lets_go for a in above if a in self.keys),
                )
        except Unusable:
            raise
        except ServerError as error:
            self._failed(link, error)
        else:
            self._check_stores(link)

    def _failed(self, link: Link, error: ServerError) -> None:
        """Refuse the link, or the one whose `where` cannot be evaluated: then this one is observed again."""
        culprit = self.context.links.get(error.link or "") if error.code in NOT_EVALUATED else None
        if culprit is None or (link.address, culprit.address) in self.met:
            self.refusals[link.address] = _refusal(link, error)
            return
        self.met.add((link.address, culprit.address))
        self.again.add(link.address)
        self.refusals.setdefault(culprit.address, replace(_refusal(culprit, error), only_pulls=True))

    def _check_stores(self, link: Link) -> None:
        """Refuse a link whose external objects are to come, and of which a store cannot be used."""
        address = link.address
        if not link.stores:
            return
        if not (self.snapshots[address].brings or self.link_tables.found[address].refill is not None):
            return
        try:
            names = store_names(link.definition), store_names(link.local)
            self.context.at.store_transport.check(link.source, *names)
        except ServerError as error:
            self.refusals[address] = replace(_refusal(link, error), only_pulls=True)


def _bulk_checks(
    context: Context,
    link_tables: AllLinkTables,
    links_by_source: Mapping[str, SourceLinks],
    refused: Mapping[str, Refusal],
) -> Mapping[str, BulkCheck]:
    """What a glance shows of the links in scope whose tables stand and of which all is wanted.

    Links of which one cannot be read are looked at one by one, so that the error is that of its link.
    """
    stopped, due = context.graph.downstream(refused), list[tuple[str, list[Link]]]()
    for name, source_links in links_by_source.items():
        terms, going = SetTerms(source_links), (context.scope & source_links.held) - stopped
        links = [
            link
            for address, link in source_links.links.items()
            if address in going
            and link_tables.found[address].is_comparable(link)
            and terms.wanted(address) is None
            and not terms.blocked_by_request(address)
        ]
        due += [(name, group) for group in groups(links, context.sources[name].catalog.sizes)]

    def look(name: str, group: Sequence[Link]) -> Mapping[str, BulkCheck]:
        context.options.report(
            f"comparing {group[0].address if len(group) == 1 else f'{len(group)} links of {name}'}"
        )
        try:
            sources = context.sources[name].readers
            with understood(name), sources.session() as source, context.local.readers.session() as local:
                return check_in_bulk(local, source, group)
        except Unusable:
            raise
        except ServerError:
            return {}

    found = dict[str, BulkCheck]()
    for seen in each(lambda of: look(*of), due, context.options.parallelism):
        found |= seen
    return found


def source_links_of(
    links: Mapping[str, Link], graph: LinkGraph, link_tables: AllLinkTables, source: Reached
) -> tuple[SourceLinks, Mapping[str, Refusal]]:
    """The links of one source as a plan's SQL sees them, and the refusals with those found on the way."""
    own_links = _of_source(links, source.address.name)
    refusals = {**link_tables.refusals, **_conditions(own_links, link_tables.refusals, source)}
    usable = _usable_links(own_links, graph.downstream(refusals))
    return _source_links(source, usable, link_tables), refusals


def _refusal(link: Link, error: ServerError) -> Refusal:
    return Refusal(link.address, with_server(error), error.hint, link.location)


def _conditions(
    links: Mapping[str, Link], refused: Mapping[str, Refusal], source: Reached
) -> dict[str, Refusal]:
    """Ask a source server whether it takes each `where` of its links that is SQL text."""
    found = {}
    for address, link in links.items():
        if address in refused or link.where is None or not is_textual(link.where):
            continue
        with source.readers.session() as session:
            problem = check_condition(session, link.definition, link.where)
            zones = needs_zones(link.where) and not knows_zones(session)
        if problem:
            words = f"the server rejects `where`: {problem}"
            hint = "correct the condition; it can use only the table's own columns"
            found[address] = Refusal(address, words, hint, link.location, only_pulls=True)
        elif zones:
            findings = without_zones(link.source, (link,), named_zones=False)
            refusal = refused_by(link, findings)
            if refusal is not None:
                found[address] = replace(refusal, only_pulls=True)
    return found


def _usable_links(links: Mapping[str, Link], stopped: Collection[str]) -> dict[str, Link]:
    """A source's links for its SQL: one of which no row comes counts with what it holds.

    Unless nothing is wanted of it anyhow. One without a key does not count at all.
    """
    own_links = {
        a: replace(link, where=None, pull="none") if a in stopped and link.where != NOTHING else link
        for a, link in links.items()
        if unprotectable(link.definition) is None
    }
    return {
        a: replace(link, references=tuple(r for r in link.references if r.parent in own_links))
        for a, link in own_links.items()
    }


def _source_links(reached: Reached, links: Mapping[str, Link], link_tables: AllLinkTables) -> SourceLinks:
    """Which outbound tables of the source stand, and which links have requests or approvals."""
    found = link_tables.found
    held = frozenset(
        a for a, link in links.items() if (found[a].holds(link) if a in found else a in link_tables.held)
    )
    complete = [links[a] for a in sorted(held) if a in found and not found[a].make_outbound]
    with reached.readers.session() as session:
        return SourceLinks.of(links, held, links_with_requests(session, complete))
