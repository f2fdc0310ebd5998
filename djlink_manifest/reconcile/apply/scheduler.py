"""Carry out a plan: a loop over its actions, in the rounds that the plan gives, each outcome told.

The plan says what is done, with which definitions, and within which bounds; executors look at rows again
under the link's lock, since sources move. Nothing is done that the plan does not show, but for locks, the
signature of their holder, and the epochs that tell who applied last.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from djlink_manifest.errors import (
    ConnectionLost,
    DjlinkError,
    Interrupted,
    LinkLocked,
    ServerError,
    Unreachable,
    with_server,
)
from djlink_manifest.reconcile.apply import schema_changes
from djlink_manifest.reconcile.apply.execute import execute
from djlink_manifest.reconcile.apply.removals import removed_place, take_out
from djlink_manifest.reconcile.apply.run import Run, changed_by, link_work_of
from djlink_manifest.reconcile.plan.actions import (
    Action,
    Approve,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    Mend,
    NoteRequests,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.order import DELETIONS, Lane, Turn, is_structure, rounds
from djlink_manifest.reconcile.plan.plan import Plan, concerned
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.runtime.batches import LinkWork, Otherwise
from djlink_manifest.reconcile.runtime.context import ApplyContext
from djlink_manifest.reconcile.runtime.epochs import Epochs, MarkPlace
from djlink_manifest.reconcile.runtime.events import LinkOutcome, LinkStarted, Listener, Message, Report
from djlink_manifest.reconcile.runtime.outcomes import ended, outcome_of
from djlink_manifest.reconcile.runtime.workers import Workers
from djlink_manifest.retry import Attempts, Retry
from djlink_manifest.servers.ownership import marks
from djlink_manifest.servers.ownership.locks import Lockable
from djlink_manifest.servers.session.errors import is_transient, note_defect

# after a lost connection; counted anew whenever a batch was committed
AGAIN = Retry(5, lambda failures: 2.0**failures / 2, is_transient, doing="reconnecting")
ROWS = (Release, GiveUp, Register, Refill, PullAgain, Pull)  # ask which links have requests now


def apply(plan: Plan, apply_context: ApplyContext, listener: Listener, stop: threading.Event) -> Report:
    """Carry out the plan's removals, then its rounds of actions. `stop` ends it after the batches in hand.

    Raises LinkLocked, before anything is done, where another djlink works on one of the links.
    """
    started = time.monotonic()
    due = [p.address for p in plan.links if p.actions]
    wanted, going = concerned(plan), [r for r in plan.removals if not r.blocked]
    states = (*apply_context.found.epochs.values(), *(r.epochs for r in going))
    epochs = Epochs(states, apply_context.holder)
    run = Run(apply_context, listener, stop, Workers(max(1, apply_context.parallelism)), epochs)
    _take_locks([p.address for p in plan.links if p.address in wanted], going, run)
    entities = {p.address: sum(map(_entities, p.actions)) for p in plan.links}
    removed = [_take_out(each, run) for each in going]
    with ThreadPoolExecutor(max(1, apply_context.parallelism), thread_name_prefix="djlink") as threads:
        for each in rounds(plan.links):
            list(threads.map(partial(_do_lane, run, entities), each))
    outcomes = (*removed, *(run.outcomes[address] for address in due))
    return Report(outcomes, interrupted=stop.is_set(), seconds=time.monotonic() - started)


def _take_out(wanted: Removal, run: Run) -> LinkOutcome:
    def report(words: str) -> None:
        run.listener(Message(wanted.address, words))

    outcome = take_out(wanted, run.apply_context, run.epochs, run.stop, report)
    run.listener(outcome)
    return outcome


def _take_locks(due: Sequence[str], going: Sequence[Removal], run: Run) -> None:
    """Take the locks of all links that are due, or taken out, and say so in their marks, or raise LinkLocked.

    Their epochs move on. A server that went away since it was planned for is left to its links, which try
    again at their turn.
    """
    apply_context, places, gone = run.apply_context, list[MarkPlace](), set[str | None]()
    wanted: list[tuple[Lockable, MarkPlace, bool]] = [
        (apply_context.links[a], run.place_of(a), a in apply_context.found.marked) for a in due
    ]
    wanted += [(each, removed_place(each), True) for each in going]
    marked = defaultdict[tuple[str, str], list[str]](list)
    for link, place, has_mark in wanted:
        if gone & {place.source, apply_context.local.address.name}:
            continue
        try:
            for link_id in (place.link_id, *apply_context.found.former_ids.get(place.address, ())):
                apply_context.locks.take(link, link_id)
        except LinkLocked:
            raise
        except ServerError as error:
            gone.add(error.server)
            continue
        places.append(place)
        if has_mark and not place.state.moves:
            marked[place.source, place.outbound_schema].append(place.link_id)
    run.epochs.begin(places, lambda name: apply_context.sources[name].session(), apply_context.local.session)
    for (source, schema), ids in marked.items():
        # for people to read: each link is signed once more when its turn comes
        with suppress(ServerError), apply_context.sources[source].session() as writer:
            marks.write_holder(writer, schema, ids, apply_context.holder)


def _do_lane(run: Run, entities: dict[str, int], lane: Lane) -> None:
    """Do the turns of a lane one after another, those of links that have not failed."""
    for turn in lane:
        if turn.address in run.outcomes:
            continue
        makes = all(map(is_structure, turn.actions))
        if (turn.last or not makes) and turn.address not in run.begun and not _why_skipped(run, turn):
            run.begun.add(turn.address)
            run.listener(LinkStarted(turn.address, entities[turn.address]))
        _attempt(run, turn)
        if makes and turn.address in run.broken:
            run.unmade.add(turn.address)


def _why_skipped(run: Run, turn: Turn) -> str | None:
    """Why a turn is not attempted; None where nothing is in the way.

    A link above it failed, or the tables of a link whose rows are deleted with its own could not be made.
    Deletions need no link above.
    """
    if run.stop.is_set():
        return "interrupted before it started"
    along = run.unmade.intersection(changed_by(turn.address, turn.actions))
    deletes = all(isinstance(action, DELETIONS) for action in turn.actions)
    above = run.apply_context.graph.upstream([turn.address]) if run.broken and not deletes else frozenset()
    stopped = along | (above & run.broken)
    return f"{', '.join(sorted(stopped))} failed" if stopped else None


def _attempt(run: Run, turn: Turn) -> None:
    """Do a turn; tell how it ended where it failed or was the link's last. No exception of ours leaves it."""
    started, counters = time.monotonic(), run.counters[turn.address]
    outcome = partial(outcome_of, turn.address, counters, started)
    reason = _why_skipped(run, turn)
    if reason:
        run.emit(outcome("skipped", reason), broken=True)
        return
    try:
        with run.workers.busy():
            _work_and_reconnect(run, turn)
    except Interrupted:
        words = "interrupted; committed changes are kept, and the next apply continues"
        run.emit(outcome("failed", words), broken=True)
    except Otherwise as found:
        counters.blocked.append(found.blocked)
        run.emit(outcome("failed", found.message, found.hint), broken=True)
    except DjlinkError as error:
        run.emit(outcome("failed", with_server(error), error.hint), broken=True)
    except Exception as error:  # a defect of ours in one link must not take the others down untold
        # the type and the place alone: the text of an exception may hold a row's value
        note_defect(error)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        words = f"unexpected {type(error).__name__} at {where}"
        hint = "this may be a defect of djlink: run it again with --debug and report its output"
        run.emit(outcome("failed", words, hint), broken=True)
    else:
        if turn.last:
            run.emit(ended(outcome, counters))


@dataclass(slots=True)
class _Progress:
    """How far a turn is: the number of actions done, and whether a session was lost at the next one."""

    done: int = 0
    resumed: bool = False


def _work_and_reconnect(run: Run, turn: Turn) -> None:
    """Do a turn; after a lost connection go on with new sessions, at the action that was in hand."""
    counters, progress, before = run.counters[turn.address], _Progress(), -1
    attempts = Attempts(AGAIN, run.stop, lambda words: run.listener(Message(turn.address, words)))
    while True:
        try:
            with _opened(run, turn) as link_work:
                return _do_actions(run, turn, link_work, progress)
        except (ConnectionLost, Unreachable) as error:
            if not is_transient(error):
                raise
            progress.resumed = True
            made = counters.counts.entities + counters.counts.objects + progress.done
            if made != before:
                attempts.got_on()
            before = made
            if attempts.is_last(error) or run.stop.is_set() or error.server in run.given_up:
                run.given_up.add(error.server or "")
                raise
            attempts.failed(error)


@contextmanager
def _opened(run: Run, turn: Turn) -> Iterator[LinkWork]:
    """The bench of a turn, with its locks taken, and signed."""
    apply_context = run.apply_context
    for address in changed_by(turn.address, turn.actions):
        apply_context.lock(address)
    with (
        apply_context.sources[apply_context.links[turn.address].source].session() as source,
        apply_context.local.session() as local,
        ExitStack() as stack,
    ):
        yield link_work_of(run, turn, (source, local), stack)


def _do_actions(run: Run, turn: Turn, link_work: LinkWork, progress: _Progress) -> None:
    """Do the actions of a turn that are not done yet, once no other server has applied the links since.

    After one that failed what a source asks for is noted still: nobody shall wait for an answer in vain.
    """
    for address in changed_by(turn.address, turn.actions):
        run.epochs.check(run.place_of(address), link_work.source, link_work.local)
    has_source_links = False
    while progress.done < len(turn.actions):
        action = turn.actions[progress.done]
        link_work.resumed = progress.resumed
        if isinstance(action, ROWS) and not has_source_links:
            link_work.source_links, has_source_links = (
                run.source_links_now(link_work.link.source, link_work.source),
                True,
            )
        try:
            _do(run, link_work, action)
        except (ConnectionLost, Interrupted, LinkLocked):
            raise
        except DjlinkError:
            for later in turn.actions[progress.done + 1 :]:
                if isinstance(later, NoteRequests):
                    execute(link_work, later)
            raise
        progress.done += 1
        progress.resumed = False
        _keep_marks(run, link_work, action)


def _do(run: Run, link_work: LinkWork, action: Action) -> None:
    blocked = execute(link_work, action)
    if blocked is not None and blocked not in link_work.counters.blocked:
        link_work.counters.blocked.append(blocked)
    if isinstance(action, CreateOutbound):
        with run.guard:
            run.made.add(link_work.link.address)


def _keep_marks(run: Run, link_work: LinkWork, action: Action) -> None:
    """Say in the link's marks, once they stand, who applies, and in which epoch."""
    place = run.place_of(link_work.link.address)
    if isinstance(action, CreateOutbound):
        schema_changes.sign(link_work, run.apply_context.holder)
    if isinstance(action, NoteServer) or (isinstance(action, CreateLocal) and not place.state.lacks):
        run.epochs.join(place, link_work.source, link_work.local)


def _entities(action: Action) -> int:
    counted = (Pull, PullAgain, Refill, Register, Release, Delete, Approve, Mend)
    return action.entities if isinstance(action, counted) else 0
