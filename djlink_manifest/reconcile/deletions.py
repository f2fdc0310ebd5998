"""Observe what is asked to be deleted, and what would go with it here. Reads only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from djlink_manifest.errors import ServerError
from djlink_manifest.manifest.values import Approval
from djlink_manifest.model.closure import Dependents, lab_line
from djlink_manifest.model.entity import State, state_of
from djlink_manifest.model.link import Link
from djlink_manifest.reconcile.asked import Asked, Closure, LabRows, LinkDeletions, RequestSet, moment
from djlink_manifest.reconcile.snapshot import Footing, LinkSnapshot, Refusal
from djlink_manifest.reconcile.stage import Stage
from djlink_manifest.reconcile.survey import Survey
from djlink_manifest.servers import requests
from djlink_manifest.servers.connection import Session
from djlink_manifest.servers.dependents import keys_to
from djlink_manifest.servers.doomed import Doomed, doomed
from djlink_manifest.servers.noting import Noted, noted, noted_links
from djlink_manifest.servers.sql import sql
from djlink_manifest.servers.transfer import is_binary, reading
from djlink_manifest.servers.unwanted import unwanted_keys
from djlink_manifest.servers.wanted import Scene

LONGEST_LINE = 1500  # characters of a line to copy from the screen


@dataclass(frozen=True, slots=True)
class Deletions:
    """What was observed: per link, and the foreign keys along which deletions spread.

    `lately` says of each link concerned how many of its entities went in 24 hours without a review;
    `refusals` are links of which deletions could not be observed.
    """

    links: Mapping[str, LinkDeletions]
    dependents: Dependents
    lately: Mapping[str, int]
    refusals: Mapping[str, Refusal]


def observe_deletions(stage: Stage, footings: Mapping[str, Footing], seen: Survey) -> Deletions:
    """What is to be decided about deletions in the links that were observed.

    Where nothing is asked for, noted here or unwanted, two statements on the local server say so.
    """
    links, local, sources = stage.links, stage.local, stage.sources
    ordered = [links[a] for wave in stage.graph.waves() for a in wave if a in footings]
    standing = [link for link in ordered if not footings[link.address].make_local]
    with local.readers.session() as here:
        in_parts = noted_links(here, [link for link in standing if link.address in seen.snapshots])
        asked = {a for a in seen.snapshots if any(a in scene.barring for scene in seen.scenes.values())}
        due = [
            link
            for link in standing
            if link.address in seen.snapshots
            and not footings[link.address].make_outbound
            and (link.address in asked | in_parts or _unwanted(link, seen.snapshots[link.address]))
        ]
        schemas = {link.local.schema for link in standing} if due else set[str]()
        dependents = Dependents.of(standing, keys_to(here, schemas))
    found, refusals = dict[str, LinkDeletions](), dict[str, Refusal]()
    by_link = defaultdict[str, list[Approval]](list)
    for approval in stage.manifest.approvals:
        by_link[approval.link].append(approval)

    def one(link: Link) -> None:
        stage.say(f"looking at deletions of {link.address}")
        try:
            with sources[link.source].readers.session() as there, local.readers.session() as here:
                snapshot = seen.snapshots[link.address]
                found[link.address] = _requests(
                    link, snapshot, dependents, by_link[link.address], there, here
                )
        except ServerError as error:
            words = f"{error.server}: {error.message}"
            refusals[link.address] = Refusal(link.address, words, error.hint, link.location)

    with ThreadPoolExecutor(stage.parallelism, thread_name_prefix="djlink") as threads:
        list(threads.map(one, due))
    lately = dict[str, int]()
    for address in sorted({a for link in due for a in dependents.below(link.address)}):
        link = dependents.links[address]
        with sources[link.source].readers.session() as there:
            lately[address] = requests.deleted_lately(there, link)
    for name in sorted({link.source for link in due}):
        mine = [x for x in due if x.source == name and _unwanted(x, seen.snapshots[x.address])]
        with sources[name].readers.session() as there, local.readers.session() as here:
            for address, closure in _unwanted_closures(mine, seen.scenes[name], dependents, there, here):
                found[address] = replace(found.get(address, LinkDeletions()), unwanted=closure)
    return Deletions(found, dependents, lately, refusals)


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
) -> LinkDeletions:
    states = Counter[State]()
    for entities, count in snapshot.counts.items():
        states[state_of(entities.presence)] += count
    unheld = states[State.UNPROTECTED_REQUESTED] > 0
    asked = tuple(Asked(r.reason, r.by, r.count, r.since) for r in requests.asked_rows(there, link))
    with noted(here, link) as notes:
        notes.add(requests.stream_requests(there, link, unheld=unheld))
        unnoted, overdue = notes.changes()
        digest = requests.request_digest(there, link)
        moments = {a.until: moment(a.until) for a in approvals}
        earlier = {
            text: (when, requests.request_digest(there, link, when))
            for text, when in moments.items()
            if digest.until is not None and when < digest.until
        }
        with closures(here, dependents, link.address) as sets:
            granted = measured(sets, link.address, notes, granted=True)
            waiting = RequestSet(
                digest.keys,
                digest.count,
                digest.until,
                measured(sets, link.address, notes, granted=False),
            )
            before = {
                text: RequestSet(
                    each.keys,
                    each.count,
                    each.until,
                    measured(sets, link.address, notes, granted=False, until=when),
                )
                for text, (when, each) in earlier.items()
            }
    return LinkDeletions(
        asked,
        granted,
        waiting,
        before,
        unnoted,
        overdue,
        unheld=unheld,
        now=there.value(sql("SELECT CURRENT_TIMESTAMP")),
    )


@contextmanager
def closures(here: Session, dependents: Dependents, address: str) -> Iterator[Doomed]:
    """Empty sets for a link and all that hang on it."""
    with doomed(here, dependents, dependents.below(address)) as sets:
        yield sets


def measured(
    sets: Doomed, address: str, notes: Noted, *, granted: bool, until: datetime | None = None
) -> Closure:
    """The closure of those requested entities that are here, granted or not, asked for up to a moment."""
    sets.clear()
    sets.add_from(address, notes.select(granted=granted, until=until))
    total = sets.count(address)
    if not total:
        return Closure()
    sets.spread()
    whole = _along(sets, address)
    lab = tuple(_lab_rows(sets, address))
    if lab:
        sets.hold_back()
        sets.clear(address)
        sets.spread()
    entities = sets.count(address)
    along = _along(sets, address) if lab else whole
    return Closure(entities, along, tuple(sets.rows()), total - entities, lab, whole)


def _along(sets: Doomed, address: str) -> tuple[tuple[str, int], ...]:
    return tuple((other, count) for other, count in sets.counts().items() if other != address)


def _lab_rows(sets: Doomed, root: str) -> Iterator[LabRows]:
    for address, referrer, count in sets.lab_rows():
        line = lab_line(sets.dependents, root, address, referrer)
        yield LabRows(referrer.name, count, line if line and len(line) <= LONGEST_LINE else None)


def _unwanted_closures(
    links: Sequence[Link], scene: Scene, dependents: Dependents, there: Session, here: Session
) -> Iterator[tuple[str, Closure]]:
    """Of each link what is wanted no longer and can go: nothing that stays refers to it."""
    if not links:
        return
    with doomed(here, dependents, [link.address for link in links]) as sets:
        for link in links:
            sets.add(link.address, unwanted_stream(there, scene, link))
            sets.keep_present(link.address)
        before = sets.counts()
        holders = {link.address: sets.hold_back_one(link.address) for link in reversed(links)}
        for link in links:
            count = sets.count(link.address)
            lab = tuple(LabRows(name, n) for name, n in sorted(holders[link.address].items()))
            yield link.address, Closure(count, held=before.get(link.address, 0) - count, lab=lab)


def unwanted_stream(there: Session, scene: Scene, link: Link) -> Iterator[tuple[bytes | None, ...]]:
    """The keys, raw, of what is held and wanted no longer, not requested and not approved."""
    return there.stream(unwanted_keys(scene, link, reading(link.key_columns, "s")))


def requested_keys(there: Session, link: Link) -> Iterator[tuple[tuple[str, str], ...]]:
    """The keys of the link's open requests, to be shown; bytes as hex."""
    for row in requests.stream_keys(there, link):
        yield tuple(
            (c.name, f"0x{(value or b'').hex()}" if is_binary(c) else (value or b"").decode(errors="replace"))
            for c, value in zip(link.key_columns, row, strict=True)
        )
