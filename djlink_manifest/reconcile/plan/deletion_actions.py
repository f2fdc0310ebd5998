"""Deletions as actions: what needs no decision, what an approval covers, the order of the kinds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.entity import Step
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.plan.actions import Action, Approve, Blocked, Claim, Delete, Mend
from djlink_manifest.reconcile.plan.messages import DELETION_REQUESTED, how_released
from djlink_manifest.reconcile.state.deletion_requests import (
    Closure,
    LinkDeletions,
    RequestSet,
    excess,
    moment,
    moment_text,
)


def certain(link: Link, steps: Mapping[Step, int]) -> tuple[Action, ...]:
    """What needs no decision: the local rows are gone, or were said to be."""
    found = list[Action]()
    if steps[Step.MEND]:
        found.append(Mend(link.source, steps[Step.MEND], "deletion approved, but still in outbound"))
    if steps[Step.APPROVE]:
        found.append(
            Approve(link.source, steps[Step.APPROVE], f"{DELETION_REQUESTED}, local rows already deleted")
        )
    return tuple(found)


def undecided(steps: Mapping[Step, int]) -> Iterator[Blocked]:
    """What is due in a link whose deletions could not be looked at, as its tables are incomplete."""
    hint = "apply once to complete the link's tables, then plan again"
    if steps[Step.AWAIT_REVIEW]:
        yield Blocked("review", f"{DELETION_REQUESTED}, not yet approved", steps[Step.AWAIT_REVIEW], hint)
    if steps[Step.DELETE_RELEASE]:
        words = "no longer wanted (`unwanted: release`), still present locally"
        yield Blocked("review", words, steps[Step.DELETE_RELEASE], hint)


def covered_by(approval: Approval, seen: LinkDeletions, requested: RequestSet) -> RequestSet:
    """The open requests that an approval is about."""
    if requested.until is None or moment(approval.until) >= requested.until:
        return requested
    return seen.earlier[approval.until]


def problem_of(covered: RequestSet, approval: Approval) -> str | None:
    """Why an approval does not hold for what it is about now, or None where it does."""
    if covered.keys != approval.keys or covered.count != approval.count:
        return f"the set has changed ({approval.count:,} approved, {covered.count:,} now)"
    more = excess(covered.closure, approval)
    if more:
        told = ", ".join(f"{a} {now:,} ({agreed:,} approved)" for a, now, agreed in more)
        return f"it now deletes more rows: {told}"
    return None


def deletion(
    closure: Closure, cause: str, reason: str, seen: LinkDeletions, approval: Approval | None = None
) -> Delete:
    """The deletion of a closure: under an approval bound to its digest and moment, else to what was seen."""
    keys = seen.requested.keys if cause == "auto" and seen.requested else None
    until = moment_text(seen.newest) if cause in ("granted", "auto") else None
    return Delete(
        closure.entities,
        closure.along,
        closure.rows,
        cause,  # type: ignore[arg-type]  # one of the causes, as text
        reason,
        keys=approval.keys if approval else keys,
        until=(approval.until or None) if approval else until,
        by=approval.by if approval else None,
        unheld=seen.unheld,
    )


def kept_by_own_rows(link: Link, closure: Closure, why: str) -> Blocked:
    """What of a closure stays, since rows that are not this manifest's refer to it, and how it gets free."""
    reasons, hints = list[str](), list[str]()
    for outbound in (True, False):
        found = [rows for rows in closure.lab if rows.outbound is outbound]
        tables = ", ".join(f"{rows.table} ({counted(rows.rows, 'row')})" for rows in found)
        if found and outbound:
            reasons.append(f"another lab links the local table and holds them: {tables}")
            hints.append(how_released(link))
        elif found:
            lines = "  ".join(rows.line for rows in found if rows.line)
            reasons.append(f"rows of your own depend on them: {tables}")
            hints.append("delete those rows yourself, then apply again" + (f": {lines}" if lines else ""))
    return Blocked("review", f"{why}; {'; '.join(reasons)}", closure.held, "; ".join(hints))


def turn(action: Action) -> int:
    """The place of a kind of deletion in a link's order.

    What is agreed to is claimed first. What is asked for is noted once it is known what of it stays. Orphans,
    which go in one transaction, come last.
    """
    match action:
        case Claim():
            return 0
        case Mend():
            return 1
        case Delete(cause=cause):
            return {"granted": 2, "approved": 3, "auto": 4, "unwanted": 5, "orphans": 8}[cause]
        case Approve():
            return 6
        case _:
            return 7
