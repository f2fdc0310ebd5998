"""Write the closing sentences of a plan."""

from __future__ import annotations

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.totals import Totals, of_plan
from djlink_manifest.report.screen.figures import counted, estimated, stored


def closing(plan: Plan) -> tuple[str, ...]:
    """Return the sentences on the planned changes, then on everything else."""
    totals = of_plan(plan)
    rest = _rest(totals)
    if plan.has_changes:
        removed = [f"{counted(totals.remove, 'link')} to remove{_releasing(plan)}"] if totals.remove else []
        return (f"Plan: {', '.join([*removed, *changes(totals, bool(removed))])}.", *rest)
    if totals.unchanged == totals.links and not plan.has_errors:
        up_to_date = "is up to date" if totals.links == 1 else "are up to date"
        noted = rest if totals.drifting or totals.kept or totals.forgotten else ()
        return (f"No changes. {counted(totals.links, 'link')} {up_to_date}.", *noted)
    return ("No changes to make.", *rest)


def left_over(plan: Plan) -> tuple[str, ...]:
    """Return the sentence on what an apply of the plan does not do, if any."""
    return _rest(of_plan(plan))


def changes(totals: Totals, more: bool) -> list[str]:
    """Return the planned changes in words; `more`: they may be none, since others are named beside them."""
    along = []
    if totals.part_rows:
        along.append(f"{totals.part_rows:,} of parts")
    if totals.objects:
        along.append(stored(totals.objects, totals.object_bytes))
    if totals.bytes:
        along.append(estimated(totals.bytes))
    volume = f" ({', '.join(along)})" if along else ""
    phrases = (
        (totals.create, f"{counted(totals.create, 'link')} to create"),
        (totals.complete, f"{counted(totals.complete, 'link')} to complete"),
        (totals.foreign_keys, f"{counted(totals.foreign_keys, 'foreign key')} to add"),
        (totals.views, f"owner views of {counted(totals.views, 'link')} to create"),
        (totals.alter, f"{counted(totals.alter, 'link')} to alter"),
        (totals.move, f"{counted(totals.move, 'link')} to move"),
        (totals.pull, f"{counted(totals.pull, 'row')} to pull{volume}"),
        (totals.resume, f"{totals.resume:,} to resume"),
        (totals.refill, f"{totals.refill:,} to refill"),
        (totals.register, f"{totals.register:,} to protect"),
        (totals.release, f"{totals.release:,} to release"),
        (totals.delete, f"{counted(totals.delete, 'row')} to delete locally{_in_total(totals)}"),
        (totals.approve, f"{totals.approve:,} to approve"),
        (totals.mend, f"{totals.mend:,} to repair"),
        (totals.note, f"requests of {counted(totals.note, 'link')} to record"),
    )
    said = [words for count, words in phrases if count]
    return said if said or more else ["no rows to change"]


def _releasing(plan: Plan) -> str:
    """The rows that removed links hold: an apply counts them among those that are released."""
    rows = sum(each.held for each in plan.removals if not each.blocked)
    return f" ({counted(rows, 'row')} to release)" if rows else ""


def _in_total(totals: Totals) -> str:
    """The rows that go, with parts and those of other links: what an apply counts too."""
    return f" ({counted(totals.delete_rows, 'row')} in total)" if totals.delete_rows > totals.delete else ""


def leftovers(totals: Totals) -> list[str]:
    """Return what is in the way, to be decided or unchanged, in words."""
    phrases = (
        (totals.unavailable, f"{counted(totals.unavailable, 'server')} unavailable"),
        (totals.refused, f"{counted(totals.refused, 'part')} of the manifest refused"),
        (totals.remove_blocked, f"{counted(totals.remove_blocked, 'removal')} blocked"),
        (totals.awaiting, f"{_sets(totals.awaiting)} approval ({counted(totals.awaiting_rows, 'row')})"),
        (totals.blocked, f"{counted(totals.blocked, 'link')} blocked"),
        (totals.blocked_rows, f"{counted(totals.blocked_rows, 'row')} blocked"),
        (totals.not_attempted, f"{totals.not_attempted:,} not attempted"),
        (totals.drifting, f"{totals.drifting:,} with drift"),
        (totals.kept, f"{counted(totals.kept, 'row')} kept"),
        (totals.forgotten, f"{counted(totals.forgotten, 'link')} forgotten{_holding(totals)}"),
        (totals.unchanged, f"{totals.unchanged:,} unchanged"),
    )
    return [words for count, words in phrases if count]


def _rest(totals: Totals) -> tuple[str, ...]:
    said = leftovers(totals)
    return (f"      {', '.join(said)}.",) if said else ()


def _holding(totals: Totals) -> str:
    return f" ({counted(totals.forgotten_rows, 'row')} still held)" if totals.forgotten_rows else ""


def _sets(count: int) -> str:
    return f"{counted(count, 'deletion set')} {'awaits' if count == 1 else 'await'}"
