"""Bringing entities that are here already to what the source has, in batches. Every step can be repeated."""

from __future__ import annotations

from functools import partial

from djlink_manifest.reconcile.observe.keys import changed_entities
from djlink_manifest.reconcile.plan.actions import Refill
from djlink_manifest.reconcile.runtime import batches as work
from djlink_manifest.reconcile.runtime.batches import Bench
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.transfer.insert import Budget
from djlink_manifest.servers.transfer.refresh import drop_scratch, refill_entities
from djlink_manifest.servers.transfer.reliance import Reliance, reliance_on


def refill(bench: Bench, action: Refill) -> None:
    """Refill the held and present entities whose rows differ from the source's, looked at anew.

    For `rows` also those that lack external objects here; for a `definition` also those that are asked back.

    So what an interrupted refill has done is not done again. Entities on whose rows others rely are left as
    they are, by the foreign keys as they are now. The first batch is small, as nobody knows yet
    what an entity holds.
    """
    verify, requested = action.cause == "rows", action.cause == "definition"
    lost = bench.objects.lost(bench.local, bench.source) if verify and bench.objects is not None else []
    with changed_entities(bench.link, bench.source, bench.local, lost, requested=requested) as changed:
        reliance = reliance_on(bench.local, bench.link) if changed.count else Reliance()
        first, size = 1, min(work.KEYS_AT_ONCE, work.BATCH_ENTITIES)
        while first <= changed.count:
            last = min(first + size - 1, changed.count)
            step = partial(_refill, bench, changed, reliance, requested)
            refuse = partial(_refuse, bench)
            spent, rows = work.halving(first, last, step, refuse)
            bench.advanced()
            work.stop_here(bench)
            size = work.fitting(spent, rows, last - first + 1)
            first = last + 1
        if changed.count:
            drop_scratch(bench.local, bench.link)


def _refill(
    bench: Bench, changed: KeyTable, reliance: Reliance, requested: bool, low: int, high: int
) -> Budget:
    budget = Budget(work.BATCH_BYTES, single=low == high)
    source, local, link = bench.source, bench.local, bench.link

    def step() -> None:
        budget.spent = budget.rows = 0
        work.bring(bench, changed, low, high)
        done = refill_entities(
            *(source, local, link, changed),
            first=low,
            last=high,
            budget=budget,
            reliance=reliance,
            check=bench.check,
            convert=bench.convert,
            requested=requested,
        )
        bench.tally.refilled += done.entities
        bench.tally.aside += done.aside

    work.again(bench, step)
    return budget


def _refuse(bench: Bench, number: int, words: str) -> None:
    """Count an entity that the local server does not take as the source has it; it stays as it is here."""
    bench.tally.unfilled += 1
    work.count_refusal(bench.tally, words)
