"""Whether a plan that was kept still stands: what moved since, link by link. Pure.

What is made anew must be part of what was kept: its tables and notes must be in it, what deletes or gives up
protection must be equal, and rows may come in any number, or in as many more as `Growth` says. So what an
interrupted apply of the same plan did already is no difference, unless it let something go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.link import Growth
from djlink_manifest.reconcile.plan.actions import Approve, Claim, Delete, GiveUp, Mend, Release
from djlink_manifest.reconcile.plan.bounds import Bound, Letting
from djlink_manifest.reconcile.plan.outline import LinkOutline, PlanOutline

LET_GO = {
    Delete: "to delete locally",
    Approve: "to approve",
    Mend: "to repair",
    Release: "to release",
    GiveUp: "to release or approve",
}


@dataclass(frozen=True, slots=True)
class PlanChange:
    """One thing that is otherwise than in the plan that was kept: of which link or server, and what."""

    address: str
    words: str


def changes_since(kept: PlanOutline, now: PlanOutline, growth: Growth | None) -> tuple[PlanChange, ...]:
    """All that is otherwise now; nothing where the plan that was kept may be applied."""
    found = [PlanChange(name, f"it is an error now: {reason}") for name, reason in now.errors]
    for address in sorted(kept.links.keys() | now.links.keys()):
        planned, fresh = kept.links.get(address), now.links.get(address)
        if planned is None:
            found.append(PlanChange(address, "it is a link now, and the plan does not have it"))
        elif fresh is None:
            found.append(PlanChange(address, "it is in the plan, and no link now"))
        else:
            found += (PlanChange(address, words) for words in _of_link(planned, fresh, growth))
    for address in sorted(kept.removals.keys() | now.removals.keys()):
        if kept.removals.get(address) != now.removals.get(address):
            found.append(PlanChange(address, _removal(kept.removals.get(address), now.removals.get(address))))
    return tuple(found)


def _of_link(planned: LinkOutline, now: LinkOutline, growth: Growth | None) -> Iterator[str]:
    yield from (f"it is blocked now: {reason}" for reason in now.errors if reason not in planned.errors)
    for side in ("source", "local"):
        if planned.definitions.get(side) != now.definitions.get(side):
            what = "the source table" if side == "source" else "what the local table is to be"
            yield f"{what} has another definition now"
    yield from _tables(planned, now)
    yield from _letting(planned, now)
    yield from _comes(planned, now, growth)


def _tables(planned: LinkOutline, now: LinkOutline) -> Iterator[str]:
    known = {bound.what for bound in planned.tables}
    for bound in now.tables:
        if bound not in planned.tables:
            words = "would be made in another way now" if bound.what in known else "is not in the plan"
            yield f"{bound.what} {words}"
    if not any(bound not in planned.tables for bound in now.tables):
        yield from (f"{name}: the plan does not show it" for name in sorted(now.shown - planned.shown))


def _letting(planned: LinkOutline, now: LinkOutline) -> Iterator[str]:
    before, after = list(planned.letting), list(now.letting)
    for each in planned.letting:
        if each in after:
            before.remove(each)
            after.remove(each)
    for kind, what in ((Claim, ""), *LET_GO.items()):
        was = [action for action, _ in before if isinstance(action, kind)]
        is_now = [action for action, _ in after if isinstance(action, kind)]
        if was or is_now:
            words = _claims(was, is_now) if kind is Claim else _change(was, is_now, what)
            yield f"{words}: a request came in since" if _is_requested_since(was, is_now) else words


def _change(was: list[Letting], is_now: list[Letting], what: str) -> str:
    planned, found = (sum(action.entities for action in each) for each in (was, is_now))
    if planned == found:
        return f"{_rows(planned)} {what} in the plan; now as many, but others or in another way"
    return f"{_rows(planned)} {what} in the plan; now {found:,}"


def _claims(was: list[Letting], is_now: list[Letting]) -> str:
    planned, found = (sum(action.entities for action in each) for each in (was, is_now))
    if not was:
        return f"the approval of {counted(found, 'request')} is not in the plan"
    words = f"the approval of {counted(planned, 'request')} is in the plan"
    if not is_now:
        return f"{words}; now none holds"
    return f"{words}; now of {found:,}" if found != planned else f"{words}; now of as many other requests"


def _is_requested_since(was: list[Letting], is_now: list[Letting]) -> bool:
    """Whether a request came in since, of a link whose requests need no approval."""
    before, after = (
        max((a.until or "" for a in each if isinstance(a, Delete) and a.cause == "auto"), default="")
        for each in (was, is_now)
    )
    return bool(after) and after > before


def _comes(planned: LinkOutline, now: LinkOutline, growth: Growth | None) -> Iterator[str]:
    if growth is not None:
        most = planned.comes + growth.rows(planned.source_rows)
        if now.comes > most:
            yield f"{_rows(planned.comes)} to come in the plan; now {now.comes:,}, and at most {most:,} may"
    if now.again_whole and not planned.again_whole:
        yield "its local table was dropped, and all that is held is to come again"
    for cause, entities in now.refills.items():
        if cause not in planned.refills:
            yield f"{_rows(entities)} to refill that the plan does not have"
        elif cause == "rows" and entities != planned.refills[cause]:
            yield f"{_rows(planned.refills[cause])} to refill in the plan; now {entities:,}"


def _removal(planned: Bound | None, now: Bound | None) -> str:
    if planned is None:
        return "it is to be removed now, and the plan does not remove it"
    return "its removal is no longer due" if now is None else "its removal would do something else now"


def _rows(count: int) -> str:
    return counted(count, "row")
