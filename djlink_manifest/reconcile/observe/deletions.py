"""Observe what is asked to be deleted, and what would go with it here. Reads only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from djlink_manifest.errors import ServerError, Unusable, with_server
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.links.entity import Presence, State, state_of
from djlink_manifest.model.links.explanation import KeyText
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Dependents
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.parallel import each as in_threads
from djlink_manifest.reconcile.observe.all_links import ObservedLinks
from djlink_manifest.reconcile.observe.closure import closures, keys_of, measured
from djlink_manifest.reconcile.observe.context import Context
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.plan.messages import quoted_name
from djlink_manifest.reconcile.state.deletion_requests import (
    BEFORE_ALL,
    Closure,
    DeletionFacts,
    LabRows,
    LinkDeletions,
    RequestGroup,
    RequestSet,
    moment,
)
from djlink_manifest.reconcile.state.plan_keys import (
    NO_CLOSURE,
    NO_KEYS,
    NOTHING_SEEN,
    ClosureKeys,
    KeyDigests,
    PlanKeys,
)
from djlink_manifest.reconcile.state.snapshot import LinkSnapshot, LinkTables, Refusal
from djlink_manifest.servers.catalog.foreign_keys import acting_unseen, keys_to
from djlink_manifest.servers.entities.one_entity import key_text
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.entities.unwanted import stream_unwanted
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.outbound import request_queries
from djlink_manifest.servers.outbound.deletion_set import DeletionSet, deletion_set
from djlink_manifest.servers.outbound.local_notes import noted, noted_digest, noted_links
from djlink_manifest.servers.outbound.orphans import digest_of_orphans, orphans, stream_orphans
from djlink_manifest.servers.owner.holders import holders
from djlink_manifest.servers.session.checked_values import a_moment
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql

_Going: TypeAlias = tuple[Closure, KeyDigests]
APPROVED_ALONE = Presence(True, False, True, False, True)  # here, approved, and no request any more


@dataclass(frozen=True, slots=True)
class Deletions:
    """What was observed: the facts for the plan, and what its apply needs beside.

    `dependents` are the foreign keys along which deletions spread, `keys` the sets that may go, by link;
    `refusals` are links of which deletions could not be observed.
    """

    facts: DeletionFacts
    dependents: Dependents
    keys: Mapping[str, PlanKeys]
    refusals: Mapping[str, Refusal]


def observe_deletions(
    context: Context,
    link_tables: Mapping[str, LinkTables],
    seen: ObservedLinks,
    orphans_of: Collection[str] = (),
) -> Deletions:
    """What is to be decided about deletions in the links that were observed.

    `orphans_of`: links of which orphans are looked at though no approval names them. Where nothing is asked
    for, noted here or unwanted, two statements on the local server say so.
    """
    links, local, sources = context.links, context.local, context.sources
    by_link = defaultdict[str, list[Approval]](list)
    for approval in context.manifest.approvals:
        by_link[approval.link].append(approval)
    named = {a.link for a in context.manifest.approvals if a.orphans} | set(orphans_of)
    gone = (State.ORPHAN, State.IMPOSSIBLE)
    named = {a for a in named & seen.snapshots.keys() if any(map(seen.snapshots[a].in_state, gone))}
    ordered = [links[a] for wave in context.graph.waves() for a in wave if a in link_tables]
    existing = [link for link in ordered if not link_tables[link.address].make_local]
    with local.readers.session() as local_reader:
        in_parts = noted_links(local_reader, [link for link in existing if link.address in seen.snapshots])
        requests = {
            a
            for a in seen.snapshots
            if any(a in source_links.requests for source_links in seen.source_links.values())
        }
        requested = requests | in_parts | named
        due = [
            link
            for link in existing
            if link.address in seen.snapshots
            and not link_tables[link.address].make_outbound
            and (link.address in requested or _unwanted(link, seen.snapshots[link.address]))
        ]
        schemas = {link.local.schema for link in existing} if due else set[str]()
        referring = keys_to(local_reader, schemas)
        masters = {(link.local.schema, link.local.name) for link in existing}
        others = list(holders(local_reader, masters)) if due else ()
        dependents = Dependents.of(existing, referring, others)
        acting = acting_unseen(local_reader, schemas, {table for table, _ in referring}) if due else {}
    found, refusals = dict[str, LinkDeletions](), dict[str, Refusal]()
    seen_keys = dict[str, PlanKeys]()

    def one(link: Link) -> None:
        context.options.report(f"reading the deletion requests of {link.address}")
        try:
            readers = sources[link.source].readers
            with (
                understood(link.source),
                readers.session() as source,
                local.readers.session() as local_session,
            ):
                snapshot = seen.snapshots[link.address]
                found[link.address], seen_keys[link.address] = _requests(
                    link, snapshot, dependents, by_link[link.address], source=source, local=local_session
                )
                if link.address in named:
                    of, closure_keys = _orphans(link, dependents, source, local_session)
                    found[link.address] = replace(found[link.address], orphans=of)
                    seen_keys[link.address] = replace(seen_keys[link.address], orphans=closure_keys)
        except Unusable:
            raise
        except ServerError as error:
            refusals[link.address] = Refusal(link.address, with_server(error), error.hint, link.location)

    in_threads(one, [link for link in due if link.address in requested], context.options.parallelism)
    lately = dict[str, int]()
    for address in sorted({a for link in due for a in dependents.below(link.address)}):
        link = dependents.links[address]
        # perhaps the ledger, too: nothing of it goes before it is made
        if link_tables[address].make_outbound:
            continue
        with sources[link.source].readers.session() as source_session:
            lately[address] = request_queries.deleted_lately(source_session, link)
    for name in sorted({link.source for link in due}):
        own_links = [x for x in due if x.source == name and _unwanted(x, seen.snapshots[x.address])]
        with sources[name].readers.session() as source_session, local.readers.session() as local_reader:
            closures = _unwanted_closures(
                own_links, seen.source_links[name], dependents, source_session, local_reader
            )
            for address, seen_of in closures:
                (all_go, going), (alone, going_alone) = seen_of
                of = found.get(address, LinkDeletions())
                found[address] = replace(of, unwanted=all_go, unwanted_alone=alone)
                keys = seen_keys.get(address, NOTHING_SEEN)
                seen_keys[address] = replace(keys, unwanted=going, unwanted_alone=going_alone)
    for address, root in _roots([link.address for link in due], found, seen_keys):
        found[address] = replace(found[address], root=root)
    unseen = None if acting is None else dict(_by_link(existing, acting))
    unfilled = _unfilled(context, link_tables)
    return Deletions(DeletionFacts(found, lately, unseen, unfilled), dependents, seen_keys, refusals)


def _roots(
    ordered: Sequence[str], found: Mapping[str, LinkDeletions], keys: Mapping[str, PlanKeys]
) -> Iterator[tuple[str, str]]:
    """Yield the links whose requested entities are all deleted with those of an ancestor, and that ancestor.

    Of several ancestors it is the topmost. `ordered` are the links, parents first.
    """
    for place, address in enumerate(ordered):
        of = found[address].requested if address in found else None
        if of is None or not of.closure.entities or of.closure.held:
            continue
        own = keys[address].requested.own
        for above in ordered[:place]:
            sets = keys.get(above, NOTHING_SEEN)
            along = [each.along.get(address, NO_KEYS) for each in (sets.requested, sets.granted)]
            if any(along) and own.within(*along):
                yield address, above
                break


def _unfilled(context: Context, link_tables: Mapping[str, LinkTables]) -> Mapping[str, tuple[str, ...]]:
    """By link the links below it whose local tables lack rows that are to come back."""
    missing = {a for a, f in link_tables.items() if f.lacks_rows}
    found = {a: (context.graph.downstream([a]) & missing) - {a} for a in context.graph.upstream(missing)}
    return {a: tuple(sorted(below)) for a, below in found.items() if below}


def unseen_below(context: Context, addresses: Collection[str]) -> tuple[str, str] | None:
    """What is in the way of a deletion in these links, in words, and what to do; None for nothing.

    Tables that the account cannot see and whose rows would be deleted or changed too, as far as it knows.
    """
    links = [context.links[address] for address in sorted(addresses)]
    schemas = {link.local.schema for link in links}
    with context.local.readers.session() as local:
        acting = acting_unseen(local, schemas, {name for name, _ in keys_to(local, schemas)}) or {}
    tables = sorted({name for _, names in _by_link(links, acting) for name in names})
    if not tables:
        return None
    rules = "ON DELETE CASCADE or SET NULL, and the local account cannot read its rows"
    grants = "; ".join(f"GRANT SELECT ON {quoted_name(name)}" for name in tables)
    reason = f"{', '.join(tables)} refers to its rows, or to rows that depend on them, with {rules}"
    return reason, f"grant the local account access ({grants})"


def _by_link(
    links: Sequence[Link], acting: Mapping[TableName, tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for link in links:
        names = {name for t in link.local.tables for name in acting.get((t.schema, t.name), ())}
        if names:
            yield link.address, tuple(sorted(names))


def _unwanted(link: Link, snapshot: LinkSnapshot) -> int:
    """Count the local entities that are held, no longer wanted, and to be released."""
    if link.unwanted != "release":
        return 0
    return sum(
        n
        for entities, n in snapshot.counts.items()
        if state_of(entities.presence) is State.SHARED and not entities.wanted
    )


def _requests(
    link: Link,
    snapshot: LinkSnapshot,
    dependents: Dependents,
    approvals: Collection[Approval],
    source: Session,
    local: Session,
) -> tuple[LinkDeletions, PlanKeys]:
    """What is asked for, with the keys of what can go of it."""
    unheld = snapshot.in_state(State.UNPROTECTED_REQUESTED) > 0
    # what was approved before is in no digest, so no approval can name it
    open_only = None if link.deletions == "auto" else False
    # of one moment, so that what is counted is what the digests say
    with source.snapshot(), closures(local, dependents, link.address) as sets:
        of = _RequestReader(link, unheld, sets, source)
        digest = request_queries.request_digest(source, link)
        granted = of.closure(granted=True)
        keys_granted = keys_of(sets, link.address)
        requested = RequestSet(
            digest.keys, digest.count, digest.until, of.closure(granted=False, approved=open_only)
        )
        keys_requested = keys_of(sets, link.address)
        moments = {a.until: moment(a.until) for a in approvals if not a.orphans}
        before, keys_before = dict[str, RequestSet](), dict[str, ClosureKeys]()
        for text, when in moments.items():
            if digest.until is not None and when < digest.until:
                each = request_queries.request_digest(source, link, when)
                closure = of.closure(granted=False, approved=False, until=when)
                before[text] = RequestSet(each.keys, each.count, each.until, closure)
                keys_before[text] = keys_of(sets, link.address)
        again = of.put(granted=False, approved=True) if unheld and open_only is False else 0
        unnoted, overdue = _changes(link, unheld, granted.local + requested.closure.local, source, local)
        found = LinkDeletions(
            tuple(
                RequestGroup(r.reason, r.by, r.count, r.since)
                for r in request_queries.request_groups(source, link)
            ),
            granted,
            requested,
            before,
            unnoted=unnoted,
            overdue=overdue,
            unheld=unheld,
            now=source.value(sql("SELECT CURRENT_TIMESTAMP"), a_moment),
            again=again + sum(n for c, n in snapshot.counts.items() if c.presence == APPROVED_ALONE),
            newest=request_queries.newest_request(source, link) or BEFORE_ALL,
        )
        return found, PlanKeys(keys_granted, keys_requested, earlier=keys_before)


@dataclass(frozen=True, slots=True)
class _RequestReader:
    """Requests of a link, put into its set on the local server as the source sends their keys."""

    link: Link
    unheld: bool
    sets: DeletionSet
    source: Session

    def put(self, *, granted: bool, until: datetime | None = None, approved: bool | None = None) -> int:
        """Put those of a kind into the set, as far as they are here; how many."""
        address, sets = self.link.address, self.sets
        sets.clear()
        keys = request_queries.stream_requested(
            self.source, self.link, unheld=self.unheld, granted=granted, until=until, approved=approved
        )
        if sets.add(address, keys):
            sets.keep_present(address)
        return sets.count(address)

    def closure(
        self, *, granted: bool, until: datetime | None = None, approved: bool | None = None
    ) -> Closure:
        """What goes with those of a kind."""
        self.put(granted=granted, until=until, approved=approved)
        return measured(self.sets, self.link.address)


def _changes(link: Link, unheld: bool, requested: int, source: Session, local: Session) -> tuple[int, int]:
    """How many requests the local `DeletionRequested` lacks, and how many rows it has too many.

    `requested` are the open requests for what is held and here. Where nothing is noted yet, or all is, no
    request travels.
    """
    if not unheld:
        said = noted_digest(local, link)
        if not said.count:
            return requested, 0
        if said.same(request_queries.requests_digest(source, link)):
            return 0, 0
    with noted(local, link) as notes:
        notes.add(request_queries.stream_requests(source, link, unheld=unheld))
        return notes.changes()


@contextmanager
def gone_at_source(link: Link, source: Session, local: Session) -> Iterator[KeyTable]:
    """The keys without a source row, local, held or requested, on the source's server."""
    with (
        differing_keys(link, True, True, source, local) as (_, extra),
        orphans(source, link, extra) as found,
    ):
        yield found


def _orphans(
    link: Link, dependents: Dependents, source: Session, local: Session
) -> tuple[RequestSet, ClosureKeys]:
    """The orphans of a link, and the keys of those that can go."""
    with gone_at_source(link, source, local) as found:
        if not found.count:
            return RequestSet("", 0, None, Closure()), NO_CLOSURE
        keys, count = digest_of_orphans(source, link, found)
        with closures(local, dependents, link.address) as sets:
            sets.add(link.address, stream_orphans(source, link, found))
            sets.keep_present(link.address)
            closure = measured(sets, link.address)
            return RequestSet(keys, count, None, closure), keys_of(sets, link.address)


def _unwanted_closures(
    links: Sequence[Link], source_links: SourceLinks, dependents: Dependents, source: Session, local: Session
) -> Iterator[tuple[str, tuple[_Going, _Going]]]:
    """The unwanted entities of each link to which no remaining row refers, and those to which no row does.

    The first can go where those of all links go, the others in any case.
    """
    if not links:
        return
    with deletion_set(local, dependents, [link.address for link in links]) as sets:
        for link in links:
            sets.add(link.address, stream_unwanted(source, source_links, link))
            sets.keep_present(link.address)
        before = sets.counts()

        def going(address: str, holders: Mapping[str, int]) -> _Going:
            count = sets.count(address)
            lab = tuple(LabRows(name, n) for name, n in sorted(holders.items()))
            closure = Closure(count, held=before.get(address, 0) - count, lab=lab)
            return closure, KeyDigests(sets.keys(address))

        holders = {link.address: sets.hold_back_one(link.address) for link in reversed(links)}
        together = {address: going(address, of) for address, of in holders.items()}
        for link in links:
            beside = Counter(holders[link.address])
            beside.update(sets.hold_back_all(link.address))
            yield link.address, (together[link.address], going(link.address, beside))


def requested_keys(source: Session, link: Link) -> Iterator[KeyText]:
    """The keys of the link's open requests, to be shown; bytes as hex."""
    for row in request_queries.stream_keys(source, link):
        yield key_text(link, row)


def orphan_keys(source: Session, local: Session, link: Link) -> Iterator[KeyText]:
    """The keys of the local rows without a source row, to be shown."""
    with gone_at_source(link, source, local) as found:
        for row in stream_orphans(source, link, found):
            yield key_text(link, row)
