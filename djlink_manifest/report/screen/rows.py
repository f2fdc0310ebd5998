"""Lay out rows of the plan screen in columns: a symbol, a subject, words and a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from djlink_manifest.report.screen.terminal import line, plain

CREATE, RESUME, CHANGE, DELETE, TROUBLE, REVIEW, WAITS, NOTE = "+", "↻", "~", "-", "!", "⏸", "·", " "
DONE, FAILED = "✓", "✗"
LEGEND = {
    CREATE: "create, pull",
    RESUME: "resume",
    CHANGE: "alter, refill",
    DELETE: "delete, release",
    TROUBLE: "drift, blocked",
    REVIEW: "needs approval",
}
STYLES = {
    CREATE: "green",
    RESUME: "cyan",
    CHANGE: "cyan",
    DELETE: "red",
    TROUBLE: "yellow",
    REVIEW: "magenta",
    WAITS: "dim",
    NOTE: "",
    DONE: "green",
    FAILED: "red",
}
WIDEST_SUBJECT = 60
WIDEST_WORDS = 70


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen; an empty subject continues the row above. `place` is `file:line`."""

    symbol: str
    subject: str
    words: str
    place: str = ""
    style: str = ""


def by_subject(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield each row that has a subject together with the rows that continue it."""
    found = list[Row]()
    for row in rows:
        if row.subject and found:
            yield found
            found = []
        found.append(row)
    if found:
        yield found


def set_in_columns(rows: Sequence[Row], indent: str = "  ") -> list[Text]:
    """Return the rows as lines, with words aligned and places aligned at the right."""
    subjects = [cell_len(plain(row.subject)) for row in rows]
    width = max((w for w in subjects if w <= WIDEST_SUBJECT), default=0)
    with_place = [cell_len(plain(row.words)) for row in rows if row.place]
    reach = max((w for w in with_place if w <= WIDEST_WORDS), default=0)
    lines: list[Text] = []
    above = ""
    for row, taken in zip(rows, subjects, strict=True):
        symbol = " " if not row.subject and row.symbol == above else row.symbol
        above = row.symbol
        gap = " " * (max(0, width - taken) + 2)
        words = row.words + (" " * max(0, reach - cell_len(plain(row.words))) + "   " if row.place else "")
        lines.append(
            line(
                indent,
                (symbol, f"bold {STYLES[row.symbol]}".strip()),
                " ",
                (row.subject, "bold"),
                gap,
                (words, row.style),
                (row.place, "dim"),
            )
        )
    return lines
