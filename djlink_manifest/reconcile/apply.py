"""Carry out a plan: wave by wave, the links of a wave at the same time, each outcome told.

The plan says which kinds of work a link gets; how much of each is looked at again under the link's lock,
since sources move. Nothing is done that the plan does not show.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, ServerError, Unreachable
from djlink_manifest.model.closure import Dependents
from djlink_manifest.model.link import Link
from djlink_manifest.reconcile import bench as work
from djlink_manifest.reconcile import building, pulling, refilling
from djlink_manifest.reconcile import deleting as work_of_deletion
from djlink_manifest.reconcile.actions import (
    AddForeignKey,
    AlterLocal,
    Approve,
    CreateLocal,
    CreateOutbound,
    Delete,
    MakeViews,
    Mend,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.bench import Bench, Tally
from djlink_manifest.reconcile.helping import Helpers, Workers
from djlink_manifest.reconcile.orphans import delete_orphans
from djlink_manifest.reconcile.outcomes import committed, ended, outcome_of
from djlink_manifest.reconcile.plan import LinkPlan, Plan, concerned
from djlink_manifest.reconcile.progress import (
    Advanced,
    LinkOutcome,
    LinkStarted,
    Listener,
    Report,
    Said,
)
from djlink_manifest.reconcile.removal import Removal
from djlink_manifest.reconcile.site import Site
from djlink_manifest.reconcile.taking_out import take_out
from djlink_manifest.servers import marks
from djlink_manifest.servers.census import barring_links
from djlink_manifest.servers.connection import Writer
from djlink_manifest.servers.failures import is_passing
from djlink_manifest.servers.objects import Objects
from djlink_manifest.servers.wanted import Scene

RECONNECTS = 5  # tries to go on after a lost connection, counted anew whenever a batch was committed


@dataclass(slots=True)
class _Run:
    """The state of one apply, shared by its threads.

    `held` are the links whose outbound table stands, `complete` those whose requests and approvals stand too.
    `given_up` are the servers that a link could not reach again: no other link waits for them.
    """

    site: Site
    listener: Listener
    stop: threading.Event
    held: set[str]
    complete: set[str]
    workers: Workers
    guard: threading.Lock = field(default_factory=threading.Lock)
    outcomes: dict[str, LinkOutcome] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def tell(self, outcome: LinkOutcome, *, broken: bool = False) -> None:
        with self.guard:
            self.outcomes[outcome.address] = outcome
            if broken:
                self.broken.add(outcome.address)
        self.listener(outcome)


class _Step(Protocol):
    """Some work of one link, with sessions to do it. `resumed`: an earlier session of this apply was lost."""

    def __call__(
        self, run: _Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool
    ) -> None:
        """Do it; again from the start does no harm."""


def apply(
    plan: Plan, site: Site, listener: Listener, stop: threading.Event, dependents: Dependents
) -> Report:
    """Carry out the plan's actions. `stop` ends it after the batches in hand.

    First links are taken out, then all that was approved is claimed, then deletions are done, children first,
    then all else, parents first. `dependents` are the local foreign keys along which deletions spread.

    Raises LinkLocked, before anything is done, where another djlink works on one of the links.
    """
    started = time.monotonic()
    due = [p for p in plan.links if p.actions and not p.is_stopped]
    wanted, going = concerned(plan), [r for r in plan.removals if not r.blocked]
    _take_locks([p.address for p in plan.links if p.address in wanted], going, site)
    held = {a for a, f in site.footings.items() if f.holds(site.links[a])}
    complete = {a for a in held if not site.footings[a].make_outbound}
    run = _Run(site, listener, stop, held, complete, Workers(max(1, site.parallelism)))
    removed = [_take_out(each, site, listener, stop) for each in going]
    with ThreadPoolExecutor(max(1, site.parallelism), thread_name_prefix="djlink") as threads:
        _delete(run, due, dependents, threads)
        for wave in sorted({p.wave for p in due}):
            now = [p for p in due if p.wave == wave and p.address not in run.outcomes]
            list(threads.map(lambda p: _attempt(run, p, _work), now))
    outcomes = (*removed, *(run.outcomes[p.address] for p in due))
    return Report(outcomes, interrupted=stop.is_set(), seconds=time.monotonic() - started)


def _take_out(wanted: Removal, site: Site, listener: Listener, stop: threading.Event) -> LinkOutcome:
    outcome = take_out(wanted, site, stop, lambda words: listener(Said(wanted.address, words)))
    listener(outcome)
    return outcome


def _delete(run: _Run, due: Sequence[LinkPlan], dependents: Dependents, threads: ThreadPoolExecutor) -> None:
    """Claim all that was approved, then delete: of each source one link after another, children first."""
    deleting = [p for p in reversed(due) if any(isinstance(a, work_of_deletion.KINDS) for a in p.actions)]

    def claim(bench: Bench, plan: LinkPlan, resumed: bool) -> None:
        work_of_deletion.claim(bench, plan.actions, resumed=resumed)

    def delete(bench: Bench, plan: LinkPlan, resumed: bool) -> None:
        work_of_deletion.carry_out(bench, plan.actions, dependents, resumed=resumed)
        delete_orphans(bench, plan.actions, dependents, resumed=resumed)

    def of_source(name: str) -> None:
        mine = [p for p in deleting if run.site.links[p.address].source == name]
        for step, chosen in ((claim, [p for p in mine if _claims(p)]), (delete, mine)):
            for plan in chosen:
                if plan.address not in run.outcomes:
                    _attempt(run, plan, _on_bench(step), more=True)

    list(threads.map(of_source, sorted({run.site.links[p.address].source for p in deleting})))


def _claims(plan: LinkPlan) -> bool:
    return any(isinstance(a, Delete) and a.cause == "approved" for a in plan.actions)


def _on_bench(step: Callable[[Bench, LinkPlan, bool], None]) -> _Step:
    def work(
        run: _Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool
    ) -> None:
        bench = _bench(run, plan, tally, source, local)
        building.sign(bench, run.site.marks[plan.address], run.site.holder)
        step(bench, plan, resumed)

    return work


def _take_locks(due: Sequence[str], going: Sequence[Removal], site: Site) -> None:
    """Take the locks of all links that are due, or taken out, and say so in their marks, or raise LinkLocked.

    A server that went away since it was planned for is left to its links, which try again at their turn.
    """
    marked, gone = defaultdict[tuple[str, str], list[str]](list), set[str | None]()
    for address in due:
        link, mark = site.links[address], site.marks[address]
        if gone & {link.source, site.local.address.name}:
            continue
        try:
            site.locks.take(link, mark.link_id)
        except (ConnectionLost, Unreachable) as error:
            gone.add(error.server)
            continue
        if not site.footings[address].mark_outbound:
            marked[link.source, link.outbound_schema].append(mark.link_id)
    for each in going:
        try:
            if not gone & {each.source, site.local.address.name}:
                site.locks.take(each, each.link_id)
                marked[each.source, each.outbound_schema].append(each.link_id)
        except (ConnectionLost, Unreachable) as error:
            gone.add(error.server)
    for (source, schema), ids in marked.items():
        # for people to read: each link is signed once more when its turn comes
        with suppress(ServerError), site.sources[source].session() as writer:
            marks.write_holder(writer, schema, ids, site.holder)


def _attempt(run: _Run, plan: LinkPlan, step: _Step, *, more: bool = False) -> None:
    """Do some work of one link and tell how it ended. No exception of ours leaves it.

    `more`: it is not the link's last work, so that its end is told only where it failed.
    """
    started = time.monotonic()
    tally = run.tallies[plan.address]

    outcome = partial(outcome_of, plan.address, tally, started)
    stopped = sorted(run.site.graph.upstream([plan.address]) & run.broken) if run.broken else []
    if run.stop.is_set():
        run.tell(outcome("skipped", "interrupted before it began"), broken=True)
    elif stopped:
        run.tell(outcome("skipped", f"{', '.join(stopped)} failed"), broken=True)
    else:
        try:
            _with_reconnects(run, plan, tally, step)
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
            if not more:
                run.tell(ended(outcome, tally))


def _with_reconnects(run: _Run, plan: LinkPlan, tally: Tally, step: _Step) -> None:
    """Work on the link; after a lost connection go on with new sessions. Every step can be repeated."""
    if plan.address not in run.begun:
        run.begun.add(plan.address)
        run.listener(LinkStarted(plan.address, _entities(plan)))
    with run.workers.busy():
        _work_and_reconnect(run, plan, tally, step)


def _work_and_reconnect(run: _Run, plan: LinkPlan, tally: Tally, step: _Step) -> None:
    site, tries, before = run.site, 0, -1
    while True:
        try:
            for address in _locked(plan):
                site.locks.take(site.links[address], site.marks[address].link_id)
            with (
                site.sources[site.links[plan.address].source].session() as source,
                site.local.session() as local,
            ):
                return step(run, plan, tally, source, local, resumed=tries > 0)
        except (ConnectionLost, Unreachable) as error:
            if not is_passing(error):
                raise
            progress = committed(tally) + tally.objects
            tries = 1 if progress != before else tries + 1
            before = progress
            if tries >= RECONNECTS or run.stop.is_set() or error.server in run.given_up:
                run.given_up.add(error.server or "")
                raise
            run.listener(Said(plan.address, f"{error.message}; connecting again"))
            run.stop.wait(2.0**tries / 2)


def _work(run: _Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool) -> None:
    """Do what the plan says of one link. `resumed`: an earlier session of this apply was lost at it."""
    site, link = run.site, run.site.links[plan.address]
    mark, footing = site.marks[link.address], site.footings[link.address]
    bench = _bench(run, plan, tally, source, local)
    kinds = {type(action) for action in plan.actions}
    built = bool(kinds & {CreateOutbound, CreateLocal, AlterLocal}) or footing.refill is not None
    if built:
        with_lineage = {schema for source_name, schema in site.lineage if source_name == link.source}
        building.build(bench, footing, mark, with_lineage, link.local.schema in site.new_schemas)
        with run.guard:
            run.held.add(link.address)
            run.complete.add(link.address)
    building.sign(bench, mark, site.holder)
    if MakeViews in kinds:
        building.make_views(bench, footing)
    # only now are all of the link's tables sure to stand
    bench.scene = _scene(run, link, source)
    if Release in kinds:
        work.release_gone(bench)
    if Register in kinds:
        work.register_equal(bench)
    if Refill in kinds or footing.refill is not None:
        refilling.refill(bench, verify=any(isinstance(a, Refill) and a.cause == "rows" for a in plan.actions))
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


def _locked(plan: LinkPlan) -> list[str]:
    """The links that the work on this one changes: those whose rows are deleted along with its, too."""
    return sorted({plan.address, *(a for d in plan.actions if isinstance(d, Delete) for a, _ in d.along)})


def _bench(run: _Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer) -> Bench:
    site, link = run.site, run.site.links[plan.address]

    def guarded(source: Writer, local: Writer) -> None:
        for address in _locked(plan):
            site.locks.check(site.links[address], site.marks[address].link_id, source, local)

    return Bench(
        link=link,
        scene=Scene.of(site.scene_links[link.source], frozenset(run.held), frozenset()),
        source=source,
        local=local,
        tally=tally,
        guarded=guarded,
        helpers=Helpers(run.workers, site.sources[link.source], site.local),
        advanced=lambda: run.listener(
            Advanced(link.address, committed(tally), tally.rows, tally.bytes + tally.object_bytes)
        ),
        say=lambda words: run.listener(Said(link.address, words)),
        stop=run.stop,
        objects=Objects(link, site.depot) if link.stores else None,
    )


def _scene(run: _Run, link: Link, source: Writer) -> Scene:
    """The source's SQL scene of this moment: which outbound tables stand, which links have requests."""
    links = run.site.scene_links[link.source]
    with run.guard:
        held, complete = frozenset(run.held & links.keys()), sorted(run.complete & links.keys())
    return Scene.of(links, held, barring_links(source, [links[a] for a in complete]))


def _entities(plan: LinkPlan) -> int:
    counted = (Pull, PullAgain, Refill, Register, Release, Delete, Approve, Mend)
    return sum(a.entities for a in plan.actions if isinstance(a, counted))


def _to_pull(plan: LinkPlan) -> int:
    return sum(a.entities for a in plan.actions if isinstance(a, Pull))


def _bytes_each(plan: LinkPlan) -> float:
    pulls = [a for a in plan.actions if isinstance(a, Pull) and a.entities]
    return pulls[0].bytes / pulls[0].entities if pulls else 0.0
