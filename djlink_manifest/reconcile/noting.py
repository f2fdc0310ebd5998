"""What a source asks to delete, noted here and entered into its ledger, while an apply deletes some of it.

What goes in the same apply is entered into the ledger and not noted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, LinkLocked
from djlink_manifest.reconcile.actions import NoteRequests
from djlink_manifest.reconcile.bench import Bench, again
from djlink_manifest.servers import asking, requests
from djlink_manifest.servers.connection import RawRow, Writer
from djlink_manifest.servers.keylist import KeyList, KeysInHand, NumberedKeys, key_list
from djlink_manifest.servers.noting import Noted, noted

ENTITIES_AT_ONCE = 10_000  # the most in a transaction
LIST = 999  # the number of its key list, beside those of a deletion's links

Entering: TypeAlias = Callable[[Writer, KeysInHand], None]


class Noting:
    """Requests that the local `DeletionRequested` does not say as the source does.

    `lacking` are those that the ledger lacks too, `unwritten` those whose rows are still here.
    """

    def __init__(self, bench: Bench, notes: Noted) -> None:
        self.bench = bench
        self.notes = notes
        self.surplus = notes.surplus()
        self.lacking = dict.fromkeys(notes.lacking())  # in key order
        self.unwritten = set(self.lacking)

    def enter(self, batch: NumberedKeys) -> None:
        """Enter into the ledger those requests of a batch that it lacks, before anything is deleted."""
        new = [key for key in batch.read() if key in self.lacking]
        if len(new) == batch.count:  # as most often: they need not be sent
            again(self.bench, partial(self._enter, requests.record_requests, batch))
        else:
            self._record(requests.record_requests, new)
        for key in new:
            del self.lacking[key]

    def went(self, keys: Iterable[RawRow]) -> None:
        """Take note that the rows of these keys went: nothing is to be noted of them."""
        before = len(self.unwritten)
        self.unwritten.difference_update(keys)
        self.bench.tally.noted += before - len(self.unwritten)

    def withdrawn(self) -> None:
        """Enter the withdrawals into the ledger."""
        self._record(requests.record_withdrawals, self.surplus)

    def finish(self) -> None:
        """Enter the requests that are left, then bring the local part up to date."""
        if not self.unwritten and not self.surplus:
            return
        self._record(requests.record_requests, list(self.lacking))
        self.notes.forget_absent()
        again(self.bench, self._write)
        self.bench.advanced()

    def _write(self) -> None:
        with self.bench.local.transaction():
            written = self.notes.write(self.bench.local)
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


@contextmanager
def noting(bench: Bench, action: NoteRequests | None) -> Iterator[Noting | None]:
    """Note after the block what is asked for and stayed, even if deletions failed; None: nothing to note."""
    if action is None:
        yield None
        return
    with noted(bench.local, bench.link) as notes:
        notes.add(asking.stream_requests(bench.source, bench.link, unheld=action.unheld))
        found = Noting(bench, notes)
        found.withdrawn()
        try:
            yield found
        except (ConnectionLost, Interrupted, LinkLocked):
            raise
        except DjlinkError:
            found.finish()
            raise
        found.finish()
