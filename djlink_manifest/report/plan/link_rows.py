"""Render one link as rows of the plan screen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from djlink_manifest.reconcile.plan.actions import (
    ADDED,
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    MakeViews,
    Mend,
    Move,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.report.plan.deletions import DELETIONS
from djlink_manifest.report.plan.totals import is_blocked_above
from djlink_manifest.report.screen.figures import counted, estimated, listed, stored
from djlink_manifest.report.screen.rows import CHANGE, CREATE, DELETE, NOTE, RESUME, TROUBLE, WAITS, Row

BOOKKEEPING = {CopyLineage: "lineage", NoteDefinition: "definition", NoteFilled: "all rows are back"}


def is_shown(link: LinkPlan) -> bool:
    """Return whether the link appears among the waves: with changes, drift, warnings or kept rows."""
    only_reviews = bool(link.blocked) and all(b.kind == "review" for b in link.blocked)
    acts = any(not isinstance(action, DELETIONS) for action in link.actions)
    changed = acts or (bool(link.blocked) and not only_reviews)
    return changed or bool(link.drift) or bool(link.warnings) or link.kept > 0


def link_rows(link: LinkPlan, acting: Collection[str], below: Sequence[str]) -> list[Row]:
    """Return the rows of a link: its actions, its blocked entities and its notes.

    `acting` are the addresses with actions; `below` are the links that wait for this one.
    """
    rows = [*_action_rows(link), *_blocked_rows(link, below), *_notes(link, acting)]
    first, *others = rows or [Row(NOTE, "", "")]
    words = first.words
    if not link.new and link.observed:
        words += f"   (source {link.source_rows:,} · local {link.local_rows:,})"
    place = str(link.location) if link.location and (link.new or link.blocked) else ""
    return [Row(first.symbol, link.address, words, place, first.style), *others]


def error_rows(link: LinkPlan, below: Sequence[str]) -> list[Row]:
    """Return the rows on what of a link is an error, with its place and the next step; none for none."""
    errors = tuple(block for block in link.blocked if block.kind == "error")
    rows = list(_blocked_rows(replace(link, blocked=errors), below)) if errors else []
    place = str(link.location or "")
    return [
        Row(r.symbol, "" if i else link.address, r.words, "" if i else place, r.style)
        for i, r in enumerate(rows)
    ]


def blocked_below(links: Sequence[LinkPlan]) -> Mapping[str, tuple[str, ...]]:
    """Return, for each link that stops others, the sorted addresses of all links that wait for it."""
    by_address = {link.address: link for link in links}
    causes: dict[str, frozenset[str]] = {}
    for link in sorted(links, key=lambda each: each.wave):
        if not is_blocked_above(link):
            continue
        found: set[str] = set()
        for parent in link.after:
            above = by_address.get(parent)
            if above is not None and above.is_stopped:
                found |= causes.get(parent, frozenset()) if is_blocked_above(above) else {parent}
        causes[link.address] = frozenset(found)
    below: dict[str, list[str]] = {}
    for address, found_above in causes.items():
        for cause in found_above:
            below.setdefault(cause, []).append(address)
    return {cause: tuple(sorted(addresses)) for cause, addresses in below.items()}


def _action_rows(link: LinkPlan) -> Iterator[Row]:
    structure = [a for a in link.actions if isinstance(a, CreateOutbound | CreateLocal)]
    if structure:
        with_views = link.new and any(isinstance(a, MakeViews) for a in link.actions)
        yield Row(CREATE, "", _structure(structure, link.new, with_views))
    for action in link.actions:
        match action:
            case CreateOutbound() | CreateLocal():
                pass
            case Move():
                yield from _move_rows(action)
            case MakeViews(views=views, reason=reason):
                if not link.new:
                    yield Row(CREATE, "", f"create {counted(len(views), 'owner view')}: {reason}")
            case Pull(entities=entities):
                yield Row(CREATE, "", f"pull {counted(entities, 'row')}{_baggage(action)}")
            case PullAgain(entities=entities, reason=reason):
                yield Row(RESUME, "", f"resume {counted(entities, 'row')}: {reason}")
            case AlterLocal(table=table, reason=reason):
                yield Row(CHANGE, "", f"alter {table}: {reason}")
            case ChangeLocal(table=table, reason=reason):
                yield Row(CHANGE, "", f"change {table}: {reason}")
                yield Row(CHANGE, "", _cost(action), style="dim")
            case GiveUp(entities=entities, reason=reason):
                words = f"release or approve up to {counted(entities, 'row')} at the source: {reason}"
                yield Row(DELETE, "", words)
            case CopyLineage() | NoteDefinition() | NoteFilled():
                pass  # told in one line below
            case NoteServer(reason=reason):
                yield Row(CHANGE, "", f"note in both marks which server is the local one: {reason}")
            case Refill(entities=entities, cause=cause, reason=reason):
                most = "up to " if cause == "definition" else ""
                yield Row(CHANGE, "", f"refill {most}{counted(entities, 'row')}: {reason}")
                yield Row(
                    CHANGE,
                    "",
                    "local values are replaced by the source's; part rows missing at the source are "
                    "deleted locally",
                    style="dim",
                )
            case Register(entities=entities, reason=reason):
                yield Row(CREATE, "", f"protect {counted(entities, 'row')} at the source: {reason}")
            case Release(entities=entities, reason=reason):
                yield Row(DELETE, "", f"release {counted(entities, 'row')} at the source: {reason}")
            case AddForeignKey(table=table, columns=columns, parent=parent, reason=reason):
                words = f"add foreign key of {table} ({', '.join(columns)}) to {parent}: {reason}"
                yield Row(CREATE, "", words)
            case Claim() | Delete() | Approve() | Mend() | NoteRequests():
                pass  # among the deletions
    notes = [words for kind, words in BOOKKEEPING.items() if any(isinstance(a, kind) for a in link.actions)]
    if notes:
        yield Row(NOTE, "", f"note: {', '.join(notes)}", style="dim")


def _cost(action: ChangeLocal) -> str:
    if action.cost == "instant":
        return "the local server changes no row for it"
    table = f"about {counted(action.rows, 'row')}, {estimated(action.bytes)}"
    if action.cost == "in place":
        return f"the local server rebuilds the table ({table}); it can be read and written meanwhile"
    return f"the local server copies the table ({table}); writes to it wait meanwhile"


def _move_rows(move: Move) -> Iterator[Row]:
    if not move.before:
        yield Row(CHANGE, "", f"move: note the present names in the marks: {move.reason}")
        return
    what = f"marks and {counted(len(move.tables), 'local table')}" if move.tables else "marks and lineage"
    yield Row(CHANGE, "", f"move from {' and '.join(move.before)}: {what}, no rows travel ({move.reason})")
    for old, new in move.tables:
        yield Row(CHANGE, "", f"rename {old} to {new}", style="dim")


def _structure(actions: Sequence[Action], new: bool, with_views: bool) -> str:
    added = [name for a in actions if a.reason == ADDED and isinstance(a, CreateLocal) for name in a.tables]
    if added and len(actions) == 1:
        return f"new local {'part' if len(added) == 1 else 'parts'} {listed(added)}: {ADDED}"
    made = [
        "outbound" if isinstance(a, CreateOutbound) else "local"
        for a in actions
        if isinstance(a, CreateOutbound | CreateLocal) and a.tables
    ]
    if not made:
        return "write the link's missing mark"
    tables = f"{' and '.join(made)} tables" + (", owner views" if with_views else "")
    return f"new: {tables}" if new else f"complete the {tables}"


def _baggage(pull: Pull) -> str:
    words = f" ({estimated(pull.bytes)})" if pull.bytes else ""
    if pull.parts:
        rows = sum(count for _, count in pull.parts)
        words += f", {counted(len(pull.parts), 'part')} ({counted(rows, 'row')})"
    if pull.objects.count:
        words += f", {stored(pull.objects.count, pull.objects.bytes, pull.objects.unsized)}"
    return words


def _blocked_rows(link: LinkPlan, below: Sequence[str]) -> Iterator[Row]:
    for block in link.blocked:
        if block.kind == "review":
            continue
        if block.kind == "upstream":
            count = "" if block.whole else f"{counted(block.count, 'row')} blocked: "
            yield Row(WAITS, "", count + block.reason, style="dim")
        elif block.whole:
            yield Row(TROUBLE, "", f"blocked: {block.reason}")
        else:
            yield Row(TROUBLE, "", f"{counted(block.count, 'row')} blocked: {block.reason}")
        if block.hint:
            yield Row(TROUBLE, "", f"next: {block.hint}", style="dim")
    if below:
        yield Row(TROUBLE, "", f"not attempted, because they depend on this link: {listed(below)}")


def _notes(link: LinkPlan, acting: Collection[str]) -> Iterator[Row]:
    for drift in link.drift:
        count = f"{counted(drift.count, 'row')}: " if drift.count else ""
        yield Row(TROUBLE, "", f"drift: {count}{drift.reason}")
        if drift.hint:
            yield Row(TROUBLE, "", f"next: {drift.hint}", style="dim")
    for reason, entities in link.left_out:
        yield Row(NOTE, "", f"{counted(entities, 'row')} skipped: {reason}", style="dim")
    if link.kept:
        yield Row(NOTE, "", f"{counted(link.kept, 'row')} kept although no longer wanted", style="dim")
    for warning in link.warnings:
        yield Row(NOTE, "", f"warning: {warning}", style="yellow")
    if link.actions:
        yield from _order(link, acting)


def _order(link: LinkPlan, acting: Collection[str]) -> Iterator[Row]:
    kinds: dict[str, list[str]] = {}
    for edge in link.needs:
        if edge.parent in acting:
            kinds.setdefault(edge.parent, []).append(edge.kind)
    if kinds:
        named = [f"{parent} ({', '.join(sorted(set(kinds[parent])))})" for parent in sorted(kinds)]
        yield Row(NOTE, "", f"after {listed(named, 3)}", style="dim")
