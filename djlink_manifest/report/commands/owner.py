"""Render the owner's view: who holds which rows, which deletions are requested, approved or awaited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from djlink_manifest.model.links.holding import Done, LinkHolding, TableHolding, Unreadable
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.layout import Item, Rows
from djlink_manifest.report.screen.rows import NOTE, Row
from djlink_manifest.report.screen.terminal import line

JSON = dict[str, Any]
HOUR, DAY = 3600, 86_400


def age(seconds: int) -> str:
    """Return a duration in words: `12 days`, `5 hours`, `less than an hour`."""
    if seconds >= DAY:
        return counted(seconds // DAY, "day")
    return counted(seconds // HOUR, "hour") if seconds >= HOUR else "less than an hour"


def board_lines(tables: Sequence[TableHolding]) -> Iterator[Item]:
    """Return each table with a line for each lab and the state of its requests."""
    for number, table in enumerate(tables):
        if number:
            yield line()
        rows = "" if table.rows is None else f"  {counted(table.rows, 'row')}"
        yield line((table.name, "bold"), rows)
        if not table.links:
            yield line(("  no lab has linked it", "dim"))
        labs = (
            Row(NOTE, each.link.lab, _has(each), style="" if each.held else "dim") for each in table.links
        )
        yield Rows(tuple(labs))
        for sentence in progress(table):
            yield line((f"  {sentence}", "bold"))


def progress(table: TableHolding) -> Iterator[str]:
    """Yield sentences on the requests of a table: `2 of 3 labs approved; waiting for …, 12 days`."""
    requested, agreed = table.requested, table.agreed
    if requested:
        requested_held = sorted(
            (s for s in requested if s.requested_held), key=lambda s: -s.requested_seconds
        )
        who = "; ".join(f"{s.link.lab}, {age(s.requested_seconds)}" for s in requested_held)
        labs = f"{len(agreed)} of {counted(len(requested), 'lab')} approved"
        yield f"{labs}; waiting for {who}" if who else f"{labs}: the source can delete the approved rows"
    unheld = max((each.requested - each.requested_held for each in table.links), default=0)
    if unheld:
        yield f"{counted(unheld, 'row')} requested that a lab does not hold: the lab will not pull them"


def touched_lines(tables: Sequence[TableHolding]) -> Iterator[Item]:
    """Yield the tables that a request or a deletion concerns, dependents first, with who holds their rows."""
    rows = list[Row]()
    for table in tables:
        held = [f"{each.link.lab} {each.held:,}" for each in table.links if each.held]
        who = f"held by {', '.join(held)}" if held else ("held by no lab" if table.links else "not linked")
        rows.append(Row(NOTE, table.name, f"{counted(table.rows or 0, 'row')}, {who}"))
    yield Rows(tuple(rows))


def done_lines(done: Sequence[Done], what: str) -> Iterator[Text]:
    """Yield a line for each table and lab with changed rows."""
    for each in done:
        if each.count:
            whom = f" of {each.link.lab}" if each.link else ""
            yield line(f"  {each.name}{whom}: {counted(each.count, 'row')} {what}")


def unreadable_lines(unreadable: Sequence[Unreadable]) -> Iterator[Text]:
    """Yield the schemas and links that cannot be read, with the next step."""
    for each in unreadable:
        yield line((f"{each.schema} cannot be read: {each.reason}", "yellow"))
        yield line((f"  next: {each.hint}", "dim"))


def board_json(tables: Sequence[TableHolding], unreadable: Sequence[Unreadable]) -> JSON:
    """Return the tables and the unreadable schemas as a JSON value."""
    return {
        "format_version": 1,
        "tables": [_table(table) for table in tables],
        "unreadable": [asdict(each) for each in unreadable],
    }


def done_json(done: Sequence[Done]) -> list[JSON]:
    """Return the changed rows by table and lab as JSON values."""
    return [
        {
            "table": ".".join(each.table),
            "name": each.name,
            "manifest": each.link.manifest if each.link else None,
            "contact": each.link.contact if each.link else None,
            "rows": each.count,
        }
        for each in done
    ]


def _table(table: TableHolding) -> JSON:
    return {
        "table": ".".join(table.table),
        "name": table.name,
        "rows": table.rows,
        "asked": len(table.requested),
        "approved": len(table.agreed),
        "links": [
            {
                "manifest": each.link.manifest,
                "contact": each.link.contact,
                "views": f"{each.link.schema}.{each.link.base}",
                "held": each.held,
                "since": each.since.isoformat() + "Z" if each.since else None,
                "requested": each.requested,
                "waiting": each.requested_held,
                "waiting_seconds": each.requested_seconds,
                "approved": each.approved,
            }
            for each in table.links
        ],
    }


def _has(each: LinkHolding) -> str:
    words = [
        f"{counted(each.held, 'row')} held since {each.since:%Y-%m-%d}"
        if each.held and each.since
        else "holds no row"
    ]
    if each.requested_held:
        words.append(f"{each.requested_held:,} requested")
    if each.approved:
        words.append(f"{each.approved:,} approved")
    return " · ".join(words)
