"""Render the status, one line per link: counts, pending changes, and what blocks them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.text import head_lines, refusal_lines
from djlink_manifest.report.plan.totals import of_link
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.layout import Hanging, Item
from djlink_manifest.report.screen.terminal import line, plain

HEADINGS = ("link", "source", "outbound", "local", "pending")


def status_lines(plan: Plan) -> list[Item]:
    """Return the servers, the links by address, the refusals, and the closing sentences of the plan."""
    cells = [
        (
            link.address,
            *_figures(link),
            _pending(link),
        )
        for link in sorted(plan.links, key=lambda each: each.address)
    ]
    widths = [max(cell_len(plain(row[i])) for row in [HEADINGS, *cells]) for i in range(4)]
    lines: list[Item] = [*head_lines(plan), line()]
    if cells:
        lines.append(_row(HEADINGS, widths, "bold"))
        hang = sum(widths) + 2 * len(widths)
        lines += [Hanging(_row(row, widths, ""), hang) for row in cells]
    if plan.refusals:
        lines += [line(), line(("Refused", "bold")), *refusal_lines(plan.refusals)]
    return [*lines, line(), *(line((sentence, "bold")) for sentence in closing(plan))]


def _figures(link: LinkPlan) -> Sequence[str]:
    """The counts of a link; of one that is to be moved first nothing was counted."""
    counts = (link.source_rows, link.outbound_rows, link.local_rows)
    return ["-"] * 3 if of_link(link).move else [f"{count:,}" for count in counts]


def _row(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    address, *figures, pending = cells
    padded = address + " " * (widths[0] - cell_len(plain(address)))
    numbers = [" " * (width - len(each)) + each for each, width in zip(figures, widths[1:], strict=True)]
    return line((padded, "bold"), *((f"  {each}", style) for each in numbers), (f"  {pending}", style))


def _pending(link: LinkPlan) -> str:
    stops = [_stop(block.reason, block.kind) for block in link.blocked if block.whole]
    totals = of_link(link)
    phrases = (
        (totals.create, "to create"),
        (totals.complete, "tables to complete"),
        (totals.foreign_keys, f"{counted(totals.foreign_keys, 'foreign key')} to add"),
        (totals.views, "owner views to create"),
        (totals.alter, "tables to alter"),
        (totals.move, "to move"),
        (totals.pull, f"{totals.pull:,} to pull"),
        (totals.resume, f"{totals.resume:,} to resume"),
        (totals.refill, f"{totals.refill:,} to refill"),
        (totals.register, f"{totals.register:,} to protect"),
        (totals.release, f"{totals.release:,} to release"),
        (totals.delete, f"{totals.delete:,} to delete locally"),
        (totals.approve, f"{totals.approve:,} to approve"),
        (totals.mend, f"{totals.mend:,} to repair"),
        (totals.note, "requests to record"),
        (totals.awaiting, f"{counted(totals.awaiting_rows, 'row')} awaiting approval"),
        (totals.blocked_rows, f"{counted(totals.blocked_rows, 'row')} blocked"),
        (totals.drifting, "drift"),
        (totals.kept, f"{totals.kept:,} kept"),
    )
    due = [words for count, words in phrases if count]
    return " · ".join([*(["; ".join(stops)] if stops else []), *due]) or "up to date"


def _stop(reason: str, kind: str) -> str:
    return reason if kind == "upstream" else f"blocked: {reason}"
