"""Deletions of one link during an apply, in batches: here first, then at the source.

The requests of a batch are locked at the source, so that a withdrawal waits or wins; then the local rows go
in one transaction; then the source is told, and its transaction ends. Whatever stops in between leaves
"requested, gone locally", which the next apply ends. Every step can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from djlink_manifest.errors import ServerError
from djlink_manifest.reconcile.deletion.confirmations import approve_gone
from djlink_manifest.reconcile.deletion.request_notes import noting
from djlink_manifest.reconcile.plan.actions import Blocked, Claim, Delete, NoteRequests
from djlink_manifest.reconcile.runtime.batches import (
    KEYS_AT_ONCE,
    Bench,
    Otherwise,
    again,
    fitting,
    stop_here,
)
from djlink_manifest.reconcile.state.deletion_requests import moment
from djlink_manifest.reconcile.state.plan_keys import KeySet
from djlink_manifest.servers.entities.unwanted import add_unwanted
from djlink_manifest.servers.keys.key_list import KeyList, KeysInHand, NumberedKeys, key_list
from djlink_manifest.servers.keys.key_table import key_table
from djlink_manifest.servers.outbound import registrations, request_queries, requests
from djlink_manifest.servers.outbound.deletion_set import Doomed, doomed
from djlink_manifest.servers.outbound.requests import Cause
from djlink_manifest.servers.session.errors import REFERENCED
from djlink_manifest.servers.session.session import RawRow

ENTITIES_AT_ONCE = 10_000  # the most in a transaction; fewer where they have many rows
ENTITIES_FIRST = 1_000  # of the first one, whose rows tell
CHANGED = "the requests that were approved have changed since the plan was made: nothing was deleted"


def claim(bench: Bench, action: Claim) -> None:
    """Grant at the source what an approval covers. Raises Otherwise where it is not what was approved."""
    again(bench, partial(_claim, bench, action))


def _claim(bench: Bench, action: Claim) -> None:
    source, link, until = bench.source, bench.link, moment(action.until)
    with source.transaction():
        found = request_queries.request_digest(source, link, until, lock=True)
        if bench.resumed and not found.count:
            return  # the claim of the session that was lost was committed
        # a request made since the others were locked, and dated back, is granted too, and undone with them
        if found.keys != action.keys or requests.claim(source, link, until, action.by) != found.count:
            raise Otherwise(bench, Blocked("error", CHANGED, action.entities, "plan again"))
        bench.check()


def note_requests(bench: Bench, action: NoteRequests) -> None:
    """Bring the local part up to date, with what deletions before have noted."""
    until = moment(action.until) if action.until else None
    noting(bench, unheld=action.unheld, until=until).finish(action.new)


def delete(bench: Bench, action: Delete) -> None:
    """Delete the requested entities that the plan saw, as far as they may go still."""
    deletion = DeletionOf(bench, action)
    if action.entities:
        deletion.run()
    if (bench.resumed or deletion.left > 0) and not action.remade:
        # withdrawn; or gone, by other hands or by a batch whose second half had to be tried again
        approve_gone(bench, deletion.seen)


class DeletionOf:
    """The deletion of requested entities that a plan saw, with all that hangs on them; never of others."""

    def __init__(self, bench: Bench, action: Delete) -> None:
        self.bench, self.action, self.dependents = bench, action, bench.found.dependents
        self.cause: Cause = "granted" if action.cause == "approved" else action.cause
        self.left = action.entities
        self.along_left = Counter(dict(action.along))
        self.lists = dict[str, KeyList]()
        records, self.notes = action.records, bench.notes
        if records is not None:
            self.notes = noting(bench, unheld=action.unheld, until=moment(records))

    @property
    def seen(self) -> KeySet:
        """The entities that can go, as the plan was made."""
        return self.bench.keys.granted if self.action.cause == "granted" else self.bench.keys.waiting

    def run(self) -> None:
        """Batch after batch, until what the plan showed is done or nothing more is asked for."""
        bench, link, action = self.bench, self.bench.link, self.action
        members = self.dependents.below(link.address)
        until = moment(action.until) if action.until else None
        granted_only = self.cause == "granted"
        with (
            key_table(bench.source, link, "doomed", looked_up=False) as asked,
            doomed(bench.local, self.dependents, members) as sets,
            self._key_lists(members),
        ):
            asked.add_from(
                requests.doomed_requests(link, granted_only=granted_only, unheld=action.unheld, until=until)
            )
            first, size = 1, min(ENTITIES_FIRST, ENTITIES_AT_ONCE)
            while first <= asked.count:
                keys = NumberedKeys(asked, first, min(first + size - 1, asked.count))
                before = bench.tally.deleted_rows
                if self.notes:
                    self.notes.enter(keys)
                again(bench, partial(self._batch, sets, keys))
                stop_here(bench)
                first += keys.count
                size = min(ENTITIES_AT_ONCE, fitting(0, bench.tally.deleted_rows - before, keys.count))

    @contextmanager
    def _key_lists(self, members: Sequence[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for number, address in enumerate(members):
                opened = key_list(self.bench.source, self.dependents.links[address], number)
                self.lists[address] = stack.enter_context(opened)
            yield

    def _batch(self, sets: Doomed, asked: KeysInHand | None) -> None:
        bench, link = self.bench, self.bench.link
        source, local = bench.source, bench.local
        with source.transaction():
            agreed = self._agreed(asked)
            gone: dict[str, list[RawRow]] = {}
            rows = 0
            with _telling(bench), local.transaction():
                self._gather(sets, agreed)
                counts = sets.counts()
                self._check(counts)
                for address, count in counts.items():
                    whole_set = address == link.address and count == len(agreed)  # as most often
                    gone[address] = agreed if whole_set else sets.keys(address)
                rows = sets.delete(local)
                bench.check()
            mine = gone.get(link.address, [])
            # as most often: what was asked for went, and its keys need not be sent again
            whole = asked if asked and asked.count == len(mine) else None
            for address in reversed(gone):
                self._tell_source(address, gone[address], whole if address == link.address else None)
        if self.notes:
            self.notes.went(mine)
        self.left -= len(mine)
        self.along_left.subtract({a: len(k) for a, k in gone.items() if a != link.address})
        bench.tally.deleted += len(mine)
        bench.tally.along += sum(len(k) for a, k in gone.items() if a != link.address)
        bench.tally.deleted_rows += rows
        bench.advanced()

    def _agreed(self, asked: KeysInHand | None) -> list[RawRow]:
        """Which of the keys may still go; they stay so until the source's transaction ends."""
        assert asked is not None, "requests are deleted by the numbers of a key table"
        granted_only = self.cause == "granted"
        return self.seen.among(requests.lock_requests(self.bench.source, asked, granted_only=granted_only))

    def _gather(self, sets: Doomed, keys: Sequence[RawRow]) -> None:
        """Find, under locks, what is here of these entities and what hangs on them and can go too."""
        address, local = self.bench.link.address, self.bench.local
        sets.clear()
        if sets.add(address, keys) > sets.lock(local, address):
            sets.keep_present(address)
            sets.lock(local, address)  # also what came meanwhile
        sets.spread(locking=local, locked=address)
        if any(True for _ in sets.lab_rows()):
            sets.hold_back()
            sets.clear(address)
            sets.spread()

    def _check(self, counts: Mapping[str, int]) -> None:
        more = [a for a, n in counts.items() if a != self.bench.link.address and n > self.along_left[a]]
        if more:
            reason = f"more rows would be deleted than the plan showed: of {', '.join(more)}"
            hint = "plan again; committed changes are kept"
            raise Otherwise(self.bench, Blocked("error", reason, self.left, hint))

    def _tell_source(self, address: str, keys: Sequence[RawRow], whole: KeysInHand | None) -> None:
        """Approve what was requested, release the rest.

        `whole`: the same keys in a table at the source, all of them requested, and locked so.
        """
        source, listed = self.bench.source, self.lists[address]
        if whole:
            requests.approve(source, whole, self.cause)
            return
        listed.put(keys)
        asked = set(requests.lock_requests(source, listed))
        if len(asked) == len(keys):
            requests.approve(source, listed, self.cause)
        elif not asked:
            requests.release(source, listed, self.cause)
        else:
            listed.put([key for key in keys if key in asked])
            requests.approve(source, listed, self.cause)
            listed.put([key for key in keys if key not in asked])
            requests.release(source, listed, self.cause)


def delete_unwanted(bench: Bench) -> None:
    """Delete what the plan saw wanted no longer, is so still and nothing refers to, then release it."""
    link, dependents = bench.link, bench.found.dependents
    with (
        key_table(bench.source, link, "found", looked_up=False) as found,
        key_table(bench.source, link, "doomed", looked_up=False) as unwanted,
        doomed(bench.local, dependents, [link.address]) as sets,
        key_list(bench.source, link) as listed,
    ):
        add_unwanted(bench.scene, link, found, unwanted)
        for first, last in unwanted.pages(min(KEYS_AT_ONCE, ENTITIES_AT_ONCE)):
            keys = bench.keys.unwanted.among(unwanted.keys(first, last))
            if keys:
                again(bench, partial(_unwanted_batch, bench, sets, listed, keys))
            stop_here(bench)


def _unwanted_batch(bench: Bench, sets: Doomed, listed: KeyList, keys: Sequence[RawRow]) -> None:
    link, source, local = bench.link, bench.source, bench.local
    with source.transaction():
        held = set(registrations.lock_outbound(source, link, keys))
        with _telling(bench), local.transaction():
            sets.clear()
            sets.add(link.address, [key for key in keys if key in held])
            sets.keep_present(link.address)
            sets.lock(local, link.address)
            sets.hold_back_one(link.address)
            gone = sets.keys(link.address)
            rows = sets.delete(local)
            bench.check()
        listed.put(gone)
        requests.release(source, listed, "unwanted")
    bench.tally.deleted += len(gone)
    bench.tally.deleted_rows += rows
    bench.advanced()


@contextmanager
def _telling(bench: Bench) -> Iterator[None]:
    """Say the next step where the local server finds rows that refer and that the account cannot see."""
    try:
        yield
    except ServerError as error:
        if error.code not in REFERENCED:
            raise
        raise ServerError(
            f"rows of a table that the local account cannot see refer to them: {error.message}",
            code=error.code,
            server=error.server,
            hint="give the account access to that table (GRANT SELECT) and plan again; none of these rows was deleted",
        ) from error
