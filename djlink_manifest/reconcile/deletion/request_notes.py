"""What a source asks to delete, noted here and entered into its ledger, while an apply deletes some of it.

What goes in the same apply is entered into the ledger and not noted here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TypeAlias

from djlink_manifest.reconcile.runtime.batches import LinkWork, Notes, again
from djlink_manifest.reconcile.runtime.events import Counts
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

    All that a batch holds are to be entered, and what stays is looked at in the end. `unheld`: entities
    without an outbound row are among them; requests after `until` are left for the next plan. `gone` is how
    many went; `entered` are those that the ledger has and whose rows did not go.
    """

    def __init__(self, link_work: LinkWork, unheld: bool, until: datetime | None) -> None:
        self.link_work = link_work
        self.unheld = unheld
        self.until = until
        self.gone = 0
        self.entered = set[RawRow]()

    def enter(self, batch: NumberedKeys) -> None:
        """Enter into the ledger those requests of a batch that it lacks, before anything is deleted."""
        again(self.link_work, partial(self._enter, requests.record_requests, batch))
        self.entered.update(batch.read())

    def went(self, keys: Collection[RawRow]) -> None:
        """Take note that the rows of these keys went: nothing is to be noted of them."""
        self.entered.difference_update(keys)
        self.gone += len(keys)
        self.link_work.counters.add(Counts(noted=len(keys)))

    def finish(self, new: int) -> None:
        """Enter the requests that are left, then bring the local part up to date; `new` as was planned."""
        if new <= self.gone and not self.entered:
            return
        with noted(self.link_work.local, self.link_work.link) as notes:
            withdrawn = set(self.entered)
            notes.add(self._still_requested(withdrawn))
            # what was approved meanwhile is held no longer, and no withdrawal is entered of it
            self._record(requests.record_withdrawals, sorted(withdrawn, key=repr))
            self._record(requests.record_requests, [k for k in notes.missing() if k not in self.entered])
            again(self.link_work, partial(self._write, notes))
        self.link_work.advanced()

    def _still_requested(self, others: set[RawRow]) -> Iterator[RawRow]:
        """The requests as they stand now, each taken out of `others`."""
        size = len(self.link_work.link.key)
        for row in request_queries.stream_requests(
            self.link_work.source, self.link_work.link, unheld=self.unheld, until=self.until
        ):
            others.discard(row[:size])
            yield row

    def _write(self, notes: Noted) -> None:
        referrers = reliance_on(self.link_work.local, self.link_work.link).seen
        with self.link_work.local.transaction():
            written = notes.write(self.link_work.local, referrers)
            self.link_work.check()
        self.link_work.counters.add(Counts(noted=written))

    def _record(self, entering: Entering, keys: Sequence[RawRow]) -> None:
        if not keys:
            return
        with key_list(self.link_work.source, self.link_work.link, LIST) as listed:
            for start in range(0, len(keys), ENTITIES_AT_ONCE):
                some = keys[start : start + ENTITIES_AT_ONCE]
                again(self.link_work, partial(self._enter, entering, listed, some))

    def _enter(self, entering: Entering, keys: KeysInHand, to_put: Sequence[RawRow] = ()) -> None:
        with self.link_work.source.transaction():
            if isinstance(keys, KeyList):
                keys.put(to_put)
            entering(self.link_work.source, keys)


class Renoting(Noting):
    """The same where something is noted already: all requests are compared with it first.

    `missing` are those that the ledger lacks too, `staying` those of them whose rows are still here.
    """

    def __init__(self, link_work: LinkWork, unheld: bool, until: datetime | None, notes: Noted) -> None:
        super().__init__(link_work, unheld, until)
        self.notes = notes
        notes.add(
            request_queries.stream_requests(link_work.source, link_work.link, unheld=unheld, until=until)
        )
        self.surplus = notes.surplus()
        self.missing = dict.fromkeys(notes.missing())  # in key order
        self.staying = set(self.missing)
        self._record(requests.record_withdrawals, self.surplus)

    def enter(self, batch: NumberedKeys) -> None:
        """Enter into the ledger those requests of a batch that it lacks, before anything is deleted."""
        new = [key for key in batch.read() if key in self.missing]
        if len(new) == batch.count:  # they need not be sent
            again(self.link_work, partial(self._enter, requests.record_requests, batch))
        else:
            self._record(requests.record_requests, new)
        for key in new:
            del self.missing[key]

    def went(self, keys: Collection[RawRow]) -> None:
        """Take note that the rows of these keys went: nothing is to be noted of them."""
        before = len(self.staying)
        self.staying.difference_update(keys)
        self.link_work.counters.add(Counts(noted=before - len(self.staying)))

    def finish(self, new: int) -> None:
        """Enter the requests that are left, then bring the local part up to date."""
        if not self.staying and not self.surplus:
            return
        self._record(requests.record_requests, list(self.missing))
        self.notes.forget_absent()
        again(self.link_work, partial(self._write, self.notes))
        self.link_work.advanced()


def noting(link_work: LinkWork, *, unheld: bool, until: datetime | None) -> Notes:
    """The noting of requests up to a moment: the bench's, or a new one that ends with its sessions."""
    if link_work.notes is None:
        first = not unheld and not noted_links(link_work.local, [link_work.link])
        notes = None if first else link_work.stack.enter_context(noted(link_work.local, link_work.link))
        link_work.notes = (
            Noting(link_work, unheld, until) if notes is None else Renoting(link_work, unheld, until, notes)
        )
    return link_work.notes
