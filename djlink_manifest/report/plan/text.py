"""Render the plan screen as lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.state.snapshot import Forgotten, Refusal, ServerFacts
from djlink_manifest.report.plan.against import Against, against_rows
from djlink_manifest.report.plan.by_schema import foldable, new_rows, summary_rows
from djlink_manifest.report.plan.deletions import all_deletions
from djlink_manifest.report.plan.link_rows import blocked_below, error_rows, is_shown, link_rows
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.totals import is_blocked_above
from djlink_manifest.report.screen.figures import counted, duration, listed
from djlink_manifest.report.screen.layout import Flow, Item, Rows
from djlink_manifest.report.screen.rows import DELETE, LEGEND, NOTE, STYLES, TROUBLE, Row
from djlink_manifest.report.screen.terminal import line, plain

Detail: TypeAlias = Literal["full", "links", "schemas", "closing"]
DELETIONS = "Deletions (children first)"
REMOVED = "Removed links"
FORGOTTEN = "Forgotten: links that this manifest holds but no longer declares"


def plan_lines(plan: Plan, against: Against | None = None, detail: Detail = "links") -> list[Item]:
    """Return the whole screen: head, legend, waves, deletions, refused and forgotten links, closing lines.

    Unchanged links are counted, and listed only with drift, warnings or kept rows. Many new links are told by
    schema, unless `detail` is "full"; "schemas" tells all of them so, and "closing" errors and the closing
    lines alone.
    """
    if detail == "closing":
        return [*_error_lines(plan), *(line((sentence, "bold")) for sentence in closing(plan))]
    named = sections(plan, detail)
    if against is not None:
        named.append((f"Compared with {against.name}", list(against_rows(against))))
    lines: list[Item] = [*head_lines(plan), *_legend({row.symbol for _, rows in named for row in rows})]
    for title, rows in named:
        if rows:
            lines += [line(), line((title, "bold")), Rows(tuple(rows))]
    return [*lines, line(), *(line((sentence, "bold")) for sentence in closing(plan))]


def sections(plan: Plan, detail: Detail = "full") -> list[tuple[str, list[Row]]]:
    """Return the titled sections of the screen, including empty ones."""
    folded = foldable(plan.links) if detail == "links" else frozenset()
    new = [link for link in plan.links if link.address in folded]
    short = detail == "schemas"
    return [
        *([("Links by schema", summary_rows(plan.links))] if short else []),
        ("New links by schema", new_rows(new)),
        *([] if short else _waves(plan, folded)),
        (
            DELETIONS,
            all_deletions(plan, short=short),
        ),
        (REMOVED, [row for each in plan.removals for row in _removal_rows(each)]),
        ("Refused", [row for refusal in plan.refusals for row in _refusal_rows(refusal)]),
        (
            FORGOTTEN,
            [row for f in plan.forgotten for row in _forgotten_rows(f)],
        ),
        ("Warnings", [Row(NOTE, "", words, style="yellow") for words in plan.warnings]),
    ]


def _error_lines(plan: Plan) -> list[Item]:
    """Return what makes the plan one with errors: servers, links, removals and parts of the manifest."""
    below = blocked_below(plan.links)
    rows = [
        *(row for link in plan.links for row in error_rows(link, below.get(link.address, ()))),
        *(row for removal in plan.removals if removal.blocked for row in _removal_rows(removal)),
        *(row for refusal in plan.refusals for row in _refusal_rows(refusal)),
    ]
    servers = [server for server in (plan.local, *plan.sources) if server.problem]
    found: list[Item] = [*_server_lines(servers), *([Rows(tuple(rows))] if rows else [])]
    return [*found, line()] if found else []


def refusal_lines(refusals: Iterable[Refusal]) -> list[Item]:
    """Return the refused parts of the manifest, each with the next step."""
    return [Rows(tuple(row for refusal in refusals for row in _refusal_rows(refusal)))]


def head_lines(plan: Plan) -> Iterator[Text]:
    """Yield the manifest, the local server, and a line for each source server."""
    local = plan.local
    version = f" ({local.vendor} {local.version})" if local.vendor else ""
    yield line(
        ("Manifest ", "bold"),
        listed(plan.files, 3) or plan.manifest,
        (f" @ {plan.digest[:7]}", "dim"),
        " → local ",
        (local.host, "bold"),
        version,
    )
    if local.problem:
        yield from _server_lines([local])
    yield from _server_lines(plan.sources)


def _server_lines(servers: Sequence[ServerFacts]) -> Iterator[Text]:
    about = [f"{server.vendor} {server.version}".strip() for server in servers]
    links = [counted(server.links, "link") for server in servers]
    name_width = max((cell_len(plain(s.name)) for s in servers), default=0)
    about_width = max(
        (cell_len(plain(a)) for a, s in zip(about, servers, strict=True) if not s.problem), default=0
    )
    link_width = max((len(each) for each in links), default=0)
    for server, version, count in zip(servers, about, links, strict=True):
        name = server.name + " " * (name_width - cell_len(plain(server.name)))
        if server.problem:
            yield line(
                "  ", ("✗ ", "bold red"), (name, "bold"), "  ", f"{server.host}: ", (server.problem, "red")
            )
            if server.hint:
                yield line(" " * (name_width + 6), (f"next: {server.hint}", "dim"))
            continue
        padding = " " * (about_width - cell_len(plain(version)))
        figures = f"{version}{padding}  {count.rjust(link_width)}  {duration(server.seconds)}"
        yield line("  ", ("✓ ", "bold green"), (name, "bold"), "  ", figures)


def _legend(symbols: set[str]) -> list[Item]:
    used = [(symbol, words) for symbol, words in LEGEND.items() if symbol in symbols]
    texts = [line((symbol, f"bold {STYLES[symbol]}"), f" {words}") for symbol, words in used]
    return [line(), Flow(tuple(texts))] if texts else []


def _waves(plan: Plan, folded: Collection[str]) -> Iterator[tuple[str, list[Row]]]:
    """The links wave by wave; waves of which nothing is shown are not counted."""
    below = blocked_below(plan.links)
    told = {address for addresses in below.values() for address in addresses}
    acting = {link.address for link in plan.links if link.actions}
    number = 0
    for wave in plan.waves:
        rows: list[Row] = []
        for link in wave:
            if link.address in folded:
                continue
            blocked_by_parent = below.get(link.address, ())
            if (is_shown(link) or blocked_by_parent) and not (
                is_blocked_above(link) and link.address in told
            ):
                rows += link_rows(link, acting, blocked_by_parent)
        if rows:
            number += 1
            yield f"Wave {number}", rows


def _refusal_rows(refusal: Refusal) -> Iterator[Row]:
    place = str(refusal.location) if refusal.location else ""
    yield Row(TROUBLE, refusal.address, refusal.reason, place)
    if refusal.hint:
        yield Row(TROUBLE, "", f"next: {refusal.hint}", style="dim")


def _forgotten_rows(forgotten: Forgotten) -> Iterator[Row]:
    held = f"{counted(forgotten.held, 'row')} still held · " if forgotten.held is not None else ""
    words = f"{held}outbound {forgotten.outbound_table} · local {forgotten.local_table}"
    yield Row(TROUBLE, forgotten.address, words, str(forgotten.location or ""))
    yield Row(TROUBLE, "", f"next: {forgotten.hint}", style="dim")


def _removal_rows(removal: Removal) -> Iterator[Row]:
    place = str(removal.location) if removal.location else ""
    if removal.blocked:
        for block in removal.blocked:
            yield Row(TROUBLE, removal.address, f"blocked: {block.reason}", place)
            if block.hint:
                yield Row(TROUBLE, "", f"next: {block.hint}", style="dim")
        return
    local = f"{removal.local_schema}.{removal.local_table}"
    kept = f"drop {local}" if removal.table == "drop" else f"keep {local} as an ordinary table"
    yield Row(DELETE, removal.address, f"release {counted(removal.held, 'row')}, {kept}", place)
    for (schema, name), key in removal.drop_keys:
        yield Row(NOTE, "", f"drop the foreign key {key} of {schema}.{name}", style="dim")
