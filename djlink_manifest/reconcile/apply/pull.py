"""Pulling the entities of one link, in batches: each is registered, then copied.

Keys to pull are listed at the source, and go by their numbers. A link of which all is wanted and much is due
goes by ranges of its key instead, several at once: what no list names need not be listed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from djlink_manifest.errors import RowsRefused
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.plan.actions import Pull, PullAgain
from djlink_manifest.reconcile.runtime import batches as sizes
from djlink_manifest.reconcile.runtime.batches import (
    SOURCE_ROW_GONE,
    LinkWork,
    again,
    bring,
    check_stop,
    count_refusal,
    halving,
    release,
)
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.servers.entities.collision_table import BlockedTable
from djlink_manifest.servers.entities.set_terms import all_is_pullable
from djlink_manifest.servers.keys.key_ranges import KeyRange, Ranges, has_ranges, held_in
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.transfer.batch import copy_entities, copy_range
from djlink_manifest.servers.transfer.insert import BatchTooLarge, Budget

SPREAD_ENTITIES, SPREAD_BYTES = 50_000, 256 << 20  # from here on a link is pulled by ranges, several at once


def pull(link_work: LinkWork, action: Pull) -> None:
    """Pull pullable entities that are not held yet, those too that came after the plan.

    The plan's estimate sizes the first batch; what batches really hold sizes the next ones. Many are pulled
    in several ranges of the key at once. Entities that the plan shows as blocked are left out; later ones are
    for the local server to refuse.
    """
    if link_work.resumed:
        # what the lost session registered and did not copy is in outbound now, and missing here
        _pull_missing(link_work, whole=False)
    link, source = link_work.link, link_work.source
    bytes_each = action.bytes / action.entities if action.entities else 0.0
    with key_table(source, link, "work", looked_up=False) as work:
        with (
            differing_keys(link, True, True, source, link_work.local) as (_, extra),
            _blocked(link_work) as blocked,
        ):
            plain = (
                not blocked and not (extra and extra.count) and all_is_pullable(link_work.source_links, link)
            )
            large = action.entities >= SPREAD_ENTITIES or action.bytes >= SPREAD_BYTES
            spread = plain and large and link_work.objects is None and has_ranges(link)
            if not spread:
                registrations.add_pullable(
                    link_work.source_links, link, extra, work, blocked.name if blocked else None
                )
        _pull_keys(link_work, work, bytes_each)
    if spread:
        _pull_ranges(link_work, bytes_each)


def pull_again(link_work: LinkWork, action: PullAgain) -> None:
    """Pull what is held and missing locally; `whole`: all that a table made anew had, pullable or not."""
    _pull_missing(link_work, whole=action.whole)


def _pull_missing(link_work: LinkWork, *, whole: bool) -> None:
    link, source = link_work.link, link_work.source
    with key_table(source, link, "work", looked_up=False) as work:
        with (
            differing_keys(link, True, True, source, link_work.local) as (missing, _),
            _blocked(link_work) as blocked,
        ):
            out = blocked.name if blocked else None
            if missing is not None and whole:
                registrations.add_lost(link_work.source_links, link, missing, work, "comes", blocked=out)
            elif missing is not None:
                registrations.add_missing(
                    link_work.source_links, link, missing, work, pullable=True, blocked=out
                )
        _pull_keys(link_work, work, 0.0)


@contextmanager
def _blocked(link_work: LinkWork) -> Iterator[BlockedTable | None]:
    """The entities that the plan shows as blocked, in a temporary table; None where there are none."""
    blocked = link_work.found.blocked.get(link_work.link.address)
    if not blocked:
        yield None
        return
    with BlockedTable(link_work.source, link_work.link, "stuck") as blocked_rows:
        blocked_rows.add(blocked)
        yield blocked_rows


def _pull_ranges(link_work: LinkWork, bytes_each: float) -> None:
    """Pull ranges, several at once, each by sessions of its own; after an error no further one is begun."""
    ranges, failed = Ranges(link_work.link), threading.Event()

    def work(own_work: LinkWork, helping: bool) -> None:
        size = sizes.batch_size(bytes_each, 1.0)
        try:
            while not failed.is_set() and not (helping and link_work.helpers.crowded()):
                within = ranges.take(own_work.source, size)
                if within is None:
                    return
                size = _pull_range(own_work, within, bytes_each, size)
                link_work.advanced()
                check_stop(link_work)
        except BaseException:
            failed.set()
            raise

    def help_out(_: int) -> None:
        with link_work.helpers.lend() as lent:
            if lent is not None:
                work(replace(link_work, source=lent[0], local=lent[1]), helping=True)

    count = link_work.helpers.most - 1
    with ThreadPoolExecutor(max(1, count), thread_name_prefix="djlink") as threads:
        helping = [threads.submit(help_out, number) for number in range(count)]
        work(link_work, helping=False)
    for each in helping:
        each.result()


def _pull_range(link_work: LinkWork, within: KeyRange, bytes_each: float, size: int) -> int:
    """Pull the entities of a range of the key that are not held yet; how many the next range shall hold.

    `size` is how many this one was to hold.
    """
    if held_in(link_work.source, link_work.link, within):
        with key_table(link_work.source, link_work.link, "work", looked_up=False) as work:
            registrations.add_pullable(link_work.source_links, link_work.link, None, work, within=within)
            _pull_keys(link_work, work, bytes_each)
        return size
    spent, rows, entities = _whole_range(link_work, within)
    return sizes.fitting(spent, rows, entities) if entities else size


def _whole_range(link_work: LinkWork, within: KeyRange) -> tuple[int, int, int]:
    """Register and copy the source's rows in a range of which nothing is held; bytes, rows, entities."""
    held = 0

    def register() -> None:
        nonlocal held
        with link_work.source.transaction():
            held = registrations.register_range(
                link_work.source, link_work.source_links, link_work.link, within
            )
            link_work.check()

    budget = Budget(sizes.BATCH_BYTES)

    def copy() -> None:
        budget.spent = budget.rows = 0
        entities = copy_range(
            *(link_work.source, link_work.local, link_work.link, within),
            held=held,
            budget=budget,
            check=link_work.check,
        )
        _count(link_work, entities, budget)
        found.append(entities)

    found = list[int]()
    again(link_work, register, transient=SOURCE_ROW_GONE)
    try:
        again(link_work, copy)
    except (RowsRefused, BatchTooLarge):
        # it is registered: entities at fault are found one by one
        with key_table(link_work.source, link_work.link, "work", looked_up=False) as work:
            registrations.add_held(link_work.link, work, within)
            _pull_keys(link_work, work, budget.spent / max(1, work.count))
            return budget.spent, budget.rows, work.count
    return budget.spent, budget.rows, found[0]


def _pull_keys(link_work: LinkWork, work: KeyTable, bytes_each: float) -> None:
    size = sizes.batch_size(bytes_each, 1.0)
    first = 1
    while first <= work.count:
        last = min(first + size - 1, work.count)
        spent, rows = _batch(link_work, work, first, last)
        link_work.advanced()
        check_stop(link_work)
        size = sizes.fitting(spent, rows, last - first + 1)
        first = last + 1


def _batch(link_work: LinkWork, work: KeyTable, first: int, last: int) -> tuple[int, int]:
    """Register a range, then copy it; the bytes and rows copied."""
    register = partial(_register, link_work, work, first, last)
    try:
        again(link_work, partial(register, blindly=registrations.refers_by_key(link_work.link)))
    except RowsRefused as error:
        if error.code not in SOURCE_ROW_GONE:
            raise
        again(link_work, partial(register, blindly=False), transient=SOURCE_ROW_GONE)
    return halving(first, last, partial(_copy, link_work, work), partial(_refuse, link_work, work))


def _register(link_work: LinkWork, work: KeyTable, first: int, last: int, *, blindly: bool) -> None:
    with link_work.source.transaction():
        among = (link_work.source, link_work.source_links, link_work.link, work)
        registrations.register(*among, first=first, last=last, blindly=blindly)
        link_work.check()


def _copy(link_work: LinkWork, work: KeyTable, low: int, high: int) -> Budget:
    budget = Budget(sizes.BATCH_BYTES, single=low == high)

    def step() -> None:
        budget.spent = budget.rows = 0
        bring(link_work, work, low, high)
        entities = copy_entities(
            *(link_work.source, link_work.local, link_work.link, work),
            first=low,
            last=high,
            budget=budget,
            check=link_work.check,
            convert=link_work.convert,
        )
        _count(link_work, entities, budget)

    again(link_work, step)
    return budget


def _count(link_work: LinkWork, entities: int, budget: Budget) -> None:
    link_work.counters.add(Counts(pulled=entities, rows=budget.rows, bytes=budget.spent))


def _refuse(link_work: LinkWork, work: KeyTable, number: int, words: str) -> None:
    """Count an entity that the local server refuses, and release it at the source."""
    count_refusal(link_work.counters, words)
    again(link_work, partial(release, link_work, work.keys(number, number), counted=False))
