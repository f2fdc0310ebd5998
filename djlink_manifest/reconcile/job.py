"""A job: what can be planned and applied while its servers are open."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from djlink_manifest.errors import ServerError, UsageError
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.links.explanation import KeyText
from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Referrer
from djlink_manifest.model.server.epochs import OWN
from djlink_manifest.model.server.partly_seen import partly_seen
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.diff.epochs import old_marks
from djlink_manifest.reconcile.diff.hidden_parts import needless_entries
from djlink_manifest.reconcile.diff.link_tables import forgotten, forgotten_local
from djlink_manifest.reconcile.diff.owner_views import missing_owner_rights
from djlink_manifest.reconcile.observe.all_links import ObservedLinks, observe_all
from djlink_manifest.reconcile.observe.context import (
    AllLinkTables,
    Context,
    for_deletions,
    lineage_schemas,
    without_rules,
)
from djlink_manifest.reconcile.observe.deletions import (
    Deletions,
    observe_deletions,
    orphan_keys,
    requested_keys,
    unseen_below,
)
from djlink_manifest.reconcile.observe.late_keys import observe_late_keys
from djlink_manifest.reconcile.observe.lock_wait import LockWait
from djlink_manifest.reconcile.observe.moves import unused_entries
from djlink_manifest.reconcile.observe.referred_columns import with_referred
from djlink_manifest.reconcile.observe.reliance import observe_relied, relying_rows
from djlink_manifest.reconcile.observe.removals import counted_forgotten, find_removals
from djlink_manifest.reconcile.plan import plan as planning
from djlink_manifest.reconcile.plan.approvals import approval_of_orphans, approvals_of
from djlink_manifest.reconcile.plan.observation import Head, Observation
from djlink_manifest.reconcile.plan.plan import Plan, concerned
from djlink_manifest.reconcile.plan.removals import Removal, done, left_out
from djlink_manifest.reconcile.resolve.selection import check_address
from djlink_manifest.reconcile.resolve.unfit import told
from djlink_manifest.reconcile.runtime.context import ApplyContext, ApplyInputs, open_apply_context
from djlink_manifest.reconcile.runtime.epochs import place_of, verify
from djlink_manifest.reconcile.runtime.events import Event, LinkOutcome, LinkStarted, Listener, Report
from djlink_manifest.reconcile.state.moves import LinkMove
from djlink_manifest.reconcile.state.plan_keys import NOTHING_SEEN, PlanKeys, joined, set_digests
from djlink_manifest.reconcile.state.snapshot import Forgotten, LinkTables, Refusal, ServerFacts
from djlink_manifest.servers.session.session import Row

LOG = logging.getLogger("djlink.reconcile")


class Job:
    """What can be planned and applied on a stage.

    `links` and `graph` are those in scope, sorted; `refusals` what of the manifest cannot become a link, as
    far as it concerns the links asked for; `servers` the sources, with the problem of each that could not be
    used. `without` gives the context without a source that fails while the plan is made.
    """

    def __init__(self, context: Context, without: Callable[[ServerError], Context] | None = None) -> None:
        self._without = without
        self._use(context)

    def _use(self, context: Context) -> None:
        self.context = self._base = context
        self._all = context.links
        self.servers: tuple[ServerFacts, ...] = context.at.facts
        self.links: tuple[Link, ...] = tuple(self._all[a] for a in sorted(context.scope))
        self.graph: LinkGraph = context.graph.subset(context.scope)
        self.refusals: tuple[Refusal, ...] = context.selection.refusals
        self._link_tables: Mapping[str, LinkTables] = {}
        self._observed: ObservedLinks | None = None
        self._deletions: Deletions | None = None
        self._seen: Observation | None = None

    def plan(self, *, verify: bool = False, orphans_of: Collection[str] = ()) -> Plan:
        """Observe every link, then plan. A link that cannot be observed is blocked; the others go on.

        A source that fails meanwhile is told in the plan as one that was never reached. `verify`: the rows of
        what is held and here are compared with the source's, by digests. `orphans_of`: links of which the
        orphans are looked at, so that an approval can name them.
        """
        while True:
            try:
                return self._plan(verify, orphans_of)
            except ServerError as error:
                if self._without is None or error.server not in self.context.sources:
                    raise
                LOG.info("%s is left out: %s", error.server, error.message)
                self._use(self._without(error))

    def _plan(self, verify: bool, orphans_of: Collection[str]) -> Plan:
        context, started = self._base, time.monotonic()
        removals, left = self._removals()
        # what this plan's apply drops asks nothing of the rows that it pulls
        dropped = {key for each in removals if not each.blocked for key in each.drop_keys}
        link_tables = with_referred(context, without_rules(context.link_tables(), dropped))
        self._moves = link_tables.moves
        seen = self._observed = observe_all(context, link_tables, verify=verify)
        stopped = context.graph.downstream(seen.refusals) & seen.snapshots.keys()
        self._link_tables, context = for_deletions(context, link_tables.found, stopped)
        self.context = context
        found = self._deletions = observe_deletions(context, self._link_tables, seen, orphans_of)
        relied, unrelied = observe_relied(context, self._link_tables, seen)
        blocked_keys, uncounted = observe_late_keys(context, self._link_tables, seen)
        unfit = {**unrelied, **uncounted}
        found = replace(
            found, refusals={**{a: replace(r, only_pulls=True) for a, r in unfit.items()}, **found.refusals}
        )
        lineage = {name: lineage_schemas(reached.catalog) for name, reached in context.sources.items()}
        self._seen = replace(
            self._observation(link_tables, seen, found, removals, left),
            relied=relied,
            blocked_keys=blocked_keys,
            lineage=lineage,
            rejecting=context.rejecting,
            sets={address: set_digests(keys) for address, keys in self._keys().items()},
        )
        plan = planning.make(self.links, self.graph, self._seen)
        LOG.info("%d links planned in %.2f s", len(self.links), time.monotonic() - started)
        return plan

    def wait_for_locks(self, wait: LockWait) -> bool:
        """Wait until no other djlink works on the links in scope; whether it did.

        Then the servers are to be read anew, by another job. Raises LinkLocked once the time is over.
        """
        return wait.until_free(self.context)

    @property
    def observed(self) -> Observation:
        """What the last plan was made from."""
        if self._seen is None:
            raise ValueError("a job without a plan has no observation")
        return self._seen

    def _observation(
        self,
        link_tables: AllLinkTables,
        seen: ObservedLinks,
        found: Deletions,
        removals: tuple[Removal, ...],
        left: tuple[Removal, ...],
    ) -> Observation:
        """All that was observed, as the plan takes it."""
        context, manifest = self.context, self.context.manifest
        refusals, moves = {**seen.refusals, **found.refusals}, dict[str, LinkMove]()
        for address, move in link_tables.moves.items():
            if self._all[address].source in seen.source_links:
                moves[address] = move
                del refusals[address]
        refusals = {a: r for a, r in refusals.items() if a not in link_tables.deferred}
        local = context.local.facts(len(self.links))
        local = replace(local, identity=manifest.local.identity or local.identity)
        entries = (e for e in manifest.taken_out if e.address in context.removed)
        return Observation(
            Head(manifest.name, manifest.digest, manifest.files, local, self.servers),
            self._link_tables,
            seen.snapshots,
            refusals=tuple(r for r in refusals.values() if context.selection.reports(r)),
            forgotten=counted_forgotten(self._forgotten(), (*removals, *left), context.sources, manifest),
            warnings=(
                *done(entries, {r.address: r for r in removals}),
                *map(left_out, left),
                *unused_entries(context, moves, refusals),
                *self._missing_owner_rights(),
                *self.invisible(),
                *self._old_marks(),
                *(f"{told(each)} ({each.fix})" for each in context.unchecked),
            ),
            deletions=found.facts,
            approvals=manifest.approvals,
            limit=context.options.limit,
            removals=removals,
            moves={a: move for a, move in moves.items() if a in context.scope},
            deferred=link_tables.deferred,
        )

    def approved(self, plan: Plan, by: str, day: str) -> tuple[Plan, tuple[Approval, ...]]:
        """The plan once more, with the deletions approved that await it; nothing is observed anew.

        And the approvals, as they would stand in a manifest.
        """
        given = approvals_of(plan, by, day)
        seen = replace(self.observed, approvals=(*self.observed.approvals, *given))
        return planning.make(self.links, self.graph, seen), given

    def approvals(
        self, plan: Plan, address: str, by: str, day: str, *, orphans: bool = False
    ) -> tuple[Approval, ...]:
        """The approval of what awaits one of a link, or of its orphans; none where there is nothing."""
        if orphans:
            found = (approval_of_orphans(p, by, day) for p in plan.links if p.address == address)
            return tuple(a for a in found if a is not None)
        return approvals_of(plan, by, day, of=address)

    def requested(self, address: str) -> Iterator[KeyText]:
        """The keys of the link's open requests, each as (column, text) pairs."""
        link = self._all[address]
        with self.context.sources[link.source].readers.session() as session:
            yield from requested_keys(session, link)

    def orphans(self, address: str) -> Iterator[KeyText]:
        """The keys of the link's local rows without a source row."""
        link, context = self._all[address], self.context
        with (
            context.sources[link.source].readers.session() as source,
            context.local.readers.session() as local,
        ):
            yield from orphan_keys(source, local, link)

    def unseen_below(self, addresses: Collection[str]) -> tuple[str, str] | None:
        """What the account cannot see and would go, or change, with rows of these links: words and a hint."""
        return unseen_below(self.context, addresses)

    def relying(self, address: str) -> Iterator[tuple[Referrer, Row]]:
        """Of rows that keep entities of the link from being refilled: by which foreign key, and its values.

        The tables are those of the last plan.
        """
        yield from relying_rows(self.context, self._link_tables[address], self._all[address])

    def check_address(self, address: str) -> None:
        """Raise UsageError, with the cause, where the address is of no link that this job is about."""
        check_address(self.context.resolved, self.servers, address)
        if address not in self.context.scope:
            raise UsageError(f"{address}: excluded by --target or --exclude", hint="select it with --target")

    def apply(self, plan: Plan, listener: Listener, stop: threading.Event) -> Report:
        """Carry out a plan that this job made; `listener` is called by one thread at a time.

        Raises LinkLocked, before anything is done, where another djlink works on one of the links.
        """
        # late, for a plan needs nothing of what acts
        from djlink_manifest.reconcile.apply.scheduler import apply

        guard = threading.Lock()

        def one_at_a_time(event: Event) -> None:
            with guard:
                if isinstance(event, LinkStarted):
                    LOG.info("%s: begun", event.address)
                elif isinstance(event, LinkOutcome):
                    LOG.info("%s: %s", event.address, event.status)
                listener(event)

        sources = {each.source for each in plan.removals if not each.blocked}
        with self._apply_context(concerned(plan), sources) as apply_context:
            return apply(plan, apply_context, one_at_a_time, stop)

    @contextmanager
    def holding(self, addresses: Set[str]) -> Iterator[None]:
        """Hold the locks of those of the links that have tables, after a plan.

        Raises LinkLocked, and OtherServer where another local server has applied one of them since.
        """
        linked = {
            a
            for a, f in self._link_tables.items()
            if a in addresses and not (f.make_outbound or f.make_local)
        }
        with self._apply_context(linked) as apply_context:
            for address in sorted(linked):
                link, link_id = apply_context.links[address], apply_context.link_id(address)
                apply_context.lock(address)
                with apply_context.sources[link.source].session() as source:
                    verify(place_of(link, link_id, apply_context.found.epochs[address]), source)
            yield

    def _apply_context(
        self, due: Set[str], besides: Set[str] = frozenset()
    ) -> AbstractContextManager[ApplyContext]:
        """The site of these links, over what the last plan observed, and of the sources `besides`."""
        return open_apply_context(self.context, due, self._found(), besides)

    def _found(self) -> ApplyInputs:
        """What the last plan's observation leaves for its apply."""
        if self._observed is None or self._deletions is None:
            raise ValueError("apply requires a plan of the same job")
        seen, deletions, link_tables = self._observed, self._deletions, self._link_tables
        held = frozenset(a for a, f in link_tables.items() if f.holds(self._all[a]))
        return ApplyInputs(
            marks={
                **{a: f.mark for a, f in link_tables.items() if f.mark is not None},
                **{a: move.mark for a, move in self._moves.items()},
            },
            marked=frozenset(a for a, f in link_tables.items() if not f.mark_outbound),
            held=held,
            complete=frozenset(a for a in held if not link_tables[a].make_outbound),
            source_links=seen.source_links,
            blocked=seen.blocked,
            keys=self._keys(),
            dependents=deletions.dependents,
            epochs={
                **{a: f.epochs for a, f in link_tables.items()},
                **dict.fromkeys(self._moves, OWN),  # a move looks at the epochs itself
            },
            former_ids={a: move.old_ids for a, move in self._moves.items()},
        )

    def _keys(self) -> dict[str, PlanKeys]:
        """The sets of keys that the last plan's actions are bound to, by link."""
        if self._observed is None or self._deletions is None:
            raise ValueError("apply requires a plan of the same job")
        seen, deletions = self._observed, self._deletions
        return {
            a: joined(seen.keys.get(a, NOTHING_SEEN), deletions.keys.get(a, NOTHING_SEEN))
            for a in {*seen.keys, *deletions.keys}
        }

    def _missing_owner_rights(self) -> list[str]:
        """What keeps djlink from making the owners' views where their schema stands, with the GRANT."""
        found = list[str]()
        for name, reached in sorted(self.context.sources.items()):
            outbound = self.context.outbound[name]
            missing = missing_owner_rights(reached.catalog, outbound)
            if missing is not None and owner_schema(outbound) in reached.catalog.all_schemas:
                found.append("; ".join(missing))
        return found

    def invisible(self) -> Iterator[str]:
        """What the link users may not see of the links' schemas, and needless entries about it."""
        for source, schema in sorted({(link.source, link.definition.schema) for link in self.links}):
            told = partly_seen(self.context.sources[source].catalog, schema)
            if told is not None:
                yield "; ".join(told)
        for link in self.links:
            yield from needless_entries(link, self.context.sources[link.source].catalog)

    def _old_marks(self) -> list[str]:
        """What keeps djlink from telling a copy of the local server, with the statement that ends it."""
        outbound, sources = self.context.outbound, sorted(self.context.sources.items())
        found = (old_marks(reached.catalog, outbound[name]) for name, reached in sources)
        return [words for words in found if words is not None]

    def _removals(self) -> tuple[tuple[Removal, ...], tuple[Removal, ...]]:
        """The links to take out, and those that `--target` or `--exclude` leave out."""
        context = self.context
        found = find_removals(context.manifest, self._all, context.outbound, context.local, context.sources)
        chosen = tuple(r for r in found if r.address in context.removed)
        return chosen, tuple(r for r in found if r.address not in context.removed)

    def _forgotten(self) -> tuple[Forgotten, ...]:
        context, sources = self.context, self.context.sources
        if not context.is_whole:
            return ()
        found = list[Forgotten]()
        moving = {link_id for move in self._moves.values() for link_id in move.old_ids}
        for spec in context.manifest.sources:
            if spec.name not in sources:
                continue
            own_links = tuple(link for link in context.resolved.links if link.source == spec.name)
            declared = frozenset(schema.name for schema in spec.schemas)
            outbound = context.outbound[spec.name]
            refused = context.resolved.declared.get(spec.name, frozenset())
            catalogs = context.catalog_pair(spec.name)
            found += forgotten(own_links, catalogs, outbound, declared, moving=moving, refused=refused)
        if len(sources) == len(context.manifest.sources):
            every = [reached.catalog for reached in sources.values()]
            found += forgotten_local(context.manifest.name, context.local.catalog, every, moving)
        return tuple(found)
