"""Render a plan as Markdown for a comment under a pull request, of bounded length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.reconcile.plan.actions import GiveUp, Release
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.report.plan.against import OLD_ERRORS, Against, figures, link_rows
from djlink_manifest.report.plan.graph import mermaid, plan_graph
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.text import DELETIONS, FORGOTTEN, REMOVED, sections
from djlink_manifest.report.plan.totals import Totals, of_link
from djlink_manifest.report.screen.figures import counted, listed
from djlink_manifest.report.screen.markdown import code, inline
from djlink_manifest.report.screen.rows import DELETE, NOTE, TROUBLE, Row, by_subject
from djlink_manifest.report.screen.terminal import plain

MOST = 60_000  # GitHub takes 65,536 characters
RELEASED = "Released at the source, which may delete these rows then"
BY_CHANGE = "What this change brings, by link"
SERVERS = "Servers that cannot be used"
NEVER_CUT = (DELETIONS, REMOVED, RELEASED, FORGOTTEN)
OPEN = ("Refused", SERVERS, *NEVER_CUT)
MOST_DRAWN = 60  # links: more cannot be read, and are not drawn by GitHub
_ROOM = 600  # for the statement of what was left out
WHOLE = "run `djlink plan`"


@dataclass(frozen=True, slots=True)
class _Section:
    """A titled part of the comment: items of one or more lines each, of which whole ones may be left out."""

    title: str
    items: tuple[str, ...]
    is_folded: bool = True

    def text(self, count: int | None = None) -> str:
        """The section with the first `count` items."""
        shown = self.items if count is None else self.items[:count]
        left = len(self.items) - len(shown)
        rest = f"- … and {counted(left, 'further entry', 'further entries')}\n" if left else ""
        body = "".join(shown) + rest
        if self.is_folded:
            title = f"{escape(plain(self.title))} ({len(self.items):,})"
            return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n\n"
        return f"#### {inline(self.title)}\n\n{body}\n"


def plan_markdown(plan: Plan, *, against: Against | None = None, whole: str = WHOLE, most: int = MOST) -> str:
    """Return the plan: its summary first, deletions and forgotten links in full, the rest folded.

    What does not fit into `most` characters is left out, waves first, and said to be; `whole` tells where all
    of it is. Of deletions and forgotten links that do not fit by themselves the counts are given by link.
    """
    head = _head(plan, against)
    named = dict(_sections(plan, against))
    must, shortened = _must(plan, named, most - len(head) - _ROOM)
    room = most - len(head) - len(must) - _ROOM
    kept, left = list[str](), list[str]()
    for title in _by_weight(named):
        section = named[title]
        count = _fitting(section, room)
        if count:
            kept.append(section.text(count))
            room -= len(kept[-1])
        if count < len(section.items):
            left.append(f"{title} ({len(section.items) - count:,} of {len(section.items):,} entries)")
    drawing = _drawing(plan)
    if drawing and len(drawing) <= room:
        kept.append(drawing)
    elif plan.links:
        left.append("the graph")
    return head + _statement([*shortened, *left], whole) + must + "".join(kept)


def _head(plan: Plan, against: Against | None) -> str:
    first, *others = closing(plan)
    local = plan.local
    lines = [
        f"### djlink plan: {code(plan.manifest)}",
        "",
        f"**{inline(first)}**",
        *(inline(sentence) for sentence in others),
        "",
    ]
    if against is not None:
        title = f"compared with {code(against.name)}".replace("|", "\\|")
        lines += [f"| {title} | in all | by this change | by the sources |", "|---|---:|---:|---:|"]
        lines += [f"| {' | '.join(row)} |" for row in figures(against)]
        if against.has_errors:
            lines += ["", inline(OLD_ERRORS)]
        lines.append("")
    files = ", ".join(map(code, plan.files[:3])) + (
        f" and {len(plan.files) - 3:,} more" if plan.files[3:] else ""
    )
    version = f" ({inline(local.vendor)} {inline(local.version)})" if local.vendor else ""
    lines += [
        f"Manifest {files or code(plan.manifest)} @ {code(plan.digest[:7])} → local {code(local.host)}"
        f"{version}",
        "",
        "",
    ]
    return "\n".join(lines)


def _statement(left: Sequence[str], whole: str) -> str:
    if not left:
        return ""
    shown = inline(listed(left, 6))[: _ROOM - 200]
    return f"> **Shortened.** Left out here: {shown}. For all of it: {whole}.\n\n"


def _sections(plan: Plan, against: Against | None) -> Iterator[tuple[str, _Section]]:
    rows = {SERVERS: _server_rows(plan), **dict(sections(plan)), RELEASED: _released(plan)}
    if against is not None:
        rows[BY_CHANGE] = list(link_rows(against))
    for title, found in rows.items():
        if found:
            yield title, _Section(title, tuple(_items(found)), title not in OPEN)


def _server_rows(plan: Plan) -> list[Row]:
    found = list[Row]()
    for server in (plan.local, *plan.sources):
        if server.problem:
            found.append(Row(TROUBLE, server.name, f"{server.host}: {server.problem}"))
            found += [Row(TROUBLE, "", f"next: {server.hint}")] if server.hint else []
    return found


def _released(plan: Plan) -> list[Row]:
    """What loses its protection without a deletion: it stands among the waves too, which may be cut."""
    return [
        Row(DELETE, link.address, f"{counted(action.entities, 'row')}: {action.reason}")
        for link in plan.links
        for action in link.actions
        if isinstance(action, Release | GiveUp)
    ]


def _items(rows: Sequence[Row]) -> Iterator[str]:
    """A list item for each subject, with the rows that continue it below."""
    for first, *others in by_subject(rows):
        subject = f"{_symbol(first)}{code(first.subject)} " if first.subject else ""
        yield "".join([f"- {subject}{_words(first)}\n", *(f"  - {_symbol(o)}{_words(o)}\n" for o in others)])


def _symbol(row: Row) -> str:
    return f"`{row.symbol}` " if row.symbol != NOTE else ""


def _words(row: Row) -> str:
    place = f" ({code(row.place)})" if row.place else ""
    label, step, rest = row.words.partition("next: ")
    if not label and step and rest.startswith(("djlink ", "GRANT ", "git ")):
        return f"next: {code(rest)}{place}"
    return (inline(row.words) or "–") + place


def _must(plan: Plan, named: dict[str, _Section], room: int) -> tuple[str, list[str]]:
    """The sections that are never cut; where they do not fit, their counts by link, or by schema."""
    found = [named.pop(title) for title in NEVER_CUT if title in named]
    whole = "".join(section.text() for section in found)
    if len(whole) <= room or not found:
        return whole, []
    for by, words in ((_by_link, "counts by link"), (_by_schema, "counts by schema")):
        text = "".join(_Section(title, tuple(items), False).text() for title, items in by(plan) if items)
        if len(text) <= room:
            return text, [f"details of deletions and of forgotten links, given as {words}"]
    totals = f"- {counted(sum(_goes(of_link(link)) > 0 for link in plan.links), 'link')} with deletions, "
    totals += f"{counted(len(plan.removals), 'link')} to remove, {len(plan.forgotten):,} forgotten\n"
    return _Section(DELETIONS, (totals,), False).text(), ["which links have deletions or are forgotten"]


def _by_link(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    yield (
        DELETIONS,
        [f"- {code(link.address)} {_figures(of_link(link))}\n" for link in plan.links if _is_deleting(link)],
    )
    yield REMOVED, [f"- {code(r.address)} {r.held:,} held, table: {inline(r.table)}\n" for r in plan.removals]
    yield FORGOTTEN, [f"- {code(f.address)} {f.held or 0:,} held\n" for f in plan.forgotten]


def _by_schema(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    deletions: dict[str, Totals] = {}
    for link in filter(_is_deleting, plan.links):
        schema = _schema(link.address)
        deletions[schema] = deletions.get(schema, Totals()) + of_link(link)
    yield DELETIONS, [f"- {code(schema)} {_figures(totals)}\n" for schema, totals in deletions.items()]
    yield REMOVED, _counts(removal.address for removal in plan.removals)
    yield FORGOTTEN, _counts(each.address for each in plan.forgotten)


def _counts(addresses: Iterable[str]) -> list[str]:
    """An item for each schema: how many of these links it has."""
    found = Counter(map(_schema, addresses))
    return [f"- {code(schema)} {counted(count, 'link')}\n" for schema, count in found.items()]


def _schema(address: str) -> str:
    return address.rpartition(".")[0]


def _is_deleting(link: LinkPlan) -> bool:
    return _goes(of_link(link)) > 0


def _goes(totals: Totals) -> int:
    return totals.delete + totals.release + totals.approve + totals.mend + totals.note + totals.awaiting


def _figures(totals: Totals) -> str:
    phrases = (
        (totals.delete, f"{totals.delete:,} to delete locally"),
        (totals.along, f"{totals.along:,} of other links with them"),
        (totals.release, f"{totals.release:,} to release"),
        (totals.approve, f"{totals.approve:,} to approve"),
        (totals.mend, f"{totals.mend:,} to repair"),
        (totals.note, "requests to record"),
        (totals.awaiting, f"{counted(totals.awaiting_rows, 'row')} awaiting approval"),
    )
    return ", ".join(words for count, words in phrases if count)


def _by_weight(named: dict[str, _Section]) -> list[str]:
    """The titles: what needs mending first, then the comparison, warnings, and the waves."""
    first = [title for title in named if title in OPEN]
    last = [title for title in named if title.startswith("Wave ")]
    return [*first, *(title for title in named if title not in first and title not in last), *last]


def _fitting(section: _Section, room: int) -> int:
    """How many of the items fit."""
    if len(section.text()) <= room:
        return len(section.items)
    used, count = len(section.text(0)) + 20, 0
    for item in section.items:
        used += len(item)
        if used > room:
            break
        count += 1
    return count


def _drawing(plan: Plan) -> str:
    graph: LinkGraph = plan_graph(plan)
    if not 0 < len(graph.nodes) <= MOST_DRAWN:
        return ""
    return f"<details><summary>Graph</summary>\n\n```mermaid\n{mermaid(graph)}```\n\n</details>\n"
