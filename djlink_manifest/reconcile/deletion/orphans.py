"""Orphans, which go only under an approval that names them: their set by its digest, and their deletion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from djlink_manifest.reconcile.deletion.requested import DeletionOf
from djlink_manifest.reconcile.observe.deletions import gone_at_source
from djlink_manifest.reconcile.plan.actions import Blocked, Delete
from djlink_manifest.reconcile.runtime.batches import KEYS_AT_ONCE, Bench, Otherwise, again
from djlink_manifest.reconcile.state.plan_keys import KeySet
from djlink_manifest.servers.keys.key_list import KeysInHand
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.outbound.deletion_set import doomed
from djlink_manifest.servers.outbound.orphans import digest_of_orphans, stream_orphans
from djlink_manifest.servers.outbound.requests import forget_strays
from djlink_manifest.servers.session.session import RawRow

CHANGED = "the local rows that were approved have changed since the plan was made: none was deleted"


def delete_orphans(bench: Bench, action: Delete) -> None:
    """Delete the orphans that an approval names. Raises Otherwise where they are others now."""
    DeletionOfOrphans(bench, action).run()


class DeletionOfOrphans(DeletionOf):
    """All orphans of a link, with what hangs on them, in one local transaction.

    There is no row at the source by which a deletion could be told to be half done, so none ever is.
    """

    @property
    def seen(self) -> KeySet:
        """The orphans that can go, as the plan was made."""
        return self.bench.keys.orphans

    def run(self) -> None:
        """Delete them, if they are still those that were approved."""
        bench, link = self.bench, self.bench.link
        members = self.dependents.below(link.address)
        with gone_at_source(link, bench.source, bench.local) as found:
            if bench.resumed and not digest_of_orphans(bench.source, link, found)[1]:
                return  # they went with the session that was lost
            self.found = found
            with doomed(bench.local, self.dependents, members) as sets, self._key_lists(members):
                again(bench, partial(self._batch, sets, None))
                for first, last in found.pages(KEYS_AT_ONCE):
                    again(bench, partial(self._forget_gone, found.keys(first, last)))

    def _agreed(self, asked: KeysInHand | None) -> list[RawRow]:
        bench = self.bench
        if digest_of_orphans(bench.source, bench.link, self.found)[0] != self.action.keys:
            raise Otherwise(bench, Blocked("error", CHANGED, self.action.entities, "plan again"))
        return self.seen.among(list(stream_orphans(bench.source, bench.link, self.found)))

    def _tell_source(self, address: str, keys: Sequence[RawRow], whole: KeysInHand | None) -> None:
        """Forget what has no source row; approve or release the rest."""
        source, listed = self.bench.source, self.lists[address]
        listed.put(keys)
        self.bench.tally.released += forget_strays(source, listed, self.cause)
        super()._tell_source(address, keys, None)

    def _forget_gone(self, keys: Sequence[RawRow]) -> None:
        """Forget what was held or requested and is gone here too, which is proved under a lock."""
        bench, listed = self.bench, self.lists[self.bench.link.address]
        with bench.local.transaction("REPEATABLE READ"), bench.source.transaction():
            present = registrations.local_among(bench.local, bench.link, keys)
            listed.put([key for key in keys if key not in present])
            forgotten = forget_strays(bench.source, listed, self.cause)
            bench.check()
        bench.tally.released += forgotten
