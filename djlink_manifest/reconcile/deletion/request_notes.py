"""What a source asks to delete, noted here and entered into its ledger, while an apply deletes some of it.

What goes in the same apply is entered into the ledger and not noted here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TypeAlias

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, LinkLocked
from djlink_manifest.reconcile.plan.actions import NoteRequests
from djlink_manifest.reconcile.runtime.batches import Bench, again
from djlink_manifest.servers.keys.key_list import KeyList, KeysInHand, NumberedKeys, key_list
from djlink_manifest.servers.outbound import request_queries, requests
from djlink_manifest.servers.outbound.local_notes import Noted, noted, noted_links
from djlink_manifest.servers.session.session import RawRow, Writer
from djlink_manifest.servers.transfer.reliance import reliance_on

ENTITIES_AT_ONCE = 10_000  # the most in a transaction
LIST = 999  # the number of its key list, beside those of a deletion's links

Entering: TypeAlias = Callable[[Writer, KeysInHand], None]


class Noting:
    """Requests that the local `DeletionRequested` does not say as the source does, where it says nothing yet.

    All that a batch holds are to be entered, and what stays is looked at in the end. `unwritten` is how many
    are here, as was planned; `entered` are those that the ledger has and whose rows did not go.
    """

    def __init__(self, bench: Bench, action: NoteRequests) -> None:
        self.bench = bench
        self.action = action
        self.unwritten = action.new
        self.entered = set[RawRow]()

    def enter(self, batch: NumberedKeys) -> None:
        """Enter into the ledger those requests of a batch that it lacks, before anything is deleted."""
        again(self.bench, partial(self._enter, requests.record_requests, batch))
        self.entered.update(batch.read())

    def went(self, keys: Collection[RawRow]) -> None:
        """Take note that the rows of these keys went: nothing is to be noted of them."""
        self.entered.difference_update(keys)
        self.unwritten -= len(keys)
        self.bench.tally.noted += len(keys)

    def finish(self) -> None:
        """Enter the requests that are left, then bring the local part up to date."""
        if self.unwritten <= 0 and not self.entered:
            return
        with noted(self.bench.local, self.bench.link) as notes:
            withdrawn = set(self.entered)
            notes.add(self._asked(withdrawn))
            # what was approved meanwhile is held no longer, and no withdrawal is entered of it
            self._record(requests.record_withdrawals, sorted(withdrawn, key=repr))
            self._record(requests.record_requests, [k for k in notes.lacking() if k not in self.entered])
            again(self.bench, partial(self._write, notes))
        self.bench.advanced()

    def _asked(self, others: set[RawRow]) -> Iterator[RawRow]:
        """The requests as they stand now, each taken out of `others`."""
        size = len(self.bench.link.key)
        for row in request_queries.stream_requests(
            self.bench.source, self.bench.link, unheld=self.action.unheld
        ):
            others.discard(row[:size])
            yield row

    def _write(self, notes: Noted) -> None:
        referrers = reliance_on(self.bench.local, self.bench.link).seen
        with self.bench.local.transaction():
            written = notes.write(self.bench.local, referrers)
            self.bench.check()
        self.bench.tally.noted += written

    def _record(self, entering: Entering, keys: Sequence[RawRow]) -> None:
        if not keys:
            return
        with key_list(self.bench.source, self.bench.link, LIST) as listed:
            for start in range(0, len(keys), ENTITIES_AT_ONCE):
                some = keys[start : start + ENTITIES_AT_ONCE]
                again(self.bench, partial(self._enter, entering, listed, some))

    def _enter(self, entering: Entering, keys: KeysInHand, to_put: Sequence[RawRow] = ()) -> None:
        with self.bench.source.transaction():
            if isinstance(keys, KeyList):
                keys.put(to_put)
            entering(self.bench.source, keys)


class Renoting(Noting):
    """The same where something is noted already: all requests are compared with it first.

    `lacking` are those that the ledger lacks too, `staying` those of them whose rows are still here.
    """

    def __init__(self, bench: Bench, action: NoteRequests, notes: Noted) -> None:
        super().__init__(bench, action)
        self.notes = notes
        notes.add(request_queries.stream_requests(bench.source, bench.link, unheld=action.unheld))
        self.surplus = notes.surplus()
        self.lacking = dict.fromkeys(notes.lacking())  # in key order
        self.staying = set(self.lacking)
        self._record(requests.record_withdrawals, self.surplus)

    def enter(self, batch: NumberedKeys) -> None:
        """Enter into the ledger those requests of a batch that it lacks, before anything is deleted."""
        new = [key for key in batch.read() if key in self.lacking]
        if len(new) == batch.count:  # they need not be sent
            again(self.bench, partial(self._enter, requests.record_requests, batch))
        else:
            self._record(requests.record_requests, new)
        for key in new:
            del self.lacking[key]

    def went(self, keys: Collection[RawRow]) -> None:
        """Take note that the rows of these keys went: nothing is to be noted of them."""
        before = len(self.staying)
        self.staying.difference_update(keys)
        self.bench.tally.noted += before - len(self.staying)

    def finish(self) -> None:
        """Enter the requests that are left, then bring the local part up to date."""
        if not self.staying and not self.surplus:
            return
        self._record(requests.record_requests, list(self.lacking))
        self.notes.forget_absent()
        again(self.bench, partial(self._write, self.notes))
        self.bench.advanced()


@contextmanager
def noting(bench: Bench, action: NoteRequests | None) -> Iterator[Noting | None]:
    """Note after the block what is asked for and stayed, even if deletions failed; None: nothing to note."""
    if action is None:
        yield None
        return
    first = not action.unheld and not noted_links(bench.local, [bench.link])
    with nullcontext() if first else noted(bench.local, bench.link) as notes:
        found = Noting(bench, action) if notes is None else Renoting(bench, action, notes)
        try:
            yield found
        except (ConnectionLost, Interrupted, LinkLocked):
            raise
        except DjlinkError:
            found.finish()
            raise
        found.finish()
