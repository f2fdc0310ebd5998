"""The state of one apply, shared by its threads, and the bench of a link with a pair of sessions."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from djlink_manifest.reconcile.plan.actions import Action, Delete
from djlink_manifest.reconcile.plan.order import Turn
from djlink_manifest.reconcile.runtime.batches import Counters, LinkWork
from djlink_manifest.reconcile.runtime.context import ApplyContext
from djlink_manifest.reconcile.runtime.epochs import Epochs, MarkPlace, place_of
from djlink_manifest.reconcile.runtime.events import Advanced, LinkOutcome, Listener, Message
from djlink_manifest.reconcile.runtime.workers import Helpers, Workers
from djlink_manifest.servers.entities.counts import links_with_requests
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.external.objects import Objects
from djlink_manifest.servers.session.session import Writer


@dataclass(slots=True)
class Run:
    """The state of one apply, shared by its threads.

    `made` are the links whose outbound tables this apply made; `broken` those that failed or were not
    attempted, `unmade` those of them whose tables may be missing. `given_up` are the servers that a link
    could not reach again: no other link waits for them. `epochs` moves the epoch of each link.
    """

    apply_context: ApplyContext
    listener: Listener
    stop: threading.Event
    workers: Workers
    epochs: Epochs
    guard: threading.Lock = field(default_factory=threading.Lock)
    outcomes: dict[str, LinkOutcome] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    unmade: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    counters: defaultdict[str, Counters] = field(default_factory=lambda: defaultdict(Counters))

    def place_of(self, address: str) -> MarkPlace:
        """Where the marks of a link are, and what they said when the plan was made."""
        found = self.apply_context.found
        return place_of(
            self.apply_context.links[address], self.apply_context.link_id(address), found.epochs[address]
        )

    def emit(self, outcome: LinkOutcome, *, broken: bool = False) -> None:
        """Tell how the work on a link ended; of one that is `broken` nothing below it is attempted."""
        with self.guard:
            self.outcomes[outcome.address] = outcome
            if broken:
                self.broken.add(outcome.address)
        self.listener(outcome)

    def source_links(self, source: str) -> SourceLinks:
        """What the SQL of a source is made from, with the tables that this apply made."""
        source_links = self.apply_context.found.source_links[source]
        with self.guard:
            return source_links.at(
                frozenset((self.apply_context.found.held | self.made) & source_links.links.keys()), {}
            )

    def source_links_now(self, source: str, session: Writer) -> SourceLinks:
        """The same, and which links have requests or approvals at this moment."""
        source_links = self.source_links(source)
        with self.guard:
            complete = sorted((self.apply_context.found.complete | self.made) & source_links.links.keys())
        return source_links.at(
            source_links.held, links_with_requests(session, [source_links.links[a] for a in complete])
        )


def changed_by(address: str, actions: Iterable[Action]) -> list[str]:
    """The links that these actions of a link change: those whose rows are deleted along with its, too."""
    return sorted({address, *(a for d in actions if isinstance(d, Delete) for a, _ in d.along)})


def link_work_of(run: Run, turn: Turn, sessions: tuple[Writer, Writer], stack: ExitStack) -> LinkWork:
    """The bench of a turn's link with sessions of its source and of the local server."""
    apply_context, link, counters = (
        run.apply_context,
        run.apply_context.links[turn.address],
        run.counters[turn.address],
    )
    changed = changed_by(turn.address, turn.actions)

    def guarded(source: Writer, local: Writer) -> None:
        for address in changed:
            apply_context.locks.check(
                apply_context.links[address], apply_context.link_id(address), source, local
            )

    return LinkWork(
        link=link,
        found=apply_context.found,
        source_links=run.source_links(link.source),
        source=sessions[0],
        local=sessions[1],
        counters=counters,
        guarded=guarded,
        helpers=Helpers(run.workers, apply_context.sources[link.source], apply_context.local),
        advanced=lambda: run.listener(
            Advanced(
                link.address,
                counters.counts.entities,
                counters.counts.rows,
                counters.counts.bytes + counters.counts.object_bytes,
            )
        ),
        report=lambda words: run.listener(Message(link.address, words)),
        stop=run.stop,
        stack=stack,
        objects=Objects(link, apply_context.store_transport) if link.stores else None,
    )
