"""Bringing entities that are here already to what the source has, in batches. Every step can be repeated."""

from __future__ import annotations

from functools import partial

from djlink_manifest.reconcile.observe.keys import changed_entities
from djlink_manifest.reconcile.plan.actions import Refill
from djlink_manifest.reconcile.runtime import batches as work
from djlink_manifest.reconcile.runtime.batches import LinkWork
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.transfer.insert import Budget
from djlink_manifest.servers.transfer.refresh import drop_scratch, refill_entities
from djlink_manifest.servers.transfer.reliance import Reliance, reliance_on


def refill(link_work: LinkWork, action: Refill) -> None:
    """Refill the held and present entities whose rows differ from the source's, looked at anew.

    For `rows` also those that lack external objects here; for a `definition` also those that are asked back.

    So what an interrupted refill has done is not done again. Entities on whose rows others rely are left as
    they are, by the foreign keys as they are now. The first batch is small, as nobody knows yet
    what an entity holds.
    """
    verify, requested = action.cause == "rows", action.cause == "definition"
    lost = (
        link_work.objects.lost(link_work.local, link_work.source)
        if verify and link_work.objects is not None
        else []
    )
    links = link_work.source_links.standing
    with changed_entities(
        link_work.link, link_work.source, link_work.local, links, lost, requested=requested
    ) as found:
        changed = found.refillable
        reliance = reliance_on(link_work.local, link_work.link) if changed.count else Reliance()
        first, size = 1, min(work.KEYS_AT_ONCE, work.BATCH_ENTITIES)
        while first <= changed.count:
            last = min(first + size - 1, changed.count)
            step = partial(_refill, link_work, changed, reliance, requested)
            refuse = partial(_refuse, link_work)
            spent, rows = work.halving(first, last, step, refuse)
            link_work.advanced()
            work.check_stop(link_work)
            size = work.fitting(spent, rows, last - first + 1)
            first = last + 1
        if changed.count:
            drop_scratch(link_work.local, link_work.link)


def _refill(
    link_work: LinkWork, changed: KeyTable, reliance: Reliance, requested: bool, low: int, high: int
) -> Budget:
    budget = Budget(work.BATCH_BYTES, single=low == high)
    source, local, link = link_work.source, link_work.local, link_work.link

    def step() -> None:
        budget.spent = budget.rows = 0
        work.bring(link_work, changed, low, high)
        done = refill_entities(
            *(source, local, link, changed),
            first=low,
            last=high,
            budget=budget,
            reliance=reliance,
            check=link_work.check,
            convert=link_work.convert,
            requested=requested,
        )
        link_work.counters.add(Counts(refilled=done.entities))
        link_work.counters.aside += done.aside

    work.again(link_work, step)
    return budget


def _refuse(link_work: LinkWork, number: int, words: str) -> None:
    """Count an entity that the local server does not take as the source has it; it stays as it is here."""
    link_work.counters.unfilled += 1
    work.count_refusal(link_work.counters, words)
