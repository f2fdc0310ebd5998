"""The plan: a pure function from what is declared and observed to what shall be done, and why not the rest.

Nothing in it depends on the order of the manifest's text, on the clock or on a server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.entity import State, Step
from djlink_manifest.model.links.graph import Edge, LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.epochs import EpochState
from djlink_manifest.reconcile.plan.actions import Action, Blocked, Delete, Drift
from djlink_manifest.reconcile.plan.confirmation import held_back, unconfirmed_warnings
from djlink_manifest.reconcile.plan.deletion_rules import Decider
from djlink_manifest.reconcile.plan.link_actions import (
    Facts,
    rows,
    stopped_rows,
    stopped_structure,
    structure,
    taken_note_of,
)
from djlink_manifest.reconcile.plan.messages import ORPHANS
from djlink_manifest.reconcile.plan.moves import LATER, deferral, move_action
from djlink_manifest.reconcile.plan.observation import Observation
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.plan.warnings import (
    blocked_late_keys,
    drifts,
    obstacles,
    orphan_rows,
    relied_on,
    stray_rows,
    unlinked_warnings,
    unparented,
    unsure,
)
from djlink_manifest.reconcile.plan.written import writes_to
from djlink_manifest.reconcile.state.deletion_requests import LinkDeletions
from djlink_manifest.reconcile.state.snapshot import (
    Forgotten,
    Refusal,
    ReliedOn,
    ServerFacts,
    steps_of,
)


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What shall be done for one link, in order, and what shall not.

    `wave` counts from 1; `needs` are the edges to the links it comes after; `kept` counts entities that are
    held though no longer wanted; `left_out` says how many source entities each reason leaves out; `requests`
    is what the source asks to delete, and what would go with it. `observed` tells that its rows were counted
    and its requests read; else nothing at all is done. `definitions` are the digests of the table and its
    parts at the source and as they shall be locally, by side; `sets` those of the keys that go, by what
    becomes of them.
    """

    address: str
    wave: int
    location: Location | None = None
    needs: tuple[Edge, ...] = ()
    actions: tuple[Action, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    drift: tuple[Drift, ...] = ()
    warnings: tuple[str, ...] = ()
    new: bool = False
    kept: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    source_rows: int = 0
    outbound_rows: int = 0
    local_rows: int = 0
    requests: LinkDeletions | None = None
    observed: bool = True
    definitions: tuple[tuple[str, str], ...] = ()
    sets: tuple[tuple[str, str], ...] = ()

    @property
    def after(self) -> tuple[str, ...]:
        """The addresses of the links that it needs directly, sorted."""
        return tuple(sorted({edge.parent for edge in self.needs}))

    @property
    def is_stopped(self) -> bool:
        """Whether the link is blocked: no row of it comes, and `actions` has what needs its key alone."""
        return any(b.whole for b in self.blocked)

    @property
    def is_unchanged(self) -> bool:
        """Whether there is nothing to do and nothing in the way."""
        return not self.actions and not self.blocked


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan, links sorted by wave and address. It holds no secret, no row value and no key.

    `spent` are approvals that have nothing more to cover; `removals` links that are taken out.
    """

    manifest: str
    digest: str
    files: tuple[str, ...]
    local: ServerFacts
    sources: tuple[ServerFacts, ...]
    links: tuple[LinkPlan, ...]
    refusals: tuple[Refusal, ...] = ()
    forgotten: tuple[Forgotten, ...] = ()
    warnings: tuple[str, ...] = ()
    spent: tuple[Approval, ...] = ()
    removals: tuple[Removal, ...] = ()

    @property
    def waves(self) -> tuple[tuple[LinkPlan, ...], ...]:
        """The links by wave, upstream first."""
        last = max((link.wave for link in self.links), default=0)
        return tuple(tuple(e for e in self.links if e.wave == wave) for wave in range(1, last + 1))

    @property
    def has_changes(self) -> bool:
        """Whether an apply would do anything."""
        return any(link.actions for link in self.links) or any(not r.blocked for r in self.removals)

    @property
    def has_errors(self) -> bool:
        """Whether something needs mending: a server, a refused part of the manifest, a blocked link."""
        return bool(
            self.refusals
            or any(s.problem for s in (self.local, *self.sources))
            or any(b.kind == "error" for link in self.links for b in link.blocked)
            or any(r.blocked for r in self.removals)
        )


def make(links: Sequence[Link], graph: LinkGraph, seen: Observation) -> Plan:
    """The plan for these links. `graph` gives the waves; `seen` what stands on the servers and the counts.

    A link whose footing or snapshot is missing must have a refusal of its address. Of a refused link, and of
    all links below it, no row comes and no table is altered; what needs the key alone is done, unless the
    refusal bars that too.
    """
    by_address, head = {link.address: link for link in links}, seen.head
    refused: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in seen.refusals:
        refused[refusal.address].append(refusal)
    plans, spent = _link_plans(by_address, graph, refused, seen)
    of_orphans = [a for p in plans.values() for a in p.actions if isinstance(a, Delete) and _is_of_orphans(a)]
    plans = {
        a: replace(p, blocked=tuple(_with_roots(p, plans)), drift=tuple(_staying(p, of_orphans)))
        for a, p in plans.items()
    }
    return Plan(
        *(head.manifest, head.digest, head.files, head.local, head.sources),
        links=tuple(sorted(plans.values(), key=lambda p: (p.wave, p.address))),
        refusals=tuple(r for r in seen.refusals if r.address not in by_address),
        forgotten=seen.forgotten,
        warnings=(
            *seen.warnings,
            *map(_spent, spent),
            *unsure(seen, (a for p in plans.values() for a in p.actions)),
            *unconfirmed_warnings(_unconfirmed(by_address, seen)),
        ),
        spent=tuple(spent),
        removals=seen.removals,
    )


def _link_plans(
    links: Mapping[str, Link], graph: LinkGraph, refused: Mapping[str, list[Refusal]], seen: Observation
) -> tuple[dict[str, LinkPlan], list[Approval]]:
    """The plan of each link, and the spent approvals.

    Made again where unwanted entities of a link stay: those of its parents to which they refer stay, too.
    """
    staying, bases = frozenset[str](), tuple(_bases(links, graph, seen.sets))
    while True:
        decider, spent = _decider(links, refused, seen, staying), list[Approval]()
        plans: dict[str, LinkPlan] = {}
        for base in bases:
            stopped = [p for p in base.after if plans[p].is_stopped]
            own_refusals, link = refused.get(base.address, []), links[base.address]
            if base.address in seen.moves or base.address in seen.deferred:
                plans[base.address] = _moving_plan(base, link, seen)
                continue
            tables = seen.link_tables.get(base.address)
            begun = tables is not None and not tables.is_new
            in_the_way = tuple(_in_the_way(own_refusals, stopped, begun=begun))
            plans[base.address] = (
                _link_plan(base, link, in_the_way, seen, (decider, spent))
                if _only_pulls(own_refusals)
                else replace(_counted(base, link, seen), blocked=in_the_way, observed=False)
            )
        stay = [a for a, found in seen.deletions.links.items() if found.unwanted.entities and a in plans]
        stay = [a for a in stay if not any(map(_is_of_unwanted, plans[a].actions))]
        above = staying.union(*(graph.upstream([a]) - {a} for a in stay))
        if above == staying:
            return plans, spent
        staying = above


def _with_roots(plan: LinkPlan, plans: Mapping[str, LinkPlan]) -> Iterator[Blocked]:
    """What is blocked of a link, without the entities that another link's planned deletion includes."""
    for block in plan.blocked:
        root = plans.get(block.root) if block.root is not None else None
        going = [a for a in root.actions if isinstance(a, Delete) and a.cause != "unwanted"] if root else []
        if block.count and sum(dict(a.along).get(plan.address, 0) for a in going) >= block.count:
            continue
        awaits = root is not None and any(b.kind == "review" and b.root is None for b in root.blocked)
        yield block if awaits else replace(block, root=None)


def _staying(plan: LinkPlan, of_orphans: Sequence[Delete]) -> Iterator[Drift]:
    """The drift of a link, without its orphans where the plan deletes all of them with another link's."""
    along = {dict(a.along).get(plan.address, 0) for a in of_orphans}
    yield from (each for each in plan.drift if each.reason != ORPHANS or each.count not in along)


def _moving_plan(base: LinkPlan, link: Link, seen: Observation) -> LinkPlan:
    """The plan of a link that has another name now, or that waits for one that has: nothing else is done."""
    move = seen.moves.get(link.address)
    if move is None:
        blocked = (deferral(seen.deferred[link.address]),)
        return replace(base, blocked=blocked, observed=False)
    action = move_action(move, link.source, seen.lineage.get(link.source, ()))
    rejected = tuple(_rejected(link, (action,), seen))
    actions = () if rejected else (action,)
    return replace(base, actions=actions, blocked=rejected, warnings=(LATER,), observed=False)


def _only_pulls(refusals: Iterable[Refusal]) -> bool:
    """Whether none of the refusals bars deletions."""
    return all(refusal.only_pulls for refusal in refusals)


def _unconfirmed(links: Collection[str], seen: Observation) -> dict[str, EpochState]:
    """The links of which nobody knows whether the local server is theirs, with what their marks tell."""
    return {a: t.epochs for a, t in seen.link_tables.items() if a in links and not t.epochs.is_confirmed}


def _decider(
    links: Mapping[str, Link],
    refused: Mapping[str, Sequence[Refusal]],
    seen: Observation,
    staying: Collection[str],
) -> Decider:
    return Decider(
        links,
        usable=frozenset(a for a in seen.snapshots if a in links and _only_pulls(refused.get(a, ()))),
        held={address: snapshot.outbound_rows for address, snapshot in seen.snapshots.items()},
        lately=seen.deletions.lately,
        approvals=seen.approvals,
        limit=seen.limit,
        unseen=seen.deletions.unseen or {},
        unfilled=seen.deletions.unfilled,
        staying=staying,
        unconfirmed=_unconfirmed(links, seen),
    )


def _bases(
    links: Mapping[str, Link], graph: LinkGraph, sets: Mapping[str, Mapping[str, str]]
) -> Iterator[LinkPlan]:
    """The links' plans with nothing in them, parents first."""
    needs: dict[str, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        needs[edge.child].append(edge)
    for number, wave in enumerate(graph.waves(), start=1):
        for address in wave:
            link, edges = links[address], tuple(sorted(needs[address]))
            warnings = unlinked_warnings(link)
            yield LinkPlan(
                *(address, number, link.location, edges),
                warnings=warnings,
                definitions=(("source", link.definition.digest()), ("local", link.local.digest())),
                sets=tuple(sorted(sets.get(address, {}).items())),
            )


def _in_the_way(refusals: Sequence[Refusal], stopped: Sequence[str], *, begun: bool) -> Iterator[Blocked]:
    """Why no row of a link comes: it is refused, or links above it are stopped. `begun`: it has tables."""
    yield from (Blocked("error", r.reason, hint=r.hint, whole=True) for r in refusals)
    if stopped and not refusals:
        verb = "is" if len(stopped) == 1 else "are"
        what = "no row is pulled" if begun else "not attempted"
        reason = f"{what}: {', '.join(stopped)} {verb} blocked"
        yield Blocked("upstream", reason, whole=True)


def _link_plan(
    base: LinkPlan,
    link: Link,
    in_the_way: tuple[Blocked, ...],
    seen: Observation,
    deciding: tuple[Decider, list[Approval]],
) -> LinkPlan:
    """The plan of one link; what decides about deletions comes with the spent approvals, which are added."""
    decider, spent = deciding
    link_tables, snapshot = seen.link_tables.get(link.address), seen.snapshots.get(link.address)
    if link_tables is None or snapshot is None:
        if in_the_way:
            return replace(base, blocked=in_the_way, observed=False)
        raise ValueError(f"{link.address} has no observation and no refusal")
    base = _counted(base, link, seen)
    steps, deletions = steps_of(link, link_tables, snapshot.counts), seen.deletions.links.get(link.address)
    relied, blocked_keys = seen.relied.get(link.address), seen.blocked_keys.get(link.address, ())
    complete = not (link_tables.make_local or link_tables.make_outbound)
    terms = {"complete": complete, "remade": link_tables.remade, "stopped": bool(in_the_way)}
    decision = decider.decide(link, steps, deletions, **terms)
    spent += decision.spent
    told = any(map(_is_of_orphans, decision.actions))
    # not while source rows are gone that are held, nor in the apply that deletes these here
    may_refill = not (snapshot.in_state(State.IMPOSSIBLE) or told)
    lineage = seen.lineage.get(link.source, ())
    aside = relied or ReliedOn(0)
    facts = Facts(
        link,
        link_tables,
        snapshot,
        steps,
        relied=aside,
        may_refill=may_refill,
        lineage=lineage,
        blocked_keys=blocked_keys,
    )
    left = () if told else stray_rows(link, snapshot)
    if in_the_way:
        # of a table that lacks its outbound row, or its mark, nothing was pulled yet
        acts = not (link_tables.is_new or link_tables.mark_outbound)
        due = (*stopped_structure(facts), *decision.actions, *stopped_rows(facts)) if acts else ()
    else:
        due = (*structure(facts), *decision.actions, *rows(facts))
    actions, until_confirmed = held_back(link, due, decider.unconfirmed)
    rejected = tuple(_rejected(link, actions, seen))
    if rejected:
        return replace(base, blocked=(*in_the_way, *rejected), requests=deletions)
    if in_the_way:
        return replace(
            base,
            actions=actions,
            blocked=(*in_the_way, *decision.blocked, *until_confirmed, *left),
            drift=tuple(orphan_rows(link, snapshot, actions)),
            requests=deletions,
        )
    found_obstacles = (*left, *obstacles(link, snapshot, steps))
    not_refilled = (*unparented(link, snapshot), *relied_on(link, relied, seen.head.files))
    return replace(
        base,
        actions=(*actions, *(taken_note_of(facts) if actions else ())),
        blocked=(
            *decision.blocked,
            *until_confirmed,
            *found_obstacles,
            *not_refilled,
            *blocked_late_keys(blocked_keys),
        ),
        drift=tuple(drifts(link, link_tables, snapshot, actions)),
        kept=steps[Step.KEEP] + decision.kept,
        warnings=(*base.warnings, *decision.warnings),
        requests=deletions,
    )


def _rejected(link: Link, actions: Sequence[Action], seen: Observation) -> Iterator[Blocked]:
    """Why nothing of a link is done where a server rejects what is to be written there."""
    servers = {server for action in actions for server in writes_to(action, link.source)}
    for name in sorted(servers & seen.rejecting.keys()):
        yield Blocked("error", seen.rejecting[name].reason, hint=seen.rejecting[name].hint, whole=True)


def _counted(base: LinkPlan, link: Link, seen: Observation) -> LinkPlan:
    """The plan of a link with what stands of it, as far as it was observed."""
    link_tables, snapshot = seen.link_tables.get(link.address), seen.snapshots.get(link.address)
    if link_tables is None or snapshot is None:
        return base
    return replace(
        base,
        new=link_tables.is_new,
        warnings=(*base.warnings, *link.notes) if link_tables.is_new else base.warnings,
        left_out=snapshot.left_out,
        source_rows=snapshot.source_rows,
        outbound_rows=snapshot.outbound_rows,
        local_rows=snapshot.local_rows,
    )


def _is_of_unwanted(action: Action) -> bool:
    return isinstance(action, Delete) and action.cause == "unwanted"


def _is_of_orphans(action: Action) -> bool:
    return isinstance(action, Delete) and action.cause == "orphans"


def concerned(plan: Plan) -> frozenset[str]:
    """The links that an apply works on: with actions, or with entities that others' deletions take."""
    acting = [link for link in plan.links if link.actions]
    along = {a for link in acting for d in link.actions if isinstance(d, Delete) for a, _ in d.along}
    return frozenset({link.address for link in acting} | along)


def _spent(approval: Approval) -> str:
    return (
        f"{approval.location}: the approval of {counted(approval.count, 'deletion')} of {approval.link} is "
        "spent: it covers no open request; `djlink fmt --prune` removes it"
    )
