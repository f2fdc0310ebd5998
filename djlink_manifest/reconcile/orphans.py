"""Orphans, which go only under an approval that names them: their set by its digest, and their deletion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.closure import Dependents
from djlink_manifest.reconcile.actions import Action, Delete
from djlink_manifest.reconcile.bench import Bench, again
from djlink_manifest.reconcile.deleting import DeletionOf
from djlink_manifest.reconcile.deletions import unheld_keys
from djlink_manifest.servers.connection import RawRow
from djlink_manifest.servers.doomed import doomed
from djlink_manifest.servers.keylist import KeysInHand
from djlink_manifest.servers.orphans import digest_of_orphans, stream_orphans


def delete_orphans(bench: Bench, actions: Sequence[Action], dependents: Dependents, *, resumed: bool) -> None:
    """Delete the orphans that the plan deletes."""
    for action in actions:
        if isinstance(action, Delete) and action.cause == "orphans" and action.entities:
            DeletionOfOrphans(bench, dependents, action).run(resumed=resumed)


class DeletionOfOrphans(DeletionOf):
    """All orphans of a link, with what hangs on them, in one local transaction.

    There is no row at the source by which a deletion could be told to be half done, so none ever is.
    """

    def __init__(self, bench: Bench, dependents: Dependents, action: Delete) -> None:
        super().__init__(bench, dependents, "orphans", [action])
        self.keys = action.keys

    def run(self, *, resumed: bool = False) -> None:
        """Delete them, if they are still those that were approved.

        `resumed`: an earlier session of this apply was lost, perhaps after they went.
        """
        bench, link = self.bench, self.bench.link
        members = self.dependents.below(link.address)
        with unheld_keys(link, bench.source, bench.local) as extra:
            if extra is None:
                return
            if resumed and not digest_of_orphans(bench.source, link, extra)[1]:
                return
            self.extra = extra
            with doomed(bench.local, self.dependents, members) as sets, self._key_lists(members):
                again(bench, partial(self._batch, sets, None))

    def _agreed(self, asked: KeysInHand | None) -> list[RawRow]:
        bench = self.bench
        if digest_of_orphans(bench.source, bench.link, self.extra)[0] != self.keys:
            raise DjlinkError(
                "the local rows that were approved have changed since the plan was made: none was deleted",
                link=bench.link.address,
                hint="plan again",
            )
        return list(stream_orphans(bench.source, bench.link, self.extra))
