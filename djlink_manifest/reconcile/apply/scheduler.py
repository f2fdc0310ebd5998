"""Carry out a plan: wave by wave, the links of a wave at the same time, each outcome told.

The plan says which kinds of work a link gets; how much of each is looked at again under the link's lock,
since sources move. Nothing is done that the plan does not show.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, ServerError, Unreachable
from djlink_manifest.model.links.referrers import Dependents
from djlink_manifest.reconcile.apply import schema_changes
from djlink_manifest.reconcile.apply.link_worker import (
    Run,
    bench_of,
    has_structure,
    locked,
    make_structure,
    work_on,
)
from djlink_manifest.reconcile.apply.removals import take_out
from djlink_manifest.reconcile.deletion import requested as work_of_deletion
from djlink_manifest.reconcile.deletion.orphans import delete_orphans
from djlink_manifest.reconcile.plan.actions import (
    Approve,
    Delete,
    Mend,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan, concerned
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.runtime.batches import Bench, Tally
from djlink_manifest.reconcile.runtime.context import Site
from djlink_manifest.reconcile.runtime.events import LinkOutcome, LinkStarted, Listener, Report, Said
from djlink_manifest.reconcile.runtime.outcomes import committed, ended, outcome_of
from djlink_manifest.reconcile.runtime.workers import Workers
from djlink_manifest.servers.ownership import marks
from djlink_manifest.servers.session.errors import is_passing
from djlink_manifest.servers.session.session import Writer

RECONNECTS = 5  # tries to go on after a lost connection, counted anew whenever a batch was committed


class _Step(Protocol):
    """Some work of one link, with sessions to do it. `resumed`: an earlier session of this apply was lost."""

    def __call__(
        self, run: Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool
    ) -> None:
        """Do it; again from the start does no harm."""


def apply(
    plan: Plan, site: Site, listener: Listener, stop: threading.Event, dependents: Dependents
) -> Report:
    """Carry out the plan's actions. `stop` ends it after the batches in hand.

    First links are taken out. Where there are deletions all tables are made next, parents first, so that no
    deletion meets a missing one; all that was approved is claimed, and deletions are done, children first.
    Then all else is done, parents first: the tables of a link, then its rows. `dependents` are the local
    foreign keys along which deletions spread.

    Raises LinkLocked, before anything is done, where another djlink works on one of the links.
    """
    started = time.monotonic()
    due = [p for p in plan.links if p.actions and not p.is_stopped]
    wanted, going = concerned(plan), [r for r in plan.removals if not r.blocked]
    _take_locks([p.address for p in plan.links if p.address in wanted], going, site)
    held = {a for a, f in site.footings.items() if f.holds(site.links[a])}
    complete = {a for a in held if not site.footings[a].make_outbound}
    run = Run(site, listener, stop, held, complete, Workers(max(1, site.parallelism)))
    removed = [_take_out(each, site, listener, stop) for each in going]
    with ThreadPoolExecutor(max(1, site.parallelism), thread_name_prefix="djlink") as threads:
        deleting = [p for p in reversed(due) if any(isinstance(a, work_of_deletion.KINDS) for a in p.actions)]
        if deleting:
            _in_waves(run, [p for p in due if has_structure(run, p)], make_structure, threads, more=True)
            _delete(run, deleting, dependents, threads)
        _in_waves(run, due, work_on, threads)
    outcomes = (*removed, *(run.outcomes[p.address] for p in due))
    return Report(outcomes, interrupted=stop.is_set(), seconds=time.monotonic() - started)


def _in_waves(
    run: Run, due: Sequence[LinkPlan], step: _Step, threads: ThreadPoolExecutor, *, more: bool = False
) -> None:
    """Do a step of all links that have not failed, wave after wave; `more` work follows it."""
    for wave in sorted({p.wave for p in due}):
        now = [p for p in due if p.wave == wave and p.address not in run.outcomes]
        list(threads.map(lambda p: _attempt(run, p, step, more=more), now))


def _take_out(wanted: Removal, site: Site, listener: Listener, stop: threading.Event) -> LinkOutcome:
    outcome = take_out(wanted, site, stop, lambda words: listener(Said(wanted.address, words)))
    listener(outcome)
    return outcome


def _delete(
    run: Run, deleting: Sequence[LinkPlan], dependents: Dependents, threads: ThreadPoolExecutor
) -> None:
    """Claim all that was approved, then delete: of each source one link of `deleting` after another.

    A deletion of which entities of other links are part is left alone where the tables of one of these could
    not be made.
    """
    unmade = set(run.outcomes)

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
                    _attempt(run, plan, _on_bench(step), more=True, needs=unmade.intersection(locked(plan)))

    list(threads.map(of_source, sorted({run.site.links[p.address].source for p in deleting})))


def _claims(plan: LinkPlan) -> bool:
    return any(isinstance(a, Delete) and a.cause == "approved" for a in plan.actions)


def _on_bench(step: Callable[[Bench, LinkPlan, bool], None]) -> _Step:
    def work(run: Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool) -> None:
        bench = bench_of(run, plan, tally, source, local)
        schema_changes.sign(bench, run.site.marks[plan.address], run.site.holder)
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


def _attempt(
    run: Run, plan: LinkPlan, step: _Step, *, more: bool = False, needs: Set[str] = frozenset()
) -> None:
    """Do some work of one link and tell how it ended. No exception of ours leaves it.

    `more`: it is not the link's last work, so that its end is told only where it failed. `needs` are failed
    links without which it cannot be done.
    """
    started = time.monotonic()
    tally = run.tallies[plan.address]

    outcome = partial(outcome_of, plan.address, tally, started)
    stopped = sorted(needs | run.site.graph.upstream([plan.address]) & run.broken) if run.broken else []
    if run.stop.is_set():
        run.tell(outcome("skipped", "interrupted before it started"), broken=True)
    elif stopped:
        run.tell(outcome("skipped", f"{', '.join(stopped)} failed"), broken=True)
    else:
        try:
            _with_reconnects(run, plan, tally, step)
        except Interrupted:
            run.tell(
                outcome("failed", "interrupted; committed changes are kept, and the next apply continues"),
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


def _with_reconnects(run: Run, plan: LinkPlan, tally: Tally, step: _Step) -> None:
    """Work on the link; after a lost connection go on with new sessions. Every step can be repeated."""
    if step is not make_structure and plan.address not in run.begun:
        run.begun.add(plan.address)
        run.listener(LinkStarted(plan.address, _entities(plan)))
    with run.workers.busy():
        _work_and_reconnect(run, plan, tally, step)


def _work_and_reconnect(run: Run, plan: LinkPlan, tally: Tally, step: _Step) -> None:
    site, tries, before = run.site, 0, -1
    while True:
        try:
            for address in locked(plan):
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
            run.listener(Said(plan.address, f"{error.message}; reconnecting"))
            run.stop.wait(2.0**tries / 2)


def _entities(plan: LinkPlan) -> int:
    counted = (Pull, PullAgain, Refill, Register, Release, Delete, Approve, Mend)
    return sum(a.entities for a in plan.actions if isinstance(a, counted))
