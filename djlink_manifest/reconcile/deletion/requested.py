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
from typing import NoReturn

from djlink_manifest.errors import ServerError
from djlink_manifest.reconcile.deletion.confirmations import approve_gone
from djlink_manifest.reconcile.deletion.request_notes import noting
from djlink_manifest.reconcile.plan.actions import Blocked, Claim, Delete, NoteRequests
from djlink_manifest.reconcile.runtime.batches import (
    KEYS_AT_ONCE,
    LinkWork,
    Otherwise,
    again,
    check_stop,
    fitting,
)
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.reconcile.state.deletion_requests import moment
from djlink_manifest.reconcile.state.plan_keys import ClosureKeys
from djlink_manifest.servers.entities.unwanted import add_unwanted
from djlink_manifest.servers.keys.key_list import KeyList, KeysInHand, NumberedKeys, key_list
from djlink_manifest.servers.keys.key_table import key_table
from djlink_manifest.servers.outbound import registrations, request_queries, requests
from djlink_manifest.servers.outbound.deletion_set import DeletionSet, deletion_set
from djlink_manifest.servers.outbound.requests import Cause
from djlink_manifest.servers.session.error_words import REFERENCED
from djlink_manifest.servers.session.session import RawRow

ENTITIES_AT_ONCE = 10_000  # the most in a transaction; fewer where they have many rows
ENTITIES_FIRST = 1_000  # of the first one, whose rows tell
CHANGED = "the requests that were approved have changed since the plan was made: nothing was deleted"


def claim(link_work: LinkWork, action: Claim) -> None:
    """Grant at the source what an approval covers. Raises Otherwise where it is not what was approved."""
    again(link_work, partial(_claim, link_work, action))


def _claim(link_work: LinkWork, action: Claim) -> None:
    source, link, until = link_work.source, link_work.link, moment(action.until)
    with source.transaction():
        found = request_queries.request_digest(source, link, until, lock=True)
        if link_work.resumed and not found.count:
            return  # the claim of the session that was lost was committed
        # a request made since the others were locked, and dated back, is granted too, and undone with them
        if found.keys != action.keys or requests.claim(source, link, until, action.by) != found.count:
            raise Otherwise(link_work, Blocked("error", CHANGED, action.entities, "plan again"))
        link_work.check()


def note_requests(link_work: LinkWork, action: NoteRequests) -> None:
    """Bring the local part up to date, with what deletions before have noted."""
    until = moment(action.until) if action.until else None
    noting(link_work, unheld=action.unheld, until=until).finish(action.new)


def delete(link_work: LinkWork, action: Delete) -> None:
    """Delete the requested entities that the plan saw, as far as they may go still."""
    deletion = DeletionOf(link_work, action)
    if action.entities:
        deletion.run()
    if (link_work.resumed or deletion.left > 0) and not action.remade:
        # withdrawn; or gone, by other hands or by a batch whose second half had to be tried again
        approve_gone(link_work, deletion.seen.own)


class DeletionOf:
    """The deletion of requested entities that a plan saw, with all that hangs on them; never of others."""

    def __init__(self, link_work: LinkWork, action: Delete) -> None:
        self.link_work, self.action, self.dependents = link_work, action, link_work.found.dependents
        self.cause: Cause = "granted" if action.cause == "approved" else action.cause
        self.left = action.entities
        self.along_left = Counter(dict(action.along))
        self.lists = dict[str, KeyList]()
        records, self.notes = action.records, link_work.notes
        if records is not None:
            self.notes = noting(link_work, unheld=action.unheld, until=moment(records))

    @property
    def seen(self) -> ClosureKeys:
        """The entities that can go, with what goes along, as the plan was made."""
        keys, action = self.link_work.keys, self.action
        if action.cause == "approved":
            return keys.requested_until(action.until)
        return keys.granted if action.cause == "granted" else keys.requested

    def run(self) -> None:
        """Batch after batch, until what the plan showed is done or nothing more is asked for."""
        link_work, link, action = self.link_work, self.link_work.link, self.action
        members = self.dependents.below(link.address)
        until = moment(action.until) if action.until else None
        granted_only = self.cause == "granted"
        with (
            key_table(link_work.source, link, "doomed", looked_up=False) as requested,
            deletion_set(link_work.local, self.dependents, members) as sets,
            self._key_lists(members),
        ):
            requested.add_from(
                requests.requests_to_delete(
                    link, granted_only=granted_only, unheld=action.unheld, until=until
                )
            )
            first, size = 1, min(ENTITIES_FIRST, ENTITIES_AT_ONCE)
            while first <= requested.count:
                keys = NumberedKeys(requested, first, min(first + size - 1, requested.count))
                before = link_work.counters.counts.deleted_rows
                if self.notes:
                    self.notes.enter(keys)
                again(link_work, partial(self._batch, sets, keys))
                check_stop(link_work)
                first += keys.count
                rows = link_work.counters.counts.deleted_rows - before
                size = min(ENTITIES_AT_ONCE, fitting(0, rows, keys.count))

    @contextmanager
    def _key_lists(self, members: Sequence[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for number, address in enumerate(members):
                opened = key_list(self.link_work.source, self.dependents.links[address], number)
                self.lists[address] = stack.enter_context(opened)
            yield

    def _batch(self, sets: DeletionSet, requested: KeysInHand | None) -> None:
        link_work, link = self.link_work, self.link_work.link
        source, local = link_work.source, link_work.local
        with source.transaction():
            agreed = self._agreed(requested)
            gone: dict[str, list[RawRow]] = {}
            rows = 0
            with _confirming(link_work), local.transaction():
                self._gather(sets, agreed)
                counts = sets.counts()
                self._check(counts)
                for address, count in counts.items():
                    whole_set = address == link.address and count == len(agreed)  # as most often
                    gone[address] = agreed if whole_set else sets.keys(address)
                self._check_along(gone)
                rows = sets.delete(local)
                link_work.check()
            own_keys = gone.get(link.address, [])
            # as most often: what was asked for went, and its keys need not be sent again
            whole = requested if requested and requested.count == len(own_keys) else None
            for address in reversed(gone):
                self._confirm_to_source(address, gone[address], whole if address == link.address else None)
        if self.notes:
            self.notes.went(own_keys)
        self.left -= len(own_keys)
        self.along_left.subtract({a: len(k) for a, k in gone.items() if a != link.address})
        along = sum(len(k) for a, k in gone.items() if a != link.address)
        link_work.counters.add(Counts(deleted=len(own_keys), along=along, deleted_rows=rows))
        link_work.advanced()

    def _agreed(self, requested: KeysInHand | None) -> list[RawRow]:
        """Which of the keys may still go; they stay so until the source's transaction ends."""
        assert requested is not None, "requests are deleted by the numbers of a key table"
        granted_only = self.cause == "granted"
        return self.seen.own.among(
            requests.lock_requests(self.link_work.source, requested, granted_only=granted_only)
        )

    def _gather(self, sets: DeletionSet, keys: Sequence[RawRow]) -> None:
        """Find, under locks, what is here of these entities and what hangs on them and can go too."""
        address, local = self.link_work.link.address, self.link_work.local
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
        more = [a for a, n in counts.items() if a != self.link_work.link.address and n > self.along_left[a]]
        if more:
            self._stop(f"more rows would be deleted than the plan showed: of {', '.join(more)}")

    def _check_along(self, gone: Mapping[str, Sequence[RawRow]]) -> None:
        others = self.seen.strangers({a: k for a, k in gone.items() if a != self.link_work.link.address})
        if others:
            self._stop(f"other rows would be deleted than the plan showed: of {', '.join(others)}")

    def _stop(self, reason: str) -> NoReturn:
        hint = "plan again; committed changes are kept"
        raise Otherwise(self.link_work, Blocked("error", reason, self.left, hint))

    def _confirm_to_source(self, address: str, keys: Sequence[RawRow], whole: KeysInHand | None) -> None:
        """Approve what was requested, release the rest.

        `whole`: the same keys in a table at the source, all of them requested, and locked so.
        """
        source, listed = self.link_work.source, self.lists[address]
        if whole:
            requests.approve(source, whole, self.cause)
            return
        listed.put(keys)
        requested = set(requests.lock_requests(source, listed))
        if len(requested) == len(keys):
            requests.approve(source, listed, self.cause)
        elif not requested:
            requests.release(source, listed, self.cause)
        else:
            listed.put([key for key in keys if key in requested])
            requests.approve(source, listed, self.cause)
            listed.put([key for key in keys if key not in requested])
            requests.release(source, listed, self.cause)


def delete_unwanted(link_work: LinkWork, action: Delete) -> None:
    """Delete and release the unwanted entities that the plan saw, if still unwanted and not referred to."""
    link, dependents = link_work.link, link_work.found.dependents
    seen = link_work.keys.unwanted_alone if action.alone else link_work.keys.unwanted
    with (
        key_table(link_work.source, link, "found", looked_up=False) as found,
        key_table(link_work.source, link, "doomed", looked_up=False) as unwanted,
        deletion_set(link_work.local, dependents, [link.address]) as sets,
        key_list(link_work.source, link) as listed,
    ):
        add_unwanted(link_work.source_links, link, found, unwanted)
        for first, last in unwanted.pages(min(KEYS_AT_ONCE, ENTITIES_AT_ONCE)):
            keys = seen.among(unwanted.keys(first, last))
            if keys:
                again(link_work, partial(_unwanted_batch, link_work, sets, listed, keys))
            check_stop(link_work)


def _unwanted_batch(link_work: LinkWork, sets: DeletionSet, listed: KeyList, keys: Sequence[RawRow]) -> None:
    link, source, local = link_work.link, link_work.source, link_work.local
    with source.transaction():
        held = set(registrations.lock_outbound(source, link, keys))
        with _confirming(link_work), local.transaction():
            sets.clear()
            sets.add(link.address, [key for key in keys if key in held])
            sets.keep_present(link.address)
            sets.lock(local, link.address)
            sets.hold_back_one(link.address)
            gone = sets.keys(link.address)
            rows = sets.delete(local)
            link_work.check()
        listed.put(gone)
        requests.release(source, listed, "unwanted")
    link_work.counters.add(Counts(deleted=len(gone), deleted_rows=rows))
    link_work.advanced()


@contextmanager
def _confirming(link_work: LinkWork) -> Iterator[None]:
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
            hint="give the account access to that table (GRANT SELECT) and plan again: if another lab links "
            "the local table, the plan then says how to pass the request on; none of these rows was deleted",
        ) from error
