"""Set lines and rows in the width of a terminal; without a width each stays one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rich.cells import cell_len
from rich.text import Text

from djlink_manifest.report.screen.rows import STYLES, WIDEST_SUBJECT, WIDEST_WORDS, Row, set_in_columns
from djlink_manifest.report.screen.terminal import line, plain

NARROWEST = 40  # cells for words beside their subjects; with fewer they stand below them
INDENT, STEP, GAP = 2, 4, 3
# never parted: what is copied as a whole (commands, statements), the two counts of a link, a size
WHOLE = re.compile(
    r"\S*`djlink [^`]*`\S*|GRANT [^;]*;\S*|\(?\(?dj\.FreeTable.*\.delete\(\)|\(source [^)]*\)"
    r"|\S*< 16 kB\S*|\S+"
)
LABEL = re.compile(r"\s*(?:[^\w\s]{1,2} +|[A-Za-z]{1,8}: +)?")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that share their columns."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """Short texts beside each other, as many in a line as there is room for."""

    texts: tuple[Text, ...]
    gap: int = GAP


@dataclass(frozen=True, slots=True)
class Hanging:
    """A text whose further lines begin in a column; without room there, all from the column on is below."""

    text: Text
    column: int


Item: TypeAlias = "Text | Rows | Flow | Hanging"
"""What a report is made of. A text that has `no_wrap` stays one line in any width."""


def laid_out(
    items: Iterable[Item], width: int | None = None, typed: Callable[[str], str] = lambda text: text
) -> Iterator[Text]:
    """Yield the lines of the items. `typed` completes the commands in a text."""
    for item in items:
        match item:
            case Rows(rows=rows):
                yield from _set([replace(row, words=typed(row.words)) for row in rows], width)
            case Flow(texts=texts, gap=gap):
                yield from _flow(texts, gap, width)
            case Hanging(text=text, column=column):
                text = _retyped(text, typed)
                yield from [text] if width is None else _hanging(text, column, width)
            case Text() if width is None or item.no_wrap:
                yield _retyped(item, typed)
            case Text():
                yield from _hung(_retyped(item, typed), width)


def folded(text: Text, first: int, width: int, hang: int = 0) -> list[Text]:
    """Return the text in lines of at most so many cells, as far as its words allow.

    The first line has `first` cells; the others have `width`, of which the first `hang` are blank.
    """
    parts = list[tuple[int, int]]()
    start: int | None = None
    end = used = 0
    room = first
    for word in WHOLE.finditer(text.plain):
        gap = text.plain[end : word.start()]
        length = cell_len(word[0])
        if start is not None and used + cell_len(gap) + length > room:
            parts.append((start, end))
            start, used, room = word.start(), length, width - hang
        elif start is None:
            start, used = 0, cell_len(gap) + length
        else:
            used += cell_len(gap) + length
        end = word.end()
    if start is None:
        return [text]
    parts.append((start, end))
    lines = [text[begin:stop] for begin, stop in parts]
    return [lines[0], *(Text(" " * hang).append_text(each) for each in lines[1:])]


def _set(rows: Sequence[Row], width: int | None) -> Iterator[Text]:
    if width is None:
        yield from set_in_columns(rows)
        return
    subjects = [cell_len(plain(row.subject)) for row in rows]
    reach = max((each for each in subjects if each <= WIDEST_SUBJECT), default=0)
    start = INDENT + 2 + reach + 2 if reach else INDENT + 2
    room = width - start
    beside = room >= min(NARROWEST, max((cell_len(plain(row.words)) for row in rows), default=0))
    widest = max((cell_len(plain(row.words)) for row in rows if row.place), default=0)
    places = start + min(widest, WIDEST_WORDS) + GAP
    above = ""
    for row, taken in zip(rows, subjects, strict=True):
        symbol = " " if not row.subject and row.symbol == above else row.symbol
        above = row.symbol
        head = line(" " * INDENT, (symbol, f"bold {STYLES[row.symbol]}".strip()), " ", (row.subject, "bold"))
        if beside and taken <= reach:
            yield from _beside(head, row, start, places, width)
        else:
            yield from _below(head, row, width)


def _beside(head: Text, row: Row, start: int, places: int, width: int) -> Iterator[Text]:
    """The words beside their subject, and the place at the right of the first line."""
    room, place = width - start, plain(row.place)
    first = room - (cell_len(place) + GAP) if place else room
    fits = first >= NARROWEST // 2
    lines = folded(line((row.words, row.style)), first if fits else room, room, hang=INDENT)
    head = head + " " * (start - cell_len(head.plain))
    column = max(min(places, width - cell_len(place)) - start, cell_len(lines[0].plain) + GAP)
    padding = " " * (column - cell_len(lines[0].plain))
    yield head + lines[0] + Text(padding + place, "dim") if place and fits else head + lines[0]
    yield from (Text(" " * start) + each for each in lines[1:])
    if place and not fits:
        yield Text(" " * start) + Text(place, "dim")


def _below(head: Text, row: Row, width: int) -> Iterator[Text]:
    """The subject in a line of its own, with its place if there is room; the words below it."""
    place, indent = plain(row.place), INDENT + STEP
    beside = place and row.subject and cell_len(head.plain) + GAP + cell_len(place) <= width
    if row.subject:
        if beside:
            yield head + Text(" " * GAP + place, "dim")
        else:
            yield from folded(head, width, width, hang=indent)
        head = Text()
    head = head + " " * (indent - cell_len(head.plain))
    lines = folded(line((row.words, row.style)), width - indent, width - indent, hang=INDENT)
    if row.words or not row.subject:
        yield head + lines[0]
    yield from (Text(" " * indent) + each for each in lines[1:])
    if place and not beside:
        yield Text(" " * indent) + Text(place, "dim")


def _flow(texts: Sequence[Text], gap: int, width: int | None) -> Iterator[Text]:
    made = Text()
    for text in texts:
        used = cell_len(made.plain)
        if used and width is not None and used + gap + cell_len(text.plain) > width:
            yield made
            made, used = Text(), 0
        made = made + " " * (gap if used else INDENT) + text
    if made.plain:
        yield made


def _hanging(text: Text, column: int, width: int) -> Iterator[Text]:
    if column + NARROWEST // 2 <= width or cell_len(text.plain) <= width:
        yield from folded(text, width, width, hang=column)
        return
    at = used = 0
    while at < len(text) and used < column:
        used += cell_len(text.plain[at])
        at += 1
    head, rest = text[:at], text[at:]
    head.rstrip()
    yield from folded(head, width, width, hang=STEP)
    if rest.plain.strip():
        yield from folded(Text(" " * STEP) + rest, width, width, hang=STEP)


def _hung(text: Text, width: int) -> list[Text]:
    """A text whose further lines begin behind its label or symbol."""
    found = LABEL.match(text.plain)
    label = cell_len(found[0]) if found else 0
    if label > width // 2:  # there is no room for its indentation
        blank = len(text.plain) - len(text.plain.lstrip(" "))
        text, label = text[max(0, blank - STEP) :], STEP
    return folded(text, width, width, hang=label)


def _retyped(text: Text, typed: Callable[[str], str]) -> Text:
    """The text with its commands completed, each in the style of its first character."""
    words = typed(text.plain)
    if words == text.plain:
        return text
    same = next((i for i, (a, b) in enumerate(zip(text.plain, words, strict=False)) if a != b), 0)
    tail = 0
    while tail < min(len(text), len(words)) - same and text.plain[-1 - tail] == words[-1 - tail]:
        tail += 1
    made = text[:same]
    style = text[same - 1 : same].spans[-1].style if same and text[same - 1 : same].spans else ""
    made.append(words[same : len(words) - tail], style)
    made.append_text(text[len(text) - tail :])
    return made
