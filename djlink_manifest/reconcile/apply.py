"""Carry out a plan: wave by wave, the links of a wave at the same time, each outcome told.

The plan says which kinds of work a link gets; how much of each is looked at again under the link's lock,
since sources move. Nothing is done that the plan does not show.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, ServerError
from djlink_manifest.model.link import Link
from djlink_manifest.reconcile import bench as work
from djlink_manifest.reconcile import building, pulling, refilling
from djlink_manifest.reconcile.actions import (
    AddForeignKey,
    AlterLocal,
    CreateLocal,
    CreateOutbound,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.bench import Bench, Tally
from djlink_manifest.reconcile.plan import LinkPlan, Plan
from djlink_manifest.reconcile.progress import (
    Advanced,
    LinkOutcome,
    LinkStarted,
    Listener,
    Report,
    Said,
    Status,
)
from djlink_manifest.reconcile.site import Site
from djlink_manifest.servers import marks
from djlink_manifest.servers.census import barring_links
from djlink_manifest.servers.connection import Writer
from djlink_manifest.servers.pool import Pool
from djlink_manifest.servers.wanted import Scene

RECONNECTS = 5  # tries to go on after a lost connection, counted anew whenever a batch was committed


@dataclass(slots=True)
class _Run:
    """The state of one apply, shared by its threads.

    `held` are the links whose outbound table stands, `complete` those whose requests and approvals stand too.
    """

    site: Site
    listener: Listener
    stop: threading.Event
    held: set[str]
    complete: set[str]
    guard: threading.Lock = field(default_factory=threading.Lock)
    working: int = 0
    outcomes: dict[str, LinkOutcome] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def tell(self, outcome: LinkOutcome, *, broken: bool = False) -> None:
        with self.guard:
            self.outcomes[outcome.address] = outcome
            if broken:
                self.broken.add(outcome.address)
        self.listener(outcome)


@dataclass(slots=True)
class Helping:
    """Sessions for further workers of a link, while fewer links are at work than may be."""

    run: _Run
    source: Pool[Writer]

    @property
    def workers(self) -> int:
        """How many may work at once."""
        return max(1, self.run.site.parallelism)

    @contextmanager
    def lend(self) -> Iterator[tuple[Writer, Writer] | None]:
        """Sessions of the source and the local server; None where enough is at work."""
        with self.run.guard:
            free = self.run.working < self.workers
            self.run.working += free
        if not free:
            yield None
            return
        try:
            with self.source.session() as source, self.run.site.local.session() as local:
                yield source, local
        finally:
            with self.run.guard:
                self.run.working -= 1

    def crowded(self) -> bool:
        """Whether links wait for what is lent."""
        return self.run.working > self.workers


def apply(plan: Plan, site: Site, listener: Listener, stop: threading.Event) -> Report:
    """Carry out the plan's actions. `stop` ends it after the batches in hand.

    Raises LinkLocked, before anything is done, where another djlink works on one of the links.
    """
    started = time.monotonic()
    due = [p for p in plan.links if p.actions and not p.is_stopped]
    _take_locks(due, site)
    held = {a for a, f in site.footings.items() if f.holds(site.links[a])}
    complete = {a for a in held if not site.footings[a].make_outbound}
    run = _Run(site, listener, stop, held, complete)
    with ThreadPoolExecutor(max(1, site.parallelism), thread_name_prefix="djlink") as threads:
        for wave in sorted({p.wave for p in due}):
            list(threads.map(lambda p: _attempt(run, p), [p for p in due if p.wave == wave]))
    outcomes = tuple(run.outcomes[p.address] for p in due)
    return Report(outcomes, interrupted=stop.is_set(), seconds=time.monotonic() - started)


def _take_locks(due: Sequence[LinkPlan], site: Site) -> None:
    """Take the locks of all links that are due and say so in their marks, or raise LinkLocked."""
    marked = defaultdict[tuple[str, str], list[str]](list)
    for plan in due:
        link, mark = site.links[plan.address], site.marks[plan.address]
        site.locks.take(link, mark.link_id)
        if not site.footings[plan.address].mark_outbound:
            marked[link.source, link.outbound_schema].append(mark.link_id)
    for (source, schema), ids in marked.items():
        # for people to read: each link is signed once more when its turn comes
        with suppress(ServerError), site.sources[source].session() as writer:
            marks.write_holder(writer, schema, ids, site.holder)


def _attempt(run: _Run, plan: LinkPlan) -> None:
    """Do the work of one link and tell how it ended. No exception of ours leaves it."""
    started = time.monotonic()
    tally = Tally()

    def outcome(status: Status, problem: str | None = None, hint: str | None = None) -> LinkOutcome:
        return LinkOutcome(
            plan.address,
            status,
            tally.created,
            tally.pulled,
            tally.rows,
            tally.bytes,
            tally.registered,
            tally.released,
            tally.refused,
            problem,
            hint,
            time.monotonic() - started,
            tally.foreign_keys,
            tally.refilled,
            tally.altered,
        )

    stopped = sorted(run.site.graph.upstream([plan.address]) & run.broken) if run.broken else []
    if run.stop.is_set():
        run.tell(outcome("skipped", "interrupted before it began"), broken=True)
    elif stopped:
        run.tell(outcome("skipped", f"{', '.join(stopped)} failed"), broken=True)
    else:
        try:
            _with_reconnects(run, plan, tally)
        except Interrupted:
            run.tell(
                outcome("failed", "interrupted; what was committed stays, the next apply goes on"),
                broken=True,
            )
        except DjlinkError as error:
            run.tell(outcome("failed", error.message, error.hint), broken=True)
        except Exception as error:  # a defect of ours in one link must not take the others down untold
            # the type and the place alone: the text of an exception may hold a row's value
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            words = f"unexpected {type(error).__name__} at {where}"
            run.tell(outcome("failed", words, "this is a defect of djlink: please report it"), broken=True)
        else:
            run.tell(_ended(outcome, tally))


def _ended(outcome: Callable[..., LinkOutcome], tally: Tally) -> LinkOutcome:
    if not tally.refused:
        return outcome("done")
    entities = "1 entity" if tally.refused == 1 else f"{tally.refused:,} entities"
    return outcome(
        "failed",
        f"the local server refused {entities}: {'; '.join(tally.refusals)}",
        "look for local rows with the same unique value, for missing parents, and for rows of your own that "
        "refer to part rows which the source has no longer; the others were pulled and refilled",
    )


def _with_reconnects(run: _Run, plan: LinkPlan, tally: Tally) -> None:
    """Work on the link; after a lost connection go on with new sessions. Every step can be repeated."""
    run.listener(LinkStarted(plan.address, _entities(plan)))
    with run.guard:
        run.working += 1
    try:
        _work_and_reconnect(run, plan, tally)
    finally:
        with run.guard:
            run.working -= 1


def _work_and_reconnect(run: _Run, plan: LinkPlan, tally: Tally) -> None:
    site, tries, before = run.site, 0, -1
    while True:
        try:
            with (
                site.sources[site.links[plan.address].source].session() as source,
                site.local.session() as local,
            ):
                return _work(run, plan, tally, source, local, resumed=tries > 0)
        except ConnectionLost as error:
            progress = _committed(tally)
            tries = 1 if progress != before else tries + 1
            before = progress
            if tries >= RECONNECTS or run.stop.is_set():
                raise
            run.listener(Said(plan.address, f"{error.message}; connecting again"))
            run.stop.wait(2.0**tries / 2)


def _work(run: _Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool) -> None:
    """Do what the plan says of one link. `resumed`: an earlier session of this apply was lost at it."""
    site, link = run.site, run.site.links[plan.address]
    mark, footing = site.marks[link.address], site.footings[link.address]
    bench = Bench(
        link=link,
        scene=Scene.of(site.scene_links[link.source], frozenset(run.held), frozenset()),
        source=source,
        local=local,
        tally=tally,
        guarded=partial(site.locks.check, link, mark.link_id),
        helpers=Helping(run, site.sources[link.source]),
        advanced=lambda: run.listener(Advanced(link.address, _committed(tally), tally.rows, tally.bytes)),
        say=lambda words: run.listener(Said(link.address, words)),
        stop=run.stop,
    )
    kinds = {type(action) for action in plan.actions}
    built = bool(kinds & {CreateOutbound, CreateLocal, AlterLocal}) or footing.refill is not None
    if built:
        with_lineage = {schema for source_name, schema in site.lineage if source_name == link.source}
        building.build(bench, footing, mark, with_lineage, link.local.schema in site.new_schemas)
        with run.guard:
            run.held.add(link.address)
            run.complete.add(link.address)
    building.sign(bench, mark, site.holder)
    # only now are all of the link's tables sure to stand
    bench.scene = _scene(run, link, source)
    if Release in kinds:
        work.release_gone(bench)
    if Register in kinds:
        work.register_equal(bench)
    if Refill in kinds or footing.refill is not None:
        refilling.refill(bench)
    if built and footing.completes_late:
        building.finish(bench, footing, mark)
    if kinds & {Pull, PullAgain}:
        # what the lost session registered and did not copy is in outbound now, and missing here
        again = resumed or PullAgain in kinds
        blocked = site.blocked.get(link.address)
        pulling.pull(
            bench,
            missing_too=again,
            new=Pull in kinds,
            bytes_each=_bytes_each(plan),
            entities=_to_pull(plan),
            blocked=blocked,
        )
    if AddForeignKey in kinds:
        building.add_late_keys(bench, footing)
    if footing.redefined and not built:
        building.take_note(bench, mark)


def _scene(run: _Run, link: Link, source: Writer) -> Scene:
    """The source's SQL scene of this moment: which outbound tables stand, which links have requests."""
    links = run.site.scene_links[link.source]
    with run.guard:
        held, complete = frozenset(run.held & links.keys()), sorted(run.complete & links.keys())
    return Scene.of(links, held, barring_links(source, [links[a] for a in complete]))


def _entities(plan: LinkPlan) -> int:
    counted = (Pull, PullAgain, Refill, Register, Release)
    return sum(a.entities for a in plan.actions if isinstance(a, counted))


def _committed(tally: Tally) -> int:
    return tally.pulled + tally.refilled + tally.registered + tally.released


def _to_pull(plan: LinkPlan) -> int:
    return sum(a.entities for a in plan.actions if isinstance(a, Pull))


def _bytes_each(plan: LinkPlan) -> float:
    pulls = [a for a in plan.actions if isinstance(a, Pull) and a.entities]
    return pulls[0].bytes / pulls[0].entities if pulls else 0.0
