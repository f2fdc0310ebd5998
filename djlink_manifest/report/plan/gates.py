"""What of a plan a pipeline may want to fail for, beyond errors: `plan --fail-on`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.totals import of_plan
from djlink_manifest.report.screen.figures import counted

Gate = Literal["drift", "review", "forgotten", "blocked"]
GATES: tuple[Gate, ...] = get_args(Gate)


def closed_gates(plan: Plan, chosen: Collection[Gate]) -> dict[Gate, str]:
    """Return which of the chosen gates the plan does not pass, each with what closes it."""
    totals = of_plan(plan)
    stopped = totals.blocked + totals.not_attempted
    blocked = (
        (totals.unavailable, counted(totals.unavailable, "server") + " unavailable"),
        (totals.refused, counted(totals.refused, "part") + " of the manifest refused"),
        (stopped, counted(stopped, "link") + " blocked"),
        (totals.blocked_rows, counted(totals.blocked_rows, "row") + " blocked"),
        (totals.remove_blocked, counted(totals.remove_blocked, "removal") + " blocked"),
    )
    found: dict[Gate, tuple[tuple[int, str], ...]] = {
        "drift": ((totals.drifting, counted(totals.drifting, "link") + " with drift"),),
        "review": ((totals.awaiting, f"{counted(totals.awaiting, 'deletion set')} not approved"),),
        "forgotten": ((totals.forgotten, counted(totals.forgotten, "link") + " forgotten"),),
        "blocked": blocked,
    }
    words = {
        gate: ", ".join(each for count, each in found[gate] if count) for gate in GATES if gate in chosen
    }
    return {gate: each for gate, each in words.items() if each}
