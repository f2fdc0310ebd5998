"""How the work on a link ended, as apply tells it."""

from __future__ import annotations

import time
from collections.abc import Callable

from djlink_manifest.model.counting import counted
from djlink_manifest.reconcile.runtime.batches import Counters
from djlink_manifest.reconcile.runtime.events import LinkOutcome, Status


def outcome_of(
    address: str,
    counters: Counters,
    started: float,
    status: Status,
    problem: str | None = None,
    hint: str | None = None,
) -> LinkOutcome:
    """What was done of a link, since `started` on the monotonic clock, and how it ended."""
    return LinkOutcome(
        address,
        status,
        counters.counts,
        problem=problem,
        hint=hint,
        seconds=time.monotonic() - started,
        blocked=tuple(counters.blocked),
    )


def ended(outcome: Callable[..., LinkOutcome], counters: Counters) -> LinkOutcome:
    """The outcome of work that went through: done, or failed where entities were refused."""
    if not counters.counts.refused:
        return outcome(
            "done", "; ".join(words for words in (counters.unmade, _left(counters)) if words) or None
        )
    refused, reasons = counters.counts.refused - counters.objectless, "; ".join(counters.refusals)
    if not refused:
        return outcome(
            "failed",
            f"the external objects of {_counted(counters.objectless)} could not be copied: {reasons}",
            "repair them at the source, or exclude these entities with `where`; the others were pulled",
        )
    objectless = (
        f"; the objects of {_counted(counters.objectless)} could not be copied" if counters.objectless else ""
    )
    return outcome(
        "failed",
        f"the local server refused {_counted(refused)}{objectless}: {reasons}",
        "look for local rows with the same unique value, for missing parents, and for rows of your own that "
        "refer to part rows no longer at the source; the others were pulled and refilled",
    )


def _left(counters: Counters) -> str | None:
    """What is said of entities that were left as they are."""
    if not counters.aside:
        return None
    return (
        f"{_counted(counters.aside)} not refilled, because other rows refer to theirs; plan again to list "
        "those rows"
    )


def _counted(entities: int) -> str:
    return counted(entities, "entity", "entities")
