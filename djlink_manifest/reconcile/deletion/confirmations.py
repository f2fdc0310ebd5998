"""Confirm to the source the deletions already done locally, and repair interrupted approvals.

What is gone here, and what is here still, is proved under locks on both servers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.runtime.batches import KEYS_AT_ONCE, Bench, again, release, stop_here
from djlink_manifest.reconcile.state.plan_keys import KeySet
from djlink_manifest.servers.keys.key_list import KeyList, key_list
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.outbound import registrations, requests
from djlink_manifest.servers.session.session import RawRow

ENTITIES_AT_ONCE = KEYS_AT_ONCE  # in a transaction


def approve_gone(bench: Bench, seen: KeySet) -> None:
    """Approve those of the requests seen whose rows are gone locally, which is proved under locks.

    Not for a local table that was made anew: its rows were deleted by nobody, and are pulled again.
    """
    link, source = bench.link, bench.source
    with differing_keys(link, True, True, source, bench.local) as (missing, _):
        if missing is None or not missing.count:
            return
        with key_table(source, link, "doomed") as work, key_list(source, link) as listed:
            work.add_from(requests.requested_in(link, missing.name))
            _in_pages(bench, work, seen, partial(_approve_gone, listed))


def release_lost(bench: Bench) -> None:
    """Release what a table made anew lacks and what is not to come again."""
    _lost(bench, bench.keys.released)


def give_up(bench: Bench) -> None:
    """Release or approve what a table made anew lacks, where its parents are held no longer."""
    _lost(bench, bench.keys.lost, requested_too=True)


def _lost(bench: Bench, seen: KeySet, *, requested_too: bool = False) -> None:
    link, source = bench.link, bench.source
    with differing_keys(link, True, True, source, bench.local) as (missing, _):
        if missing is None or not missing.count:
            return
        with key_table(source, link, "gone") as gone:
            registrations.add_lost(bench.scene, link, missing, gone, "released")
            _in_pages(bench, gone, seen, release)
        if not requested_too:
            return
        with key_table(source, link, "doomed") as work, key_list(source, link) as listed:
            registrations.add_lost(bench.scene, link, missing, work, "approved")
            _in_pages(bench, work, seen, partial(_approve_gone, listed))


def _approve_gone(listed: KeyList, bench: Bench, keys: Sequence[RawRow]) -> None:
    source, local, link = bench.source, bench.local, bench.link
    # the local gaps stay locked until the source has committed
    with local.transaction("REPEATABLE READ"), source.transaction():
        listed.put(keys)
        asked = set(requests.lock_requests(source, listed))
        present = registrations.local_among(local, link, sorted(asked)) if asked else set[RawRow]()
        listed.put([key for key in keys if key in asked and key not in present])
        approved = requests.approve(source, listed, "gone")
        bench.check()
    bench.tally.approved += approved
    bench.advanced()


def mend(bench: Bench) -> None:
    """Of what is approved and yet held: gone locally, the outbound row goes; present, the approval goes."""
    with key_table(bench.source, bench.link, "doomed") as work:
        work.add_from(requests.approved_yet_held(bench.link))
        _in_pages(bench, work, bench.keys.mended, _mend)


def _mend(bench: Bench, keys: Sequence[RawRow]) -> None:
    source, local, link = bench.source, bench.local, bench.link
    with local.transaction("REPEATABLE READ"), source.transaction():
        present = registrations.local_among(local, link, keys)
        gone = [key for key in keys if key not in present]
        mended = requests.mend_approved(source, link, gone, sorted(present))
        bench.check()
    bench.tally.mended += mended
    bench.advanced()


def _in_pages(
    bench: Bench, work: KeyTable, seen: KeySet, step: Callable[[Bench, list[RawRow]], None]
) -> None:
    """Do a step with those of the keys that the plan saw, some at a time."""
    for first, last in work.pages(ENTITIES_AT_ONCE):
        keys = seen.among(work.keys(first, last))
        if keys:
            again(bench, partial(step, bench, keys))
        stop_here(bench)
