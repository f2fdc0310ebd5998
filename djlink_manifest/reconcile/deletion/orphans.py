"""Orphans, which go only under an approval that names them: their set by its digest, and their deletion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from djlink_manifest.reconcile.deletion.requested import DeletionOf
from djlink_manifest.reconcile.observe.deletions import gone_at_source
from djlink_manifest.reconcile.plan.actions import Blocked, Delete
from djlink_manifest.reconcile.runtime.batches import KEYS_AT_ONCE, LinkWork, Otherwise, again
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.reconcile.state.plan_keys import ClosureKeys
from djlink_manifest.servers.keys.key_list import KeysInHand
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.outbound.deletion_set import deletion_set
from djlink_manifest.servers.outbound.orphans import digest_of_orphans, stream_orphans
from djlink_manifest.servers.outbound.requests import forget_strays
from djlink_manifest.servers.session.session import RawRow

CHANGED = "the local rows that were approved have changed since the plan was made: none was deleted"


def delete_orphans(link_work: LinkWork, action: Delete) -> None:
    """Delete the orphans that an approval names. Raises Otherwise where they are others now."""
    DeletionOfOrphans(link_work, action).run()


class DeletionOfOrphans(DeletionOf):
    """All orphans of a link, with what hangs on them, in one local transaction.

    There is no row at the source by which a deletion could be told to be half done, so none ever is.
    """

    @property
    def seen(self) -> ClosureKeys:
        """The orphans that can go, with what goes along, as the plan was made."""
        return self.link_work.keys.orphans

    def run(self) -> None:
        """Delete them, if they are still those that were approved."""
        link_work, link = self.link_work, self.link_work.link
        members = self.dependents.below(link.address)
        with gone_at_source(link, link_work.source, link_work.local) as found:
            if link_work.resumed and not digest_of_orphans(link_work.source, link, found)[1]:
                return  # they went with the session that was lost
            self.found = found
            with deletion_set(link_work.local, self.dependents, members) as sets, self._key_lists(members):
                again(link_work, partial(self._batch, sets, None))
                for first, last in found.pages(KEYS_AT_ONCE):
                    again(link_work, partial(self._forget_gone, found.keys(first, last)))

    def _agreed(self, requested: KeysInHand | None) -> list[RawRow]:
        link_work = self.link_work
        if digest_of_orphans(link_work.source, link_work.link, self.found)[0] != self.action.keys:
            raise Otherwise(link_work, Blocked("error", CHANGED, self.action.entities, "plan again"))
        return self.seen.own.among(list(stream_orphans(link_work.source, link_work.link, self.found)))

    def _confirm_to_source(self, address: str, keys: Sequence[RawRow], whole: KeysInHand | None) -> None:
        """Forget what has no source row; approve or release the rest."""
        source, listed = self.link_work.source, self.lists[address]
        listed.put(keys)
        self.link_work.counters.add(Counts(released=forget_strays(source, listed, self.cause)))
        super()._confirm_to_source(address, keys, None)

    def _forget_gone(self, keys: Sequence[RawRow]) -> None:
        """Forget what was held or requested and is gone here too, which is proved under a lock."""
        link_work, listed = self.link_work, self.lists[self.link_work.link.address]
        with link_work.local.transaction("REPEATABLE READ"), link_work.source.transaction():
            present = registrations.present_locally(link_work.local, link_work.link, keys)
            listed.put([key for key in keys if key not in present])
            forgotten = forget_strays(link_work.source, listed, self.cause)
            link_work.check()
        link_work.counters.add(Counts(released=forgotten))
