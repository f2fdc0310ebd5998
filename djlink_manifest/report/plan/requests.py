"""Render requested deletions as lines, for `djlink requests`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.report.plan.deletions import closure_rows, decided_with, deletion_rows, request_rows
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.layout import Item, Rows
from djlink_manifest.report.screen.rows import NOTE, REVIEW, TROUBLE, Row
from djlink_manifest.report.screen.terminal import line


def request_lines(links: Sequence[LinkPlan]) -> list[Item]:
    """Return the requests of these links, with the rows that would be deleted too and the next step."""
    rows, named = list[Row](), {link.address for link in links}
    along = dict[str, list[tuple[str, int]]]()
    for link in links:
        root, requested = decided_with(link), link.requests.requested if link.requests else None
        if root is not None and root in named and requested is not None:
            along.setdefault(root, []).append((link.address, requested.closure.local))
    told = {address for of in along.values() for address, _ in of}
    for link in links:
        if link.requests and link.requests.request_groups and link.address not in told:
            most = len(link.requests.request_groups)
            found = deletion_rows(link, reasons=most, along=along.get(link.address, ()))
            rows += found or _idle(link)
    if not rows:
        looked_at = [link for link in links if link.observed]
        of = "these links" if len(looked_at) == len(links) else "the links whose requests could be read"
        return [line(f"No deletion is requested for {of}.")] if looked_at or not links else []
    count = sum(a.count for link in links if link.requests for a in link.requests.request_groups)
    total = line((f"Deletion of {counted(count, 'row')} requested.", "bold"))
    return [Rows(tuple(rows)), line(), total]


def unknown_lines(links: Iterable[LinkPlan]) -> list[Item]:
    """Return the links whose requests could not be read, and why."""
    rows = list[Row]()
    for link in links:
        for block in (b for b in link.blocked if b.whole and not link.observed):
            words = f"requests could not be read: {block.reason}"
            rows.append(Row(TROUBLE, link.address, words, str(link.location or "")))
            if block.hint:
                rows.append(Row(TROUBLE, "", f"next: {block.hint}", style="dim"))
    return [Rows(tuple(rows))]


def key_lines(address: str, keys: Iterable[Sequence[tuple[str, str]]]) -> Iterator[Text]:
    """Yield a line for the key of each requested row."""
    yield line()
    yield line((address, "bold"))
    for key in keys:
        yield line("  ", ", ".join(f"{name}={value}" for name, value in key))


def orphan_lines(plan: Plan, address: str) -> Iterator[Item]:
    """Yield a link's local rows without a source row, and the rows that would be deleted with them."""
    for link in plan.links:
        found = link.requests.orphans if link.requests and link.address == address else None
        if found is not None and found.count:
            words = (
                f"{counted(found.count, 'local row')} without a source row (deleted at the source or "
                "inserted locally)"
            )
            yield Rows((Row(REVIEW, address, words), *closure_rows(found.closure)))


def _idle(link: LinkPlan) -> Iterator[Row]:
    """Yield the requests that need no decision, because the requested rows are not held."""
    yield Row(NOTE, link.address, "not held: the requested rows are not pulled; nothing to approve")
    yield from request_rows(link)
