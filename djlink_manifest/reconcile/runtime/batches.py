"""The rows of one link during an apply: releases, registrations and pulls, in batches.

Every step can be repeated; what stops in the middle is finished by the next apply.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from djlink_manifest.errors import (
    DjlinkError,
    Interrupted,
    ObjectRefused,
    RowsRefused,
    ServerError,
    TableInUse,
)
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.observe.keys import differing_keys, equal_unprotected
from djlink_manifest.reconcile.plan.actions import Blocked
from djlink_manifest.reconcile.runtime.context import ApplyInputs
from djlink_manifest.reconcile.runtime.events import NOTHING, Counts
from djlink_manifest.reconcile.runtime.workers import Helpers
from djlink_manifest.reconcile.state.plan_keys import NOTHING_SEEN, PlanKeys
from djlink_manifest.retry import Retry
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.external.objects import Objects
from djlink_manifest.servers.keys.key_list import NumberedKeys
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.session.errors import is_transient_in_session
from djlink_manifest.servers.session.session import RawRow, Writer
from djlink_manifest.servers.stores.transport import Brought
from djlink_manifest.servers.transfer.insert import BatchTooLarge, Budget, Conversion, as_read

BATCH_BYTES = 32 << 20
BATCH_ENTITIES = 10_000
BATCH_ROWS = 50_000
KEYS_AT_ONCE = 1_000
AGAIN = Retry(5, lambda failures: 0.1 * 2**failures, is_transient_in_session)  # of one batch
IN_USE = Retry(5, float, lambda error: isinstance(error, TableInUse))  # of a DDL
SOURCE_ROW_GONE = frozenset({1452})  # a registration met the row's deletion, committed meanwhile


@dataclass(slots=True)
class Counters:
    """What was done for one link so far, and what was left.

    `counts` is what was committed. `unfilled` are those of the refused entities that were to be refilled;
    `aside` those that were left unchanged, since rows of other tables refer to theirs; `objectless` those
    without their external object; `refusals` the server's words, the first few; `begun` the tables, columns
    and keys whose making began; `unmade` what was left out, and why; `blocked` the actions that were not
    done, for what they found.
    """

    counts: Counts = NOTHING
    unfilled: int = 0
    aside: int = 0
    objectless: int = 0
    refusals: list[str] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    unmade: str | None = None
    blocked: list[Blocked] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, counts: Counts) -> None:
        """Count what was committed, in any of the threads that work on the link."""
        with self.guard:
            self.counts += counts


class Otherwise(DjlinkError):
    """What an action finds under its locks is not what its plan saw: it is blocked, and ends the link."""

    def __init__(self, link_work: LinkWork, blocked: Blocked) -> None:
        super().__init__(blocked.reason, link=link_work.link.address, hint=blocked.hint)
        self.blocked = blocked


class Notes(Protocol):
    """The noting of what a source asks for, while some of it is deleted."""

    def enter(self, batch: NumberedKeys) -> None:
        """Enter into the ledger those requests of a batch that it lacks."""

    def went(self, keys: Collection[RawRow]) -> None:
        """Take note that the rows of these keys went."""

    def finish(self, new: int) -> None:
        """Bring the local part up to date; so many requests were new to it as was planned."""


@dataclass(slots=True)
class LinkWork:
    """One link with the sessions to work on it.

    `found` is what the plan's observation left. `guarded` raises where its locks, as the sessions see them,
    are no longer ours; `helpers` lends further sessions to work at the same time. `objects` brings its
    external objects, where it has any. `resumed` tells that an earlier session of this apply was lost at the
    action in hand, which may be done in part or whole. `notes` is the noting of requests that deletions
    began, and `stack` ends with the sessions.
    """

    link: Link
    found: ApplyInputs
    source_links: SourceLinks
    source: Writer
    local: Writer
    counters: Counters
    guarded: Callable[[Writer, Writer], None]
    helpers: Helpers
    advanced: Callable[[], None]
    report: Callable[[str], None]
    stop: threading.Event
    stack: ExitStack
    objects: Objects | None = None
    resumed: bool = False
    notes: Notes | None = None

    @property
    def keys(self) -> PlanKeys:
        """The sets of keys that the plan saw of the link."""
        return self.found.keys.get(self.link.address, NOTHING_SEEN)

    @property
    def convert(self) -> Conversion:
        """What makes the source's rows those of the local tables."""
        return self.objects.conversion if self.objects is not None else as_read

    def check(self) -> None:
        """Raise LinkLocked where the link's locks are no longer ours."""
        self.guarded(self.source, self.local)


def register_equal(link_work: LinkWork) -> None:
    """Write outbound rows for local entities that equal the source's."""
    link, source = link_work.link, link_work.source
    with differing_keys(link, True, True, source, link_work.local) as (_, extra):
        for keys in equal_unprotected(link, link_work.source_links, extra, source, link_work.local):
            if keys:
                again(link_work, partial(_register_keys, link_work, keys), transient=SOURCE_ROW_GONE)
                link_work.advanced()
            check_stop(link_work)


def _register_keys(link_work: LinkWork, keys: Sequence[RawRow]) -> None:
    with link_work.source.transaction():
        new = registrations.register_keys(link_work.source, link_work.link, keys)
        link_work.check()
    link_work.counters.add(Counts(registered=new))


def halving(
    first: int, last: int, step: Callable[[int, int], Budget], refuse: Callable[[int, str], None]
) -> tuple[int, int]:
    """Do a step of a range; the bytes and rows of it.

    What holds too much for one transaction, or is refused by the local server, is halved, down to entities
    at fault; from there on it grows again. What was done is committed and never tried again.
    """
    spent = rows = 0
    low, size = first, last - first + 1
    while low <= last:
        high = min(low + size - 1, last)
        try:
            part = step(low, high)
        except (RowsRefused, BatchTooLarge) as error:
            if low < high:
                size = (high - low + 1) // 2
                continue
            refuse(low, f"{error.message} ({error.hint})" if error.hint else error.message)
        else:
            spent, rows = spent + part.spent, rows + part.rows
            size = min(2 * size, fitting(part.spent, part.rows, high - low + 1))
        low = high + 1
    return spent, rows


def bring(link_work: LinkWork, work: KeyTable, low: int, high: int) -> None:
    """Bring the external objects of a range of entities, before any transaction begins.

    Raises ObjectRefused where one cannot be brought, BatchTooLarge where they are many.
    """

    def counted(brought: Brought) -> None:
        link_work.counters.add(Counts(objects=int(bool(brought.files)), object_bytes=brought.bytes))
        link_work.advanced()

    if link_work.objects is None:
        return
    try:
        link_work.objects.bring(link_work.source, work, low, high, stop=link_work.stop, each=counted)
    except ObjectRefused:
        link_work.counters.objectless += low == high
        raise


def count_refusal(counters: Counters, words: str) -> None:
    """Count an entity that the local server does not take, and keep the first few reasons."""
    counters.add(Counts(refused=1))
    with counters.guard:
        if len(counters.refusals) < 3 and words not in counters.refusals:
            counters.refusals.append(words)


def release(link_work: LinkWork, keys: list[RawRow], *, counted: bool = True) -> None:
    """Delete outbound rows whose absence from the local table is proved under locks on both servers."""
    source, local, link = link_work.source, link_work.local, link_work.link
    # the local gap stays locked until the source has committed
    with local.transaction("REPEATABLE READ"), source.transaction():
        held = registrations.lock_outbound(source, link, keys)
        present = registrations.present_locally(local, link, held) if held else set()
        gone = [key for key in held if key not in present]
        released = registrations.release(source, link, gone) if gone else 0
        link_work.check()
    if counted:
        link_work.counters.add(Counts(released=released))


def with_retries(link_work: LinkWork, step: Callable[[], None]) -> None:
    """Run a DDL; one that finds its table in use gives way at once and tries again a little later."""
    IN_USE.run(step, link_work.stop, link_work.report)


def again(link_work: LinkWork, step: Callable[[], None], transient: frozenset[int] = frozenset()) -> None:
    """Run a batch, again where it met a deadlock, a lock wait or one of the errors `transient`."""

    def passes(error: Exception) -> bool:
        return is_transient_in_session(error) or (isinstance(error, ServerError) and error.code in transient)

    replace(AGAIN, passes=passes).run(step, link_work.stop, link_work.report)


def batch_size(bytes_each: float, rows_each: float) -> int:
    """How many entities of such a size make a batch."""
    by_bytes = BATCH_BYTES / bytes_each if bytes_each > 0 else BATCH_ENTITIES
    return int(max(1, min(BATCH_ENTITIES, by_bytes, BATCH_ROWS / rows_each)))


def fitting(spent: int, rows: int, entities: int) -> int:
    """How many entities make a batch where so many held these bytes and rows."""
    return batch_size(spent / entities, max(1.0, rows / entities))


def check_stop(link_work: LinkWork) -> None:
    """Raise Interrupted where the person asked to stop."""
    if link_work.stop.is_set():
        raise Interrupted("stopped after the current batch", link=link_work.link.address)
