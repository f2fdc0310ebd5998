"""How the work on a link ended, as apply tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

from djlink_manifest.reconcile.runtime.batches import Tally
from djlink_manifest.reconcile.runtime.events import LinkOutcome, Status

_COUNTS = {f.name for f in fields(LinkOutcome)} & {f.name for f in fields(Tally)} - {
    "blocked"
}  # what both have, by name


def outcome_of(
    address: str,
    tally: Tally,
    started: float,
    status: Status,
    problem: str | None = None,
    hint: str | None = None,
) -> LinkOutcome:
    """What was done of a link, since `started` on the monotonic clock, and how it ended."""
    counts = {name: getattr(tally, name) for name in _COUNTS}
    seconds, blocked = time.monotonic() - started, tuple(tally.blocked)
    return LinkOutcome(
        address, status, problem=problem, hint=hint, seconds=seconds, blocked=blocked, **counts
    )


def ended(outcome: Callable[..., LinkOutcome], tally: Tally) -> LinkOutcome:
    """The outcome of work that went through: done, or failed where entities were refused."""
    if not tally.refused:
        return outcome("done", "; ".join(words for words in (tally.unmade, _left(tally)) if words) or None)
    refused, reasons = tally.refused - tally.objectless, "; ".join(tally.refusals)
    if not refused:
        return outcome(
            "failed",
            f"the external objects of {_counted(tally.objectless)} could not be copied: {reasons}",
            "repair them at the source, or exclude these entities with `where`; the others were pulled",
        )
    objectless = (
        f"; the objects of {_counted(tally.objectless)} could not be copied" if tally.objectless else ""
    )
    return outcome(
        "failed",
        f"the local server refused {_counted(refused)}{objectless}: {reasons}",
        "look for local rows with the same unique value, for missing parents, and for rows of your own that "
        "refer to part rows no longer at the source; the others were pulled and refilled",
    )


def _left(tally: Tally) -> str | None:
    """What is said of entities that were left as they are."""
    if not tally.aside:
        return None
    return (
        f"{_counted(tally.aside)} not refilled, because other rows refer to theirs; plan again to list "
        "those rows"
    )


def _counted(entities: int) -> str:
    return "1 entity" if entities == 1 else f"{entities:,} entities"


def committed(tally: Tally) -> int:
    """How many entities were committed in some way."""
    told = tally.deleted + tally.approved + tally.mended
    return tally.pulled + tally.refilled + tally.registered + tally.released + told
