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
    Bench,
    again,
    bring,
    count_refusal,
    halving,
    release,
    stop_here,
)
from djlink_manifest.servers.entities.collision_table import StuckTable
from djlink_manifest.servers.entities.set_terms import all_is_pullable
from djlink_manifest.servers.keys.key_ranges import KeyRange, Ranges, has_ranges, held_in
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.transfer.batch import copy_entities, copy_range
from djlink_manifest.servers.transfer.insert import BatchTooLarge, Budget

SPREAD_ENTITIES, SPREAD_BYTES = 50_000, 256 << 20  # from here on a link is pulled by ranges, several at once


def pull(bench: Bench, action: Pull) -> None:
    """Pull pullable entities that are not held yet, those too that came after the plan.

    The plan's estimate sizes the first batch; what batches really hold sizes the next ones. Many are pulled
    in several ranges of the key at once. Entities that the plan shows as blocked are left out; later ones are
    for the local server to refuse.
    """
    if bench.resumed:
        # what the lost session registered and did not copy is in outbound now, and missing here
        _pull_missing(bench, whole=False)
    link, source = bench.link, bench.source
    bytes_each = action.bytes / action.entities if action.entities else 0.0
    with key_table(source, link, "work", looked_up=False) as work:
        with (
            differing_keys(link, True, True, source, bench.local) as (_, extra),
            _stuck(bench) as stuck,
        ):
            plain = not stuck and not (extra and extra.count) and all_is_pullable(bench.scene, link)
            large = action.entities >= SPREAD_ENTITIES or action.bytes >= SPREAD_BYTES
            spread = plain and large and bench.objects is None and has_ranges(link)
            if not spread:
                registrations.add_pullable(bench.scene, link, extra, work, stuck.name if stuck else None)
        _pull_keys(bench, work, bytes_each)
    if spread:
        _pull_ranges(bench, bytes_each)


def pull_again(bench: Bench, action: PullAgain) -> None:
    """Pull what is held and missing locally; `whole`: all that a table made anew had, pullable or not."""
    _pull_missing(bench, whole=action.whole)


def _pull_missing(bench: Bench, *, whole: bool) -> None:
    link, source = bench.link, bench.source
    with key_table(source, link, "work", looked_up=False) as work:
        with (
            differing_keys(link, True, True, source, bench.local) as (missing, _),
            _stuck(bench) as stuck,
        ):
            out = stuck.name if stuck else None
            if missing is not None and whole:
                registrations.add_lost(bench.scene, link, missing, work, "comes", stuck=out)
            elif missing is not None:
                registrations.add_missing(bench.scene, link, missing, work, pullable=True, stuck=out)
        _pull_keys(bench, work, 0.0)


@contextmanager
def _stuck(bench: Bench) -> Iterator[StuckTable | None]:
    """The entities that the plan shows as blocked, in a temporary table; None where there are none."""
    blocked = bench.found.blocked.get(bench.link.address)
    if not blocked:
        yield None
        return
    with StuckTable(bench.source, bench.link, "stuck") as stuck:
        stuck.add(blocked)
        yield stuck


def _pull_ranges(bench: Bench, bytes_each: float) -> None:
    """Pull ranges, several at once, each by sessions of its own; after an error no further one is begun."""
    ranges, failed = Ranges(bench.link), threading.Event()

    def work(mine: Bench, helping: bool) -> None:
        size = sizes.batch_size(bytes_each, 1.0)
        try:
            while not failed.is_set() and not (helping and bench.helpers.crowded()):
                within = ranges.take(mine.source, size)
                if within is None:
                    return
                size = _pull_range(mine, within, bytes_each, size)
                bench.advanced()
                stop_here(bench)
        except BaseException:
            failed.set()
            raise

    def help_out(_: int) -> None:
        with bench.helpers.lend() as lent:
            if lent is not None:
                work(replace(bench, source=lent[0], local=lent[1]), helping=True)

    count = bench.helpers.most - 1
    with ThreadPoolExecutor(max(1, count), thread_name_prefix="djlink") as threads:
        helping = [threads.submit(help_out, number) for number in range(count)]
        work(bench, helping=False)
    for each in helping:
        each.result()


def _pull_range(bench: Bench, within: KeyRange, bytes_each: float, size: int) -> int:
    """Pull the entities of a range of the key that are not held yet; how many the next range shall hold.

    `size` is how many this one was to hold.
    """
    if held_in(bench.source, bench.link, within):
        with key_table(bench.source, bench.link, "work", looked_up=False) as work:
            registrations.add_pullable(bench.scene, bench.link, None, work, within=within)
            _pull_keys(bench, work, bytes_each)
        return size
    spent, rows, entities = _whole_range(bench, within)
    return sizes.fitting(spent, rows, entities) if entities else size


def _whole_range(bench: Bench, within: KeyRange) -> tuple[int, int, int]:
    """Register and copy the source's rows in a range of which nothing is held; bytes, rows, entities."""
    held = 0

    def register() -> None:
        nonlocal held
        with bench.source.transaction():
            held = registrations.register_range(bench.source, bench.scene, bench.link, within)
            bench.check()

    budget = Budget(sizes.BATCH_BYTES)

    def copy() -> None:
        budget.spent = budget.rows = 0
        entities = copy_range(
            *(bench.source, bench.local, bench.link, within), held=held, budget=budget, check=bench.check
        )
        _count(bench, entities, budget)
        found.append(entities)

    found = list[int]()
    again(bench, register, passing=SOURCE_ROW_GONE)
    try:
        again(bench, copy)
    except (RowsRefused, BatchTooLarge):
        # it is registered: entities at fault are found one by one
        with key_table(bench.source, bench.link, "work", looked_up=False) as work:
            registrations.add_held(bench.link, work, within)
            _pull_keys(bench, work, budget.spent / max(1, work.count))
            return budget.spent, budget.rows, work.count
    return budget.spent, budget.rows, found[0]


def _pull_keys(bench: Bench, work: KeyTable, bytes_each: float) -> None:
    size = sizes.batch_size(bytes_each, 1.0)
    first = 1
    while first <= work.count:
        last = min(first + size - 1, work.count)
        spent, rows = _batch(bench, work, first, last)
        bench.advanced()
        stop_here(bench)
        size = sizes.fitting(spent, rows, last - first + 1)
        first = last + 1


def _batch(bench: Bench, work: KeyTable, first: int, last: int) -> tuple[int, int]:
    """Register a range, then copy it; the bytes and rows copied."""
    register = partial(_register, bench, work, first, last)
    try:
        again(bench, partial(register, blindly=registrations.refers_by_key(bench.link)))
    except RowsRefused as error:
        if error.code not in SOURCE_ROW_GONE:
            raise
        again(bench, partial(register, blindly=False), passing=SOURCE_ROW_GONE)
    return halving(first, last, partial(_copy, bench, work), partial(_refuse, bench, work))


def _register(bench: Bench, work: KeyTable, first: int, last: int, *, blindly: bool) -> None:
    with bench.source.transaction():
        among = (bench.source, bench.scene, bench.link, work)
        registrations.register(*among, first=first, last=last, blindly=blindly)
        bench.check()


def _copy(bench: Bench, work: KeyTable, low: int, high: int) -> Budget:
    budget = Budget(sizes.BATCH_BYTES, single=low == high)

    def step() -> None:
        budget.spent = budget.rows = 0
        bring(bench, work, low, high)
        entities = copy_entities(
            *(bench.source, bench.local, bench.link, work),
            first=low,
            last=high,
            budget=budget,
            check=bench.check,
            convert=bench.convert,
        )
        _count(bench, entities, budget)

    again(bench, step)
    return budget


def _count(bench: Bench, entities: int, budget: Budget) -> None:
    with bench.tally.guard:
        bench.tally.pulled += entities
        bench.tally.rows += budget.rows
        bench.tally.bytes += budget.spent


def _refuse(bench: Bench, work: KeyTable, number: int, words: str) -> None:
    """Count an entity that the local server does not take, and let go of it at the source."""
    count_refusal(bench.tally, words)
    again(bench, partial(release, bench, work.keys(number, number), counted=False))
