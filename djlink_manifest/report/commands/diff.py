"""Render what differs between two manifests: lines, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from djlink_manifest.manifest.compare.changes import Change, Kind
from djlink_manifest.report.screen.figures import counted, listed
from djlink_manifest.report.screen.layout import Item, Rows
from djlink_manifest.report.screen.markdown import code, inline
from djlink_manifest.report.screen.rows import CHANGE, CREATE, DELETE, NOTE, TROUBLE, Row
from djlink_manifest.report.screen.terminal import line

FORMAT_VERSION = 1
TITLES: dict[Kind, str] = {"removed": "Removed", "moved": "Moved", "added": "Added", "changed": "Changed"}
_SYMBOLS: dict[Kind, str] = {"removed": DELETE, "moved": CHANGE, "added": CREATE, "changed": CHANGE}
MOST_SUBJECTS = 5


def diff_lines(changes: Sequence[Change]) -> list[Item]:
    """Return the changes below a title for each kind, and the count."""
    lines = list[Item]()
    for kind, title in TITLES.items():
        rows = [row for change in changes if change.kind == kind for row in _rows(change)]
        if rows:
            lines += [line((title, "bold")), Rows(tuple(rows)), line()]
    return [*lines, line((summary(changes), "bold"))]


def summary(changes: Sequence[Change]) -> str:
    """Return the number of changes of each kind in one sentence."""
    if not changes:
        return "The manifests say the same."
    words = [f"{sum(c.kind == kind for c in changes):,} {kind}" for kind in TITLES]
    said = ", ".join(each for each in words if not each.startswith("0 "))
    risky = sum(change.is_risky for change in changes)
    look = f" {counted(risky, 'change')} to look at closely (!)." if risky else ""
    return f"{counted(len(changes), 'change')}: {said}.{look}"


def diff_json(old: Sequence[str], new: Sequence[str], changes: Sequence[Change]) -> dict[str, Any]:
    """Return the changes in the form of `djlink diff --json`."""
    return {
        "format_version": FORMAT_VERSION,
        "old": list(old),
        "new": list(new),
        "changes": [
            {
                **asdict(change),
                "subjects": list(change.subjects),
                "location": asdict(change.location) if change.location else None,
            }
            for change in changes
        ],
    }


def diff_markdown(changes: Sequence[Change], *, title: str = "What the manifest's change means") -> str:
    """Return the changes as a list in Markdown."""
    lines = [f"### {title}", "", inline(summary(changes)), ""]
    for kind, name in TITLES.items():
        found = [change for change in changes if change.kind == kind]
        if found:
            lines += [f"**{name}**", "", *(_item(change) for change in found), ""]
    return "\n".join(lines)


def _item(change: Change) -> str:
    subjects = ", ".join(map(code, change.subjects[:MOST_SUBJECTS]))
    if len(change.subjects) > MOST_SUBJECTS:
        subjects += f" and {len(change.subjects) - MOST_SUBJECTS:,} more"
    values = (
        f" {inline(change.option)}: {_value(change.before)} → {_value(change.after)}" if change.option else ""
    )
    if change.kind == "moved":
        values = f" → {_value(change.after)}"
    mark = " ⚠️" if change.is_risky else ""
    place = f" ({inline(str(change.location))})" if change.location else ""
    return f"-{mark} {subjects}{values}: {inline(change.meaning)}{place}"


def _value(value: str | None) -> str:
    return code(value) if value is not None else "–"


def _rows(change: Change) -> Iterator[Row]:
    symbol = TROUBLE if change.is_risky else _SYMBOLS[change.kind]
    subjects = listed(change.subjects, MOST_SUBJECTS)
    place = str(change.location) if change.location else ""
    if change.kind == "moved":
        yield Row(symbol, subjects, f"now {change.after}", place)
    elif change.option:
        before, after = (each if each is not None else "–" for each in (change.before, change.after))
        yield Row(symbol, subjects, f"{change.option}: {before} → {after}", place)
    else:
        yield Row(symbol, subjects, change.meaning, place)
        return
    yield Row(NOTE, "", change.meaning, style="dim")
