"""Observe what is asked to be deleted, and what would go with it here. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from djlink_manifest.errors import ServerError
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.links.entity import Presence, State, state_of
from djlink_manifest.model.links.explanation import KeyText
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Dependents
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.reconcile.observe.all_links import Survey
from djlink_manifest.reconcile.observe.closure import closures, measured
from djlink_manifest.reconcile.observe.context import Stage
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.plan.messages import quoted
from djlink_manifest.reconcile.state.deletion_requests import (
    BEFORE_ALL,
    Asked,
    Closure,
    DeletionFacts,
    LabRows,
    LinkDeletions,
    RequestSet,
    moment,
)
from djlink_manifest.reconcile.state.plan_keys import NOTHING_SEEN, KeySet, PlanKeys
from djlink_manifest.reconcile.state.snapshot import Footing, LinkSnapshot, Refusal
from djlink_manifest.servers.catalog.foreign_keys import acting_unseen, keys_to
from djlink_manifest.servers.entities.one_entity import key_text
from djlink_manifest.servers.entities.set_terms import Scene
from djlink_manifest.servers.entities.unwanted import stream_unwanted
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.outbound import request_queries
from djlink_manifest.servers.outbound.deletion_set import Doomed, doomed
from djlink_manifest.servers.outbound.local_notes import noted, noted_digest, noted_links
from djlink_manifest.servers.outbound.orphans import digest_of_orphans, orphans, stream_orphans
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql

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
    stage: Stage, footings: Mapping[str, Footing], seen: Survey, orphans_of: Collection[str] = ()
) -> Deletions:
    """What is to be decided about deletions in the links that were observed.

    `orphans_of`: links of which orphans are looked at though no approval names them. Where nothing is asked
    for, noted here or unwanted, two statements on the local server say so.
    """
    links, local, sources = stage.links, stage.local, stage.sources
    by_link = defaultdict[str, list[Approval]](list)
    for approval in stage.manifest.approvals:
        by_link[approval.link].append(approval)
    named = {a.link for a in stage.manifest.approvals if a.orphans} | set(orphans_of)
    gone = (State.ORPHAN, State.IMPOSSIBLE)
    named = {a for a in named & seen.snapshots.keys() if any(map(seen.snapshots[a].in_state, gone))}
    ordered = [links[a] for wave in stage.graph.waves() for a in wave if a in footings]
    standing = [link for link in ordered if not footings[link.address].make_local]
    with local.readers.session() as here:
        in_parts = noted_links(here, [link for link in standing if link.address in seen.snapshots])
        barring = {a for a in seen.snapshots if any(a in scene.barring for scene in seen.scenes.values())}
        asked = barring | in_parts | named
        due = [
            link
            for link in standing
            if link.address in seen.snapshots
            and not footings[link.address].make_outbound
            and (link.address in asked or _unwanted(link, seen.snapshots[link.address]))
        ]
        schemas = {link.local.schema for link in standing} if due else set[str]()
        referring = keys_to(here, schemas)
        dependents = Dependents.of(standing, referring)
        acting = acting_unseen(here, schemas, {table for table, _ in referring}) if due else {}
    found, refusals = dict[str, LinkDeletions](), dict[str, Refusal]()
    keys_of = dict[str, PlanKeys]()

    def one(link: Link) -> None:
        stage.options.say(f"reading the deletion requests of {link.address}")
        try:
            readers = sources[link.source].readers
            with understood(link.source), readers.session() as there, local.readers.session() as here:
                snapshot = seen.snapshots[link.address]
                found[link.address], keys_of[link.address] = _requests(
                    link, snapshot, dependents, by_link[link.address], there=there, here=here
                )
                if link.address in named:
                    of, keys = _orphans(link, dependents, there, here)
                    found[link.address] = replace(found[link.address], orphans=of)
                    keys_of[link.address] = replace(keys_of[link.address], orphans=keys)
        except ServerError as error:
            words = f"{error.server}: {error.message}"
            refusals[link.address] = Refusal(link.address, words, error.hint, link.location)

    with ThreadPoolExecutor(stage.options.parallelism, thread_name_prefix="djlink") as threads:
        list(threads.map(one, [link for link in due if link.address in asked]))
    lately = dict[str, int]()
    for address in sorted({a for link in due for a in dependents.below(link.address)}):
        link = dependents.links[address]
        if footings[address].make_outbound:  # perhaps the ledger, too: nothing of it goes before it is made
            continue
        with sources[link.source].readers.session() as there:
            lately[address] = request_queries.deleted_lately(there, link)
    for name in sorted({link.source for link in due}):
        mine = [x for x in due if x.source == name and _unwanted(x, seen.snapshots[x.address])]
        with sources[name].readers.session() as there, local.readers.session() as here:
            closures = _unwanted_closures(mine, seen.scenes[name], dependents, there, here)
            for address, closure, going in closures:
                found[address] = replace(found.get(address, LinkDeletions()), unwanted=closure)
                keys_of[address] = replace(keys_of.get(address, NOTHING_SEEN), unwanted=going)
    unseen = None if acting is None else dict(_by_link(standing, acting))
    unfilled = _unfilled(stage, footings)
    return Deletions(DeletionFacts(found, lately, unseen, unfilled), dependents, keys_of, refusals)


def _unfilled(stage: Stage, footings: Mapping[str, Footing]) -> Mapping[str, tuple[str, ...]]:
    """By link the links below it whose local tables lack rows that are to come back."""
    lacking = {a for a, f in footings.items() if f.lacks_rows}
    found = {a: (stage.graph.downstream([a]) & lacking) - {a} for a in stage.graph.upstream(lacking)}
    return {a: tuple(sorted(below)) for a, below in found.items() if below}


def unseen_below(stage: Stage, addresses: Collection[str]) -> tuple[str, str] | None:
    """What is in the way of a deletion in these links, in words, and what to do; None for nothing.

    Tables that the account cannot see and of which rows would go along, or change. It may not know of any.
    """
    links = [stage.links[address] for address in sorted(addresses)]
    schemas = {link.local.schema for link in links}
    with stage.local.readers.session() as here:
        acting = acting_unseen(here, schemas, {name for name, _ in keys_to(here, schemas)}) or {}
    tables = sorted({name for _, names in _by_link(links, acting) for name in names})
    if not tables:
        return None
    rules = "ON DELETE CASCADE or SET NULL, and the local account cannot read its rows"
    grants = "; ".join(f"GRANT SELECT ON {quoted(name)}" for name in tables)
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
    """How many entities are here, held and wanted no longer, and are to be let go."""
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
    there: Session,
    here: Session,
) -> tuple[LinkDeletions, PlanKeys]:
    """What is asked for, with the keys of what can go of it."""
    unheld = snapshot.in_state(State.UNPROTECTED_REQUESTED) > 0
    # what was approved before is in no digest, so no approval can name it
    open_only = None if link.deletions == "auto" else False
    # of one moment, so that what is counted is what the digests say
    with there.snapshot(), closures(here, dependents, link.address) as sets:
        of = _Asking(link, unheld, sets, there)
        digest = request_queries.request_digest(there, link)
        granted = of.closure(granted=True)
        keys_granted = KeySet(sets.keys(link.address))
        waiting = RequestSet(
            digest.keys, digest.count, digest.until, of.closure(granted=False, approved=open_only)
        )
        keys_waiting = KeySet(sets.keys(link.address))
        moments = {a.until: moment(a.until) for a in approvals if not a.orphans}
        before = dict[str, RequestSet]()
        for text, when in moments.items():
            if digest.until is not None and when < digest.until:
                each = request_queries.request_digest(there, link, when)
                closure = of.closure(granted=False, approved=False, until=when)
                before[text] = RequestSet(each.keys, each.count, each.until, closure)
        again = of.put(granted=False, approved=True) if unheld and open_only is False else 0
        unnoted, overdue = _changes(link, unheld, granted.here + waiting.closure.here, there, here)
        found = LinkDeletions(
            tuple(Asked(r.reason, r.by, r.count, r.since) for r in request_queries.asked_rows(there, link)),
            granted,
            waiting,
            before,
            unnoted=unnoted,
            overdue=overdue,
            unheld=unheld,
            now=there.value(sql("SELECT CURRENT_TIMESTAMP")),
            again=again + sum(n for c, n in snapshot.counts.items() if c.presence == APPROVED_ALONE),
            newest=request_queries.newest_request(there, link) or BEFORE_ALL,
        )
        return found, PlanKeys(granted=keys_granted, waiting=keys_waiting)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Requests of a link, put into its set on the local server as the source sends their keys."""

    link: Link
    unheld: bool
    sets: Doomed
    there: Session

    def put(self, *, granted: bool, until: datetime | None = None, approved: bool | None = None) -> int:
        """Put those of a kind into the set, as far as they are here; how many."""
        address, sets = self.link.address, self.sets
        sets.clear()
        keys = request_queries.stream_requested(
            self.there, self.link, unheld=self.unheld, granted=granted, until=until, approved=approved
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


def _changes(link: Link, unheld: bool, asked: int, there: Session, here: Session) -> tuple[int, int]:
    """How many requests the local `DeletionRequested` lacks, and how many rows it has too many.

    `asked` are the open requests for what is held and here. Where nothing is noted yet, or all is, no request
    travels.
    """
    if not unheld:
        said = noted_digest(here, link)
        if not said.count:
            return asked, 0
        if said.same(request_queries.requests_digest(there, link)):
            return 0, 0
    with noted(here, link) as notes:
        notes.add(request_queries.stream_requests(there, link, unheld=unheld))
        return notes.changes()


@contextmanager
def gone_at_source(link: Link, source: Session, local: Session) -> Iterator[KeyTable]:
    """The keys without a source row, local, held or requested, on the source's server."""
    with (
        differing_keys(link, True, True, source, local) as (_, extra),
        orphans(source, link, extra) as found,
    ):
        yield found


def _orphans(link: Link, dependents: Dependents, there: Session, here: Session) -> tuple[RequestSet, KeySet]:
    """The orphans of a link, and the keys of those that can go."""
    with gone_at_source(link, there, here) as found:
        if not found.count:
            return RequestSet("", 0, None, Closure()), KeySet()
        keys, count = digest_of_orphans(there, link, found)
        with closures(here, dependents, link.address) as sets:
            sets.add(link.address, stream_orphans(there, link, found))
            sets.keep_present(link.address)
            closure = measured(sets, link.address)
            return RequestSet(keys, count, None, closure), KeySet(sets.keys(link.address))


def _unwanted_closures(
    links: Sequence[Link], scene: Scene, dependents: Dependents, there: Session, here: Session
) -> Iterator[tuple[str, Closure, KeySet]]:
    """Of each link what is wanted no longer and can go, with its keys: nothing that stays refers to it."""
    if not links:
        return
    with doomed(here, dependents, [link.address for link in links]) as sets:
        for link in links:
            sets.add(link.address, stream_unwanted(there, scene, link))
            sets.keep_present(link.address)
        before = sets.counts()
        holders = {link.address: sets.hold_back_one(link.address) for link in reversed(links)}
        for link in links:
            count = sets.count(link.address)
            lab = tuple(LabRows(name, n) for name, n in sorted(holders[link.address].items()))
            closure = Closure(count, held=before.get(link.address, 0) - count, lab=lab)
            yield link.address, closure, KeySet(sets.keys(link.address))


def requested_keys(there: Session, link: Link) -> Iterator[KeyText]:
    """The keys of the link's open requests, to be shown; bytes as hex."""
    for row in request_queries.stream_keys(there, link):
        yield key_text(link, row)


def orphan_keys(there: Session, here: Session, link: Link) -> Iterator[KeyText]:
    """The keys of the local rows without a source row, to be shown."""
    with gone_at_source(link, there, here) as found:
        for row in stream_orphans(there, link, found):
            yield key_text(link, row)
