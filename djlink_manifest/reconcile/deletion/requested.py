"""Deletions of one link during an apply, in batches: here first, then at the source.

The requests of a batch are locked at the source, so that a withdrawal waits or wins; then the local rows go
in one transaction; then the source is told, and its transaction ends. Whatever stops in between leaves
"requested, gone locally", which the next apply ends. Every step can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial

from djlink_manifest.errors import DjlinkError, ServerError
from djlink_manifest.model.links.referrers import Dependents
from djlink_manifest.reconcile.deletion.confirmations import approve_gone, mend
from djlink_manifest.reconcile.deletion.request_notes import Noting, noting
from djlink_manifest.reconcile.plan.actions import Action, Approve, Delete, Mend, NoteRequests
from djlink_manifest.reconcile.runtime.batches import KEYS_AT_ONCE, Bench, again, fitting, stop_here
from djlink_manifest.reconcile.state.deletion_requests import moment
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
KINDS = (Delete, Approve, Mend, NoteRequests)


def claim(bench: Bench, actions: Sequence[Action], *, resumed: bool) -> None:
    """Grant at the source what an approval covers, if it is still what was approved.

    `resumed`: an earlier session of this apply was lost here, perhaps after its claim was committed.
    """
    for action in actions:
        if not isinstance(action, Delete) or action.cause != "approved":
            continue
        assert action.until is not None, "an approved deletion says until when"
        again(bench, partial(_claim, bench, action, moment(action.until), resumed))


def _claim(bench: Bench, action: Delete, when: datetime, resumed: bool) -> None:
    source, link = bench.source, bench.link
    with source.transaction():
        found = request_queries.request_digest(source, link, when, lock=True)
        if resumed and not found.count:
            return
        if found.keys != action.keys:
            raise DjlinkError(
                "the requests that were approved have changed since the plan was made: nothing was deleted",
                link=link.address,
                hint="plan again",
            )
        requests.claim(source, link, when, action.by or "")
        bench.check()


def carry_out(bench: Bench, actions: Sequence[Action], dependents: Dependents, *, resumed: bool) -> None:
    """Do what a plan says of the link's deletions, after the claim."""
    notes = [action for action in actions if isinstance(action, NoteRequests)]
    with noting(bench, notes[0] if notes else None) as noted:
        _carry_out(bench, actions, dependents, noted, resumed=resumed)


def _carry_out(
    bench: Bench, actions: Sequence[Action], dependents: Dependents, noted: Noting | None, *, resumed: bool
) -> None:
    kinds = {type(action) for action in actions}
    if Mend in kinds:
        mend(bench)
    deletions = [action for action in actions if isinstance(action, Delete)]
    agreed = [d for d in deletions if d.cause in ("granted", "approved") and d.entities]
    for cause, chosen in (("granted", agreed), ("auto", [d for d in deletions if d.cause == "auto"])):
        if chosen:
            DeletionOf(bench, dependents, cause, chosen, noted).run()  # type: ignore[arg-type]  # one of the causes
    for each in deletions:
        if each.cause == "unwanted":
            delete_unwanted(bench, dependents, each.entities)
    if Approve in kinds or (resumed and deletions):
        approve_gone(bench)


class DeletionOf:
    """The deletion of requested entities, with all that hangs on them; never more than the plan showed."""

    def __init__(
        self,
        bench: Bench,
        dependents: Dependents,
        cause: Cause,
        chosen: Sequence[Delete],
        noted: Noting | None = None,
    ) -> None:
        self.bench, self.dependents, self.cause, self.noted = bench, dependents, cause, noted
        self.left = sum(d.entities for d in chosen)
        self.along_left = Counter[str]()
        for each in chosen:
            self.along_left.update(dict(each.along))
        self.unheld = any(d.unheld for d in chosen)
        self.lists = dict[str, KeyList]()

    def run(self) -> None:
        """Batch after batch, until what the plan showed is done or nothing more is asked for."""
        bench, link = self.bench, self.bench.link
        members = self.dependents.below(link.address)
        with (
            key_table(bench.source, link, "doomed", looked_up=False) as asked,
            doomed(bench.local, self.dependents, members) as sets,
            self._key_lists(members),
        ):
            asked.add_from(
                requests.doomed_requests(link, granted_only=self.cause == "granted", unheld=self.unheld)
            )
            first, size = 1, min(ENTITIES_FIRST, ENTITIES_AT_ONCE)
            while first <= asked.count:
                keys = NumberedKeys(asked, first, min(first + size - 1, asked.count))
                before = bench.tally.deleted_rows
                if self.noted:
                    self.noted.enter(keys)
                again(bench, partial(self._batch, sets, keys))
                stop_here(bench)
                first += keys.count
                size = min(ENTITIES_AT_ONCE, fitting(0, bench.tally.deleted_rows - before, keys.count))
        if self.left > 0:
            # withdrawn; or gone, by other hands or by a batch whose second half had to be tried again
            approve_gone(bench)

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
        if self.noted:
            self.noted.went(mine)
        self.left -= len(mine)
        self.along_left.subtract({a: len(k) for a, k in gone.items() if a != link.address})
        bench.tally.deleted += len(mine)
        bench.tally.along += sum(len(k) for a, k in gone.items() if a != link.address)
        bench.tally.deleted_rows += rows
        bench.advanced()

    def _agreed(self, asked: KeysInHand | None) -> list[RawRow]:
        """Which of the keys may still go; they stay so until the source's transaction ends."""
        assert asked is not None, "requests are deleted by the numbers of a key table"
        return requests.lock_requests(self.bench.source, asked, granted_only=self.cause == "granted")

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
        if sets.count(address) > self.left:  # requests that came after the plan
            fewer = sets.keys(address)[: max(0, self.left)]
            sets.clear()
            sets.add(address, fewer)
            sets.spread()

    def _check(self, counts: Mapping[str, int]) -> None:
        more = [a for a, n in counts.items() if a != self.bench.link.address and n > self.along_left[a]]
        if more:
            raise DjlinkError(
                f"more rows would be deleted than the plan showed: of {', '.join(more)}",
                link=self.bench.link.address,
                hint="plan again; committed changes are kept",
            )

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


def delete_unwanted(bench: Bench, dependents: Dependents, entities: int) -> None:
    """Delete what is wanted no longer and nothing refers to, then release it; at most so many entities."""
    link, left = bench.link, entities
    with (
        key_table(bench.source, link, "found", looked_up=False) as found,
        key_table(bench.source, link, "doomed", looked_up=False) as unwanted,
        doomed(bench.local, dependents, [link.address]) as sets,
        key_list(bench.source, link) as listed,
    ):
        add_unwanted(bench.scene, link, found, unwanted)
        for first, last in unwanted.pages(min(KEYS_AT_ONCE, ENTITIES_AT_ONCE)):
            before = bench.tally.deleted
            again(bench, partial(_unwanted_batch, bench, sets, listed, unwanted.keys(first, last), left))
            left -= bench.tally.deleted - before
            stop_here(bench)


def _unwanted_batch(bench: Bench, sets: Doomed, listed: KeyList, keys: Sequence[RawRow], left: int) -> None:
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
            if len(gone) > left:
                gone = gone[: max(0, left)]
                sets.clear()
                sets.add(link.address, gone)
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
            hint="grant the account SELECT on that table and plan again; none of these rows was deleted",
        ) from error
