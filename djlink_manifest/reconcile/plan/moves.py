"""Plans of links that have another name now, and of those that wait for them. Pure.

Their rows are not looked at before the tables have their present names: the next plan does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from djlink_manifest.manifest.models.values import Moved
from djlink_manifest.reconcile.plan.actions import LOCAL, Blocked, Move
from djlink_manifest.reconcile.state.moves import LinkMove

INTERRUPTED = "an apply that moved it was interrupted"
REFERRED = "the tables that its definition names were renamed at the source"
LATER = "its rows are compared by the next plan, after the move"


def move_action(due: LinkMove, source: str, lineage: tuple[str, ...]) -> Move:
    """The action that carries a move out."""
    reason = REFERRED if not due.has_names and not due.interrupted else "`moved`"
    return Move(
        due.before,
        tuple((".".join(old), ".".join(new)) for old, new in due.tables),
        INTERRUPTED if due.interrupted else reason,
        server=source if due.source is not None else LOCAL,
        due=due,
        lineage=lineage,
    )


def deferral(moving: Iterable[str]) -> Blocked:
    """Why nothing is done for a link that is connected with links that move."""
    named = sorted(moving)
    shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    return Blocked("upstream", f"waits for the move of {shown}; the next plan goes on", whole=True)


def unused(entries: Iterable[Moved]) -> Iterator[str]:
    """Words for entries by which nothing is left to move."""
    for entry in entries:
        words = f"{entry.location}: `moved` from `{entry.before}` to `{entry.to}`"
        yield f"{words}: nothing is left to move; remove the entry once all who use this manifest have moved"
