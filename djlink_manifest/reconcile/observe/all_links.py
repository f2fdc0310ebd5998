"""Observe all links in scope: what the servers take, which requests there are, and every link's snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.errors import ServerError, Unusable, with_server
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.selection import is_textual
from djlink_manifest.model.tables.definition import unprotectable
from djlink_manifest.parallel import each
from djlink_manifest.reconcile.observe.connect import Reached
from djlink_manifest.reconcile.observe.context import AllLinkTables, Context
from djlink_manifest.reconcile.observe.link import ObservedLink, level_snapshot, observe
from djlink_manifest.reconcile.resolve.external_columns import store_names
from djlink_manifest.reconcile.resolve.unfit import needs_zones, without_zones
from djlink_manifest.reconcile.resolve.unfit import refused as refused_by
from djlink_manifest.reconcile.state.plan_keys import PlanKeys
from djlink_manifest.reconcile.state.snapshot import LinkSnapshot, Refusal
from djlink_manifest.servers.catalog.health import knows_zones
from djlink_manifest.servers.compare.bulk_check import BulkCheck, check_in_bulk, groups
from djlink_manifest.servers.entities.counts import check_condition, links_with_requests
from djlink_manifest.servers.entities.set_terms import SetTerms, SourceLinks
from djlink_manifest.servers.keys.packed_keys import PackedKeys
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
    """Snapshots of the links in scope that are neither refused nor below a refused one.

    Links out of scope take part in what is wanted: a parent is needed by them too. It is needed by refused
    links for the rows that they hold. What fails for one link is a refusal of that link, and a source that
    fails as a whole refuses all of its links. `verify`: rows are compared too. Raises Unusable for a server
    that does not answer, or whose answers cannot be read.
    """
    links, local, sources, store_transport = (
        context.links,
        context.local,
        context.sources,
        context.at.store_transport,
    )
    refusals = dict(link_tables.refusals)
    source_links = dict[str, SourceLinks]()
    for name, reached in sources.items():
        own_links = {a: link for a, link in links.items() if link.source == name}
        try:
            with understood(name):
                refusals.update(_conditions(own_links, refusals, reached))
                source_links[name] = _source_links(reached, _usable_links(own_links, refusals), link_tables)
        except Unusable:
            raise
        except ServerError as error:
            refusals |= {a: _refusal(link, error) for a, link in own_links.items() if a not in refusals}
    seen = _bulk_checks(context, link_tables, source_links, refusals)
    snapshots: dict[str, LinkSnapshot] = {}
    comparable = {a for a, f in link_tables.found.items() if a in links and f.is_comparable(links[a])}
    blocked: dict[str, PackedKeys] = {}  # of earlier waves, while a wave is observed
    keys = dict[str, PlanKeys]()

    def one(address: str) -> None:
        link, level = links[address], seen.get(address)
        if level is not None and level.is_level and not verify:
            snapshots[address] = level_snapshot(level)
            return
        context.options.report(f"{'comparing the rows of' if verify else 'observing'} {address}")
        source = sources[link.source]
        above = context.graph.upstream([address]) - {address}
        try:
            with (
                understood(source.address.name),
                source.readers.session() as source_session,
                local.readers.session() as local_session,
            ):
                at = ObservedLink(
                    link,
                    link_tables.found[address],
                    source_links[link.source],
                    sizes=source.catalog.sizes,
                    source=source_session,
                    local=local_session,
                    blocked=blocked,
                    comparable=comparable,
                    store_transport=store_transport,
                )
                snapshots[address], found[address], keys[address] = observe(
                    at,
                    level.digests if level is not None else None,
                    verify=verify,
                    hangs=any(keys[a].lets_go for a in above if a in keys),
                )
            if link.stores and (snapshots[address].brings or link_tables.found[address].refill is not None):
                store_transport.check(link.source, store_names(link.definition), store_names(link.local))
        except Unusable:
            raise
        except ServerError as error:
            refusals[address] = _refusal(link, error)

    for wave in context.graph.subset(context.scope).waves():
        found = dict[str, PackedKeys]()
        stopped = context.graph.downstream(refusals)
        each(one, [a for a in wave if a not in stopped], context.options.parallelism)
        blocked |= {address: packed for address, packed in found.items() if packed.count}
    return ObservedLinks(snapshots, refusals, blocked, source_links, keys)


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
    links: Mapping[str, Link], link_tables: AllLinkTables, source: Reached
) -> tuple[SourceLinks, Mapping[str, Refusal]]:
    """The links of one source as a plan's SQL sees them, and the refusals with those found on the way."""
    own_links = {a: link for a, link in links.items() if link.source == source.address.name}
    refusals = {**link_tables.refusals, **_conditions(own_links, link_tables.refusals, source)}
    return _source_links(source, _usable_links(own_links, refusals), link_tables), refusals


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
            problem = check_condition(session, link)
            zones = needs_zones(link.where) and not knows_zones(session)
        if problem:
            words = f"the server rejects `where`: {problem}"
            hint = "correct the condition; it can use only the table's own columns"
            found[address] = Refusal(address, words, hint, link.location)
        elif zones:
            lacking = without_zones(link.source, (link,), named_zones=False)
            found |= {r.address: r for r in [refused_by(link, lacking)] if r is not None}
    return found


def _usable_links(links: Mapping[str, Link], refused: Mapping[str, Refusal]) -> dict[str, Link]:
    """A source's links for its SQL: a refused one counts with what it holds, one without a key not at all."""
    own_links = {
        a: replace(link, where=None, pull="none") if a in refused else link
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
