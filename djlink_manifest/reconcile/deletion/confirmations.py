"""Confirm to the source the deletions already done locally, and repair interrupted approvals.

What is gone here, and what is here still, is proved under locks on both servers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.runtime.batches import KEYS_AT_ONCE, LinkWork, again, check_stop, release
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.reconcile.state.plan_keys import KeyDigests
from djlink_manifest.servers.keys.key_list import KeyList, key_list
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.outbound import registrations, requests
from djlink_manifest.servers.session.session import RawRow

ENTITIES_AT_ONCE = KEYS_AT_ONCE  # in a transaction


def approve_gone(link_work: LinkWork, seen: KeyDigests) -> None:
    """Approve those of the requests seen whose rows are gone locally, which is proved under locks.

    Not for a local table that was made anew: its rows were deleted by nobody, and are pulled again.
    """
    link, source = link_work.link, link_work.source
    with differing_keys(link, True, True, source, link_work.local) as (missing, _):
        if missing is None or not missing.count:
            return
        with key_table(source, link, "doomed") as work, key_list(source, link) as listed:
            work.add_from(requests.requested_in(link, missing.name))
            _in_pages(link_work, work, seen, partial(_approve_gone, listed))


def release_gone(link_work: LinkWork, *, lost: bool) -> None:
    """Release what the plan saw in outbound, missing locally and not to be pulled again.

    `lost`: the local table was made anew, and lacks what it did not get back.
    """
    link, source = link_work.link, link_work.source
    with differing_keys(link, True, True, source, link_work.local) as (missing, _):
        if missing is None or not missing.count:
            return
        with key_table(source, link, "gone") as gone:
            if lost:
                registrations.add_lost(link_work.source_links, link, missing, gone, "released")
            else:
                registrations.add_missing(link_work.source_links, link, missing, gone, pullable=False)
            _in_pages(link_work, gone, link_work.keys.released, _release)


def give_up(link_work: LinkWork) -> None:
    """Release or approve what a table made anew lacks and whose parents are no longer held."""
    link, source, seen = link_work.link, link_work.source, link_work.keys.lost
    with differing_keys(link, True, True, source, link_work.local) as (missing, _):
        if missing is None or not missing.count:
            return
        with key_table(source, link, "gone") as gone:
            registrations.add_lost(link_work.source_links, link, missing, gone, "released")
            _in_pages(link_work, gone, seen, _release)
        with key_table(source, link, "doomed") as work, key_list(source, link) as listed:
            registrations.add_lost(link_work.source_links, link, missing, work, "approved")
            _in_pages(link_work, work, seen, partial(_approve_gone, listed))


def _release(link_work: LinkWork, keys: list[RawRow]) -> None:
    release(link_work, keys)
    link_work.advanced()


def _approve_gone(listed: KeyList, link_work: LinkWork, keys: Sequence[RawRow]) -> None:
    source, local, link = link_work.source, link_work.local, link_work.link
    # the local gaps stay locked until the source has committed
    with local.transaction("REPEATABLE READ"), source.transaction():
        listed.put(keys)
        requested = set(requests.lock_requests(source, listed))
        present = (
            registrations.present_locally(local, link, sorted(requested)) if requested else set[RawRow]()
        )
        listed.put([key for key in keys if key in requested and key not in present])
        approved = requests.approve(source, listed, "gone")
        link_work.check()
    link_work.counters.add(Counts(approved=approved))
    link_work.advanced()


def mend(link_work: LinkWork) -> None:
    """Of what is approved and yet held: gone locally, the outbound row goes; present, the approval goes."""
    with key_table(link_work.source, link_work.link, "doomed") as work:
        work.add_from(requests.approved_yet_held(link_work.link))
        _in_pages(link_work, work, link_work.keys.mended, _mend)


def _mend(link_work: LinkWork, keys: Sequence[RawRow]) -> None:
    source, local, link = link_work.source, link_work.local, link_work.link
    with local.transaction("REPEATABLE READ"), source.transaction():
        present = registrations.present_locally(local, link, keys)
        gone = [key for key in keys if key not in present]
        mended = requests.mend_approved(source, link, gone, sorted(present))
        link_work.check()
    link_work.counters.add(Counts(mended=mended))
    link_work.advanced()


def _in_pages(
    link_work: LinkWork, work: KeyTable, seen: KeyDigests, step: Callable[[LinkWork, list[RawRow]], None]
) -> None:
    """Do a step with those of the keys that the plan saw, some at a time."""
    for first, last in work.pages(ENTITIES_AT_ONCE):
        keys = seen.among(work.keys(first, last))
        if keys:
            again(link_work, partial(step, link_work, keys))
        check_stop(link_work)
