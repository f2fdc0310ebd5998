"""Jobs of the core for one link: observed and planned as a manifest's, narrowed, applied, told as a value."""

from __future__ import annotations

import glob
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from djlink_manifest.api.homes import Home, Tables
from djlink_manifest.api.manifests import BoundManifest
from djlink_manifest.api.results import Pulled, Status, pulled_of, status_of
from djlink_manifest.errors import (
    DjlinkError,
    LinkLocked,
    LinkRefused,
    PullFailed,
    SourceNotConfirmed,
    Unreachable,
    UsageError,
)
from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.link import not_pulled
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.reconcile.pipeline import Job, open_job
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AlterLocal,
    Approve,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    Mend,
    Move,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    NoteServer,
    PullAgain,
    Refill,
    Release,
)
from djlink_manifest.reconcile.plan.confirmation import UNTIL_CONFIRMED, cause_of, how_to_confirm
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime.events import Event, LinkOutcome, Listener, Report
from djlink_manifest.reconcile.state.snapshot import refusal_about
from djlink_manifest.report.apply.progress import on_stderr
from djlink_manifest.retry import Retry

STRUCTURE = (CreateOutbound, CreateLocal)
# with what has to be done where tables are made beside rows that are here already
MAKING = (*STRUCTURE, AlterLocal, ChangeLocal, CopyLineage, NoteDefinition)
GIVING_UP = (Release, GiveUp, Claim, Delete)  # what a pull leaves alone
CONFIRMING = (Release, Approve, Mend)  # what ends a deletion that was done here
NOTING = (NoteRequests, Approve, Mend)
# another session has the link's lock for a moment
UNLOCKED = Retry(10, lambda failures: 0.5, lambda error: isinstance(error, LinkLocked))


def made(home: Home, bound: BoundManifest) -> tuple[Tables, frozenset[tuple[str, str]]]:
    """Make the link's tables on both servers where they are missing.

    The tables, and the parents of the source, by schema and table, that are not linked.

    Raises LinkRefused, with nothing made, where the link cannot be.
    """
    with opened(home, bound) as job:
        plan = job.plan()
        _check(home, plan)
        doing = _limited(plan, {home.address}, _makes)
        _succeeded(home, applied(job, doing, lambda event: None))
        return _made_of(job, home)


def _makes(action: Action) -> bool:
    """Whether an action makes tables or is what has to be done with it, rows that are here included."""
    return isinstance(action, MAKING) or (isinstance(action, Refill) and action.cause == "definition")


def pull(home: Home, where: Condition | None, show: bool) -> tuple[Pulled, bool]:
    """Pull what meets the condition and is not here yet; what was done, and whether the tables changed.

    Raises LinkRefused where nothing of it can come, LinkLocked, PullFailed.
    """
    with opened(home, home.pulling(where)) as job:
        plan = job.plan()
        link_plan = _check(home, plan)
        for words in job.invisible():
            warnings.warn(words, stacklevel=3)
        if not home.along:
            _check_parents(link_plan)
        links = {p.address for p in plan.links} if home.along else {home.address}
        doing = _limited(plan, links, lambda action: not isinstance(action, GIVING_UP))
        if where is not None:
            doing = _pullable_alone(doing)
        with on_stderr() if show and doing.has_changes else nullcontext(_quiet) as listener:
            report = applied(job, doing, listener)
    _succeeded(home, report)
    return pulled_of(_worded(home, link_plan), report.outcomes), any(
        isinstance(a, (*STRUCTURE, AlterLocal, ChangeLocal)) for a in link_plan.actions
    )


def _pullable_alone(plan: Plan) -> Plan:
    """The plan in which a table made anew gets back what meets the pull's condition, and not all it had."""

    def narrowed(action: Action) -> Action:
        return replace(action, whole=False) if isinstance(action, PullAgain) else action

    links = tuple(replace(p, actions=tuple(map(narrowed, p.actions))) for p in plan.links)
    return replace(plan, links=links)


def status(home: Home, verify: bool) -> Status:
    """How the link stands. Raises LinkRefused where that cannot be told."""
    with opened(home, home.pulling(None)) as job:
        return status_of(_worded(home, _plan_of_link(home, job.plan(verify=verify))))


def in_the_way(home: Home) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
    """Of the lab's own tables the rows that keep entities from being refilled, by the referring columns."""
    with opened(home, home.pulling(None)) as job:
        _check(home, job.plan())
        found = dict[tuple[str, str], list[dict[str, Any]]]()
        for key, values in job.relying(home.address):
            if key.address is None:
                found.setdefault(key.table, []).append(dict(zip(key.columns, values, strict=True)))
    return found


@contextmanager
def deleting(home: Home) -> Iterator[Callable[[], None]]:
    """Around the deletion of local rows: the locks of the links concerned are held within.

    What is yielded is to be called once the deletion is committed: the source is told what is gone, of the
    link and of all below it, asked for or not. Raises what bars that before anything is deleted.
    """
    done = False

    def committed() -> None:
        nonlocal done
        done = True

    with opened(home, home.letting_go(), below=True) as job:
        below = job.graph.downstream([home.address])
        _check_all(home, job.plan(), below)
        _check_filled(home, job, below)
        _check_confirmed(home, job, below)
        if hidden := job.unseen_below(below | {home.address}):
            raise refused(home, *hidden)
        with job.holding(below):
            yield committed
        if done:
            _confirm_to_source(home, job, below)


def _confirm_to_source(home: Home, job: Job, links: Set[str]) -> None:
    """Release what is gone here, and approve what the source asked for. Raises SourceNotTold."""
    try:
        plan = job.plan()
        _check_all(home, plan, links)
        confirming = _limited(plan, links, lambda action: isinstance(action, CONFIRMING))
        _succeeded(home, UNLOCKED.run(lambda: applied(job, confirming, _quiet)))
    except DjlinkError as error:
        raise SourceNotConfirmed(
            f"the rows are deleted locally, but the source still holds them: {error.message}",
            link=home.address,
            server=error.server,
            hint="`refresh()` approves the requested deletions; the other rows are released by the next "
            "deletion or pulled again by the next pull",
        ) from error


def refresh(home: Home) -> None:
    """Bring `DeletionRequested` up to date, and approve what is gone here; make tables that are missing."""
    bound = home.pulling(None)
    if not _refreshed(home, bound, complete=False):
        made(home, bound)
        _refreshed(home, bound, complete=True)


def _refreshed(home: Home, bound: BoundManifest, *, complete: bool) -> bool:
    """Do what `refresh` does; return False, with nothing done, where tables lack and not `complete`."""
    with opened(home, bound) as job:
        plan = job.plan()
        link_plan = _check_known(home, plan)
        makes = any(isinstance(a, STRUCTURE) for a in link_plan.actions)
        if not complete and makes and not link_plan.is_stopped:
            return False
        kinds = (*NOTING, *STRUCTURE) if link_plan.is_stopped else NOTING
        doing = _limited(plan, {home.address}, lambda action: isinstance(action, kinds))
        _succeeded(home, UNLOCKED.run(lambda: applied(job, doing, _quiet)))
        if any(b.reason.startswith(UNTIL_CONFIRMED) for b in link_plan.blocked):
            _check_confirmed(home, job, {home.address})
    return True


def _quiet(event: Event) -> None:
    return None


@contextmanager
def opened(home: Home, bound: BoundManifest, *, below: bool = False) -> Iterator[Job]:
    """A job of the link and of what it needs. LinkRefused says why there is no such link."""
    target = glob.escape(home.address)
    try:
        with open_job(bound.manifest, bound.environ, targets=[target], below=below) as job:
            if home.address not in job.graph.nodes:
                raise _no_link(home, job)
            yield job
        return
    except UsageError as error:
        if not error.message.startswith("--target"):
            raise
    except DjlinkError as error:
        error.hint = home.worded(error.hint)
        raise
    with open_job(bound.manifest, bound.environ) as job:
        raise _no_link(home, job)


def _no_link(home: Home, job: Job) -> DjlinkError:
    source = source_of(home.address)
    for facts in job.servers:
        if facts.name == source and facts.problem:
            return Unreachable(facts.problem, server=source, link=home.address, hint=facts.hint)
    refusal = refusal_about(home.address, job.refusals)
    if refusal is not None:
        return refused(home, refusal.reason, refusal.hint)
    return refused(home, "the source has no such table", "check the name of the class")


def _check(home: Home, plan: Plan) -> LinkPlan:
    """The link's own plan. LinkRefused where no row of it comes."""
    link_plan = _plan_of_link(home, plan)
    if any(isinstance(action, Move) for action in link_plan.actions):
        raise _moved(home)
    if link_plan.is_stopped:
        raise _stopped(home, plan, link_plan)
    return link_plan


def _moved(home: Home) -> LinkRefused:
    """The error that the link's tables still have their former names."""
    return refused(home, "it has moved, and its tables still have their former names", "run `djlink apply`")


def _check_known(home: Home, plan: Plan) -> LinkPlan:
    """The link's own plan. LinkRefused where what it holds is not known, or it was not made yet."""
    link_plan = _plan_of_link(home, plan)
    if any(isinstance(action, Move) for action in link_plan.actions):
        raise _moved(home)
    if link_plan.is_stopped and (link_plan.new or not link_plan.observed):
        raise _stopped(home, plan, link_plan)
    return link_plan


def _stopped(home: Home, plan: Plan, link_plan: LinkPlan) -> LinkRefused:
    """The error that says why no row of a link comes."""
    stops = [b for b in link_plan.blocked if b.whole]
    above = {p.address: p for p in plan.links if p.is_stopped and p.address != home.address}
    causes = [(a, b) for a, p in above.items() for b in p.blocked if b.whole and b.kind != "upstream"]
    if stops[0].kind == "upstream" and causes:
        address, cause = causes[0]
        return refused(home, f"its parent {address} is blocked: {cause.reason}", cause.hint)
    return refused(home, "; ".join(b.reason for b in stops), stops[0].hint)


def _check_all(home: Home, plan: Plan, links: Set[str]) -> None:
    """LinkRefused where the source could not be told of the link's rows, or of those below it."""
    _check_known(home, plan)
    for each in plan.links:
        stops = [b for b in each.blocked if b.whole]
        if each.address in links and stops and not each.observed:
            raise refused(
                home, f"{each.address}, which depends on it, is blocked: {stops[0].reason}", stops[0].hint
            )


def _check_filled(home: Home, job: Job, links: Set[str]) -> None:
    """LinkRefused where rows are missing that nobody deleted, as they look like those that go now."""
    lost = sorted(a for a in links if a in job.observed.link_tables and job.observed.link_tables[a].remade)
    if lost:
        name = lost[0].rpartition(".")[2]
        raise refused(
            home,
            f"the local table of {lost[0]} was dropped, and not all of its rows have been pulled again; "
            "nothing was deleted",
            f"pull them again first: {name}().pull()",
        )


def _check_confirmed(home: Home, job: Job, links: Set[str]) -> None:
    """LinkRefused where nobody knows whether the local server is the one that the links belong to."""
    states = {a: t.epochs for a, t in job.observed.link_tables.items() if a in links}
    unsure = sorted(a for a, state in states.items() if not state.is_confirmed)
    if unsure:
        state = states[unsure[0]]
        raise refused(home, f"{UNTIL_CONFIRMED}: {cause_of(state)}", how_to_confirm(unsure, state))


def _plan_of_link(home: Home, plan: Plan) -> LinkPlan:
    return next(p for p in plan.links if p.address == home.address)


def _worded(home: Home, plan: LinkPlan) -> LinkPlan:
    return replace(plan, blocked=tuple(replace(b, hint=home.worded(b.hint)) for b in plan.blocked))


def _check_parents(link_plan: LinkPlan) -> None:
    """LinkRefused where entities were asked for and every one of them lacks a parent here."""
    missing = {e.parent: n for e in link_plan.needs if (n := _skipped_with(link_plan, e.parent))}
    others = (*MAKING, NoteFilled, NoteServer, *GIVING_UP, *NOTING)
    pulls = any(not isinstance(a, others) for a in link_plan.actions)
    if not missing or pulls or link_plan.local_rows > link_plan.kept:
        return
    count = sum(missing.values())
    parents = sorted(missing)
    first = parents[0].rpartition(".")[2]
    raise LinkRefused(
        f"{link_plan.address}: {counted(count, 'entity refers', 'entities refer')} to entities of "
        f"{', '.join(parents)} that are not pulled; nothing was pulled",
        link=link_plan.address,
        location=link_plan.location,
        hint=f"pull the parent first: {first}().pull()",
    )


def _skipped_with(link_plan: LinkPlan, parent: str) -> int:
    """Count the entities that are skipped because their parent is not pulled."""
    reasons = (not_pulled(parent, ()), not_pulled(parent, (parent, parent)))
    return sum(n for reason, n in link_plan.left_out if reason.startswith(reasons))


def refused(home: Home, reason: str, hint: str | None) -> LinkRefused:
    """The error that the link cannot be, or do what was asked."""
    return LinkRefused(f"{home.address}: {reason}", link=home.address, hint=home.worded(hint))


def _limited(plan: Plan, links: Set[str], keep: Callable[[Action], bool]) -> Plan:
    """The plan of these links alone, with the actions to keep."""
    kept = [p for p in plan.links if p.address in links]
    return replace(
        plan,
        removals=(),
        links=tuple(replace(p, actions=tuple(a for a in p.actions if keep(a))) for p in kept),
    )


def applied(job: Job, plan: Plan, listener: Listener) -> Report:
    """Carry out the plan. Ctrl-C lets it finish the batches in hand, and is raised then."""
    if not plan.has_changes:
        return Report(())
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="djlink") as threads:
        running = threads.submit(job.apply, plan, listener, stop)
        try:
            return running.result()
        except KeyboardInterrupt:
            stop.set()
            running.result()
            raise
        except LinkLocked as error:
            raise LinkLocked(
                error.message,
                link=error.link,
                server=error.server,
                hint="wait until it has finished, then try again; its lock ends with it",
            ) from error


def _succeeded(home: Home, report: Report) -> None:
    """Raise PullFailed where a link failed."""
    failed: list[LinkOutcome] = [o for o in report.outcomes if o.status != "done"]
    if failed:
        first = failed[0]
        raise PullFailed(
            f"{first.address}: {first.problem}", link=first.address, hint=home.worded(first.hint)
        )


def _made_of(job: Job, home: Home) -> tuple[Tables, frozenset[tuple[str, str]]]:
    link = next(link for link in job.links if link.address == home.address)
    keys = [key for table in link.definition.tables for key in table.foreign_keys]
    parents = {(key.parent_schema, key.parent_table) for key in keys}
    return (
        Tables(
            (link.definition.schema, link.definition.name),
            (link.outbound_schema, link.outbound_table),
            (link.local.schema, link.local.name),
        ),
        frozenset(parent for parent in parents if ".".join(parent) in link.plain),
    )
