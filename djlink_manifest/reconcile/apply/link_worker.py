"""The work on one link of an apply: its bench, and what the plan says is done there, step after step."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.apply import pull, refresh, schema_changes
from djlink_manifest.reconcile.deletion import confirmations
from djlink_manifest.reconcile.plan.actions import (
    AddForeignKey,
    AlterLocal,
    CreateLocal,
    CreateOutbound,
    Delete,
    MakeViews,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.reconcile.runtime import batches as rows
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

    `held` are the links whose outbound table stands, `complete` those whose requests and approvals stand too;
    `built` those for which this apply has made what was missing.
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
    built: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def tell(self, outcome: LinkOutcome, *, broken: bool = False) -> None:
        """Tell how the work on a link ended; of one that is `broken` nothing below it is attempted."""
        with self.guard:
            self.outcomes[outcome.address] = outcome
            if broken:
                self.broken.add(outcome.address)
        self.listener(outcome)


def has_structure(run: Run, plan: LinkPlan) -> bool:
    """Return whether tables or views of the link are to be made or altered."""
    return _is_built(run, plan) or any(isinstance(a, MakeViews) for a in plan.actions)


def make_structure(
    run: Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool
) -> None:
    """Make and alter the tables and views of one link. Repeating it does no harm."""
    site, link = run.site, run.site.links[plan.address]
    mark, footing = site.marks[link.address], site.footings[link.address]
    bench = bench_of(run, plan, tally, source, local)
    if _is_built(run, plan):
        with_lineage = {schema for source_name, schema in site.lineage if source_name == link.source}
        schema_changes.build(bench, footing, mark, with_lineage, link.local.schema in site.new_schemas)
        with run.guard:
            run.held.add(link.address)
            run.complete.add(link.address)
    schema_changes.sign(bench, mark, site.holder)
    if any(isinstance(a, MakeViews) for a in plan.actions):
        schema_changes.make_views(bench, footing)
    with run.guard:
        run.built.add(link.address)


def _is_built(run: Run, plan: LinkPlan) -> bool:
    making = any(isinstance(a, CreateOutbound | CreateLocal | AlterLocal) for a in plan.actions)
    return making or run.site.footings[plan.address].refill is not None


def work_on(run: Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer, *, resumed: bool) -> None:
    """Do what the plan says of one link whose deletions are done: its tables first, then its rows.

    `resumed`: an earlier session of this apply was lost at it.
    """
    if plan.address not in run.built and has_structure(run, plan):
        make_structure(run, plan, tally, source, local, resumed=resumed)
    site, link = run.site, run.site.links[plan.address]
    mark, footing = site.marks[link.address], site.footings[link.address]
    bench = bench_of(run, plan, tally, source, local)
    kinds = {type(action) for action in plan.actions}
    built = _is_built(run, plan)
    schema_changes.sign(bench, mark, site.holder)
    bench.scene = _scene(run, link, source)
    whole = any(isinstance(a, PullAgain) and a.whole for a in plan.actions)
    if footing.remade and (whole or Release in kinds):
        confirmations.give_up_lost(bench)
    elif Release in kinds:
        rows.release_gone(bench)
    if Register in kinds:
        rows.register_equal(bench)
    if plan.may_refill and (Refill in kinds or footing.refill is not None):
        verified = any(isinstance(a, Refill) and a.cause == "rows" for a in plan.actions)
        refresh.refill(bench, verify=verified, requested=footing.refill is not None)
    if built and footing.completes_late and plan.may_refill:
        schema_changes.finish(bench, footing, mark)
    if kinds & {Pull, PullAgain}:
        # what the lost session registered and did not copy is in outbound now, and missing here
        again = resumed or PullAgain in kinds
        blocked = site.blocked.get(link.address)
        pull.pull(
            bench,
            missing_too=again,
            whole=whole,
            new=Pull in kinds,
            bytes_each=_bytes_each(plan),
            entities=_to_pull(plan),
            blocked=blocked,
        )
    if footing.remade:
        schema_changes.end_remaking(bench, mark)
    if AddForeignKey in kinds:
        schema_changes.add_late_keys(bench, footing)
    if footing.redefined and not built:
        schema_changes.take_note(bench, mark)


def locked(plan: LinkPlan) -> list[str]:
    """The links that the work on this one changes: those whose rows are deleted along with its, too."""
    return sorted({plan.address, *(a for d in plan.actions if isinstance(d, Delete) for a, _ in d.along)})


def bench_of(run: Run, plan: LinkPlan, tally: Tally, source: Writer, local: Writer) -> Bench:
    """The bench of a link with these sessions."""
    site, link = run.site, run.site.links[plan.address]

    def guarded(source: Writer, local: Writer) -> None:
        for address in locked(plan):
            site.locks.check(site.links[address], site.marks[address].link_id, source, local)

    return Bench(
        link=link,
        scene=site.scenes[link.source].at(frozenset(run.held), {}),
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
        remade=site.footings[link.address].remade,
        objects=Objects(link, site.depot) if link.stores else None,
    )


def _scene(run: Run, link: Link, source: Writer) -> Scene:
    """The source's scene as it is now: which outbound tables stand, which links have requests."""
    scene = run.site.scenes[link.source]
    with run.guard:
        held, complete = frozenset(run.held & scene.links.keys()), sorted(run.complete & scene.links.keys())
    return scene.at(held, barring_links(source, [scene.links[a] for a in complete]))


def _to_pull(plan: LinkPlan) -> int:
    return sum(a.entities for a in plan.actions if isinstance(a, Pull))


def _bytes_each(plan: LinkPlan) -> float:
    pulls = [a for a in plan.actions if isinstance(a, Pull) and a.entities]
    return pulls[0].bytes / pulls[0].entities if pulls else 0.0
