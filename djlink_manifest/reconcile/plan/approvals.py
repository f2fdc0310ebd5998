"""From what awaits approval in a plan to the approvals of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.reconcile.plan.actions import Delete
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.state.deletion_requests import RequestSet, moment_text

SPOKEN = Location("typed at the terminal", 1, 1)


def approvals_of(plan: Plan, by: str, day: str, of: str | None = None) -> tuple[Approval, ...]:
    """Approvals of all that the plan says awaits one, in its present state, or of one link.

    Entities that are deleted with an approved set of another link get no approval of their own, unless `of`
    names their link.
    """
    found = (pair for pair in awaiting(plan) if of in (None, pair[0].address))
    return tuple(
        _approval(link, requested, by, day) for link, requested in found if of is not None or _is_root(link)
    )


def approval_of_orphans(link: LinkPlan, by: str, day: str) -> Approval | None:
    """The approval that names all orphans of a link, for which the plan has looked; None for none."""
    found = link.requests.orphans if link.requests else None
    if found is None or not found.count or not link.observed:
        return None
    return Approval.model_construct(
        origin=Origin.outside(link.location or SPOKEN),
        link=link.address,
        keys=found.keys,
        count=found.count,
        until="",
        along=found.closure.whole,
        by=by,
        date=day,
        orphans=True,
    )


def standing(
    link: LinkPlan | None, given: Sequence[Approval], approvals: Iterable[Approval], *, orphans: bool
) -> Approval | None:
    """The approval that covers what a new one would (`given`), or all that was requested; None for none."""
    if link is None:
        return None
    of_link = [each for each in approvals if each.link == link.address and each.orphans == orphans]
    for new in given:
        same = (new.keys, new.count, new.until, dict(new.along))
        found = (a for a in of_link if (a.keys, a.count, a.until, dict(a.along)) == same)
        if (found_one := next(found, None)) is not None:
            return found_one
    cause = "orphans" if orphans else "approved"
    going = {a.keys for a in link.actions if isinstance(a, Delete) and a.cause == cause}
    if given and not orphans:
        return None  # a part of what is requested may be approved
    return next((each for each in of_link if each.keys in going), None)


def awaiting(plan: Plan) -> Iterator[tuple[LinkPlan, RequestSet]]:
    """The links that await an approval, each with all of its open requests that nobody has granted."""
    for link in plan.links:
        requested = link.requests.requested if link.requests else None
        # of what was approved before nobody can be asked again: it is in no set
        if requested is None or not requested.count or not requested.closure.local or not link.observed:
            continue
        going = [a for a in link.actions if isinstance(a, Delete) and a.cause in ("approved", "auto")]
        if sum(a.entities for a in going) < requested.closure.local - _held(link):
            yield link, requested


def _is_root(link: LinkPlan) -> bool:
    """Whether its requests are decided by themselves, and not with those of a link above it."""
    if link.requests is None or link.requests.root is None:
        return True
    return any(block.kind == "review" and block.root is None for block in link.blocked)


def _held(link: LinkPlan) -> int:
    """Entities of which only rows of the lab's own keep, though they may go."""
    requested = link.requests.requested if link.requests else None
    agreed = any(isinstance(a, Delete) and a.cause in ("approved", "auto") for a in link.actions)
    return requested.closure.held if requested and agreed else 0


def _approval(link: LinkPlan, requested: RequestSet, by: str, day: str) -> Approval:
    assert requested.until is not None, "a set that is not empty has a latest request"
    return Approval.model_construct(
        origin=Origin.outside(link.location or SPOKEN),
        link=link.address,
        keys=requested.keys,
        count=requested.count,
        until=moment_text(requested.until),
        along=requested.closure.whole,
        by=by,
        date=day,
    )
