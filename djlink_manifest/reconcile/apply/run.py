"""The state of one apply, shared by its threads, and the bench of a link with a pair of sessions."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from djlink_manifest.reconcile.plan.actions import Action, Delete
from djlink_manifest.reconcile.plan.order import Turn
from djlink_manifest.reconcile.runtime.batches import Bench, Tally
from djlink_manifest.reconcile.runtime.context import Site
from djlink_manifest.reconcile.runtime.events import Advanced, LinkOutcome, Listener, Said
from djlink_manifest.reconcile.runtime.outcomes import committed
from djlink_manifest.reconcile.runtime.workers import Helpers, Workers
from djlink_manifest.servers.entities.counts import barring_links
from djlink_manifest.servers.entities.set_terms import Scene
from djlink_manifest.servers.external.objects import Objects
from djlink_manifest.servers.session.session import Writer


@dataclass(slots=True)
class Run:
    """The state of one apply, shared by its threads.

    `made` are the links whose outbound tables this apply made; `broken` those that failed or were not
    attempted, `unmade` those of them whose tables may be missing. `given_up` are the servers that a link
    could not reach again: no other link waits for them.
    """

    site: Site
    listener: Listener
    stop: threading.Event
    workers: Workers
    guard: threading.Lock = field(default_factory=threading.Lock)
    outcomes: dict[str, LinkOutcome] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    unmade: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def tell(self, outcome: LinkOutcome, *, broken: bool = False) -> None:
        """Tell how the work on a link ended; of one that is `broken` nothing below it is attempted."""
        with self.guard:
            self.outcomes[outcome.address] = outcome
            if broken:
                self.broken.add(outcome.address)
        self.listener(outcome)

    def scene(self, source: str) -> Scene:
        """What the SQL of a source is made from, with the tables that this apply made."""
        scene = self.site.found.scenes[source]
        with self.guard:
            return scene.at(frozenset((self.site.found.held | self.made) & scene.links.keys()), {})

    def scene_now(self, source: str, session: Writer) -> Scene:
        """The same, and which links have requests or approvals at this moment."""
        scene = self.scene(source)
        with self.guard:
            complete = sorted((self.site.found.complete | self.made) & scene.links.keys())
        return scene.at(scene.held, barring_links(session, [scene.links[a] for a in complete]))


def changed_by(address: str, actions: Iterable[Action]) -> list[str]:
    """The links that these actions of a link change: those whose rows are deleted along with its, too."""
    return sorted({address, *(a for d in actions if isinstance(d, Delete) for a, _ in d.along)})


def bench_of(run: Run, turn: Turn, sessions: tuple[Writer, Writer], stack: ExitStack) -> Bench:
    """The bench of a turn's link with sessions of its source and of the local server."""
    site, link, tally = run.site, run.site.links[turn.address], run.tallies[turn.address]
    changed = changed_by(turn.address, turn.actions)

    def guarded(source: Writer, local: Writer) -> None:
        for address in changed:
            site.locks.check(site.links[address], site.link_id(address), source, local)

    return Bench(
        link=link,
        found=site.found,
        scene=run.scene(link.source),
        source=sessions[0],
        local=sessions[1],
        tally=tally,
        guarded=guarded,
        helpers=Helpers(run.workers, site.sources[link.source], site.local),
        advanced=lambda: run.listener(
            Advanced(link.address, committed(tally), tally.rows, tally.bytes + tally.object_bytes)
        ),
        say=lambda words: run.listener(Said(link.address, words)),
        stop=run.stop,
        stack=stack,
        objects=Objects(link, site.depot) if link.stores else None,
    )
