"""The passes of `djlink fmt`: each turns text into text that says the same.

Places come from the YAML scanner, so that nothing is guessed about quotes, comments or block scalars. That a
pass keeps the meaning is proved by `writing`, not assumed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import yaml

from djlink_manifest.manifest.text.compose import LOADER

INDENT = 2
TOP_KEYS = (
    *("manifest", "name", "contact", "x-", "local", "defaults", "sources"),
    *("moved", "removed", "approvals"),
)

_TIGHT_BEFORE = (yaml.FlowEntryToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_TIGHT_AFTER = (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
_NAMES = (yaml.AliasToken, yaml.AnchorToken, yaml.TagToken)
_OPENING = (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
_BLOCKS = (yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken)
_CLOSING = (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


@dataclass(frozen=True, slots=True)
class Piece:
    """A token that takes up room, with its places; lines and columns count from 0."""

    token: yaml.Token
    line: int
    column: int
    end_line: int
    end_column: int


def pieces(text: str) -> Iterator[Piece]:
    """The tokens of a text."""
    for token in yaml.scan(text, Loader=LOADER):
        start, end = token.start_mark, token.end_mark
        yield Piece(token, start.line, start.column, end.line, end.column)


def trimmed(text: str) -> str:
    """Line ends of one kind, no blanks before them outside of texts that span lines, one at the end."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = _inside_scalars("\n".join(lines))
    lines = [line if number in kept else line.rstrip(" \t") for number, line in enumerate(lines)]
    while lines and not lines[-1] and len(lines) - 1 not in kept:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return "\n".join(lines).rstrip("\n") + "\n" if lines else ""


def spaced(text: str) -> str:
    """One blank after `:`, `,` and `-`, none inside of brackets' edges or before `,` and `:`.

    A block that starts behind its `-` is left to `indented`, as its other lines move with it.
    """
    lines = text.split("\n")
    found = list(pieces(text))
    blocks = {(p.line, p.column) for p in found if isinstance(p.token, _BLOCKS)}
    visible = [p for p in found if (p.line, p.column) != (p.end_line, p.end_column)]
    for one, two in reversed(list(pairwise(visible))):
        if one.end_line != two.line or (two.line, two.column) in blocks:
            continue
        gap = lines[two.line][one.end_column : two.column]
        wanted = _gap(one.token, two.token)
        if wanted is None or gap == wanted or gap.strip(" \t"):
            continue
        line = lines[two.line]
        lines[two.line] = line[: one.end_column] + wanted + line[two.column :]
    return "\n".join(lines)


def _gap(one: yaml.Token, two: yaml.Token) -> str | None:
    """What stands between two tokens of one line; None where it is left alone."""
    if isinstance(one, _TIGHT_AFTER) or isinstance(two, _TIGHT_BEFORE):
        return None if isinstance(one, (*_NAMES, yaml.ValueToken)) else ""
    if isinstance(two, yaml.ValueToken):
        return "" if isinstance(one, yaml.ScalarToken) else None
    if isinstance(one, (yaml.ValueToken, yaml.FlowEntryToken, yaml.BlockEntryToken)):
        return " "
    return None


@dataclass(slots=True)
class _Block:
    """A block mapping or sequence: the column it has and the one it is to have."""

    old: int
    new: int

    @property
    def shift(self) -> int:
        return self.new - self.old


@dataclass(slots=True)
class _Indents:
    """What is known of the lines: `structural` has the block whose entry starts in a line, `inside` how far
    a line moves that is part of a text or of brackets, `gaps` the columns between a `-` and its block."""

    structural: dict[int, _Block] = field(default_factory=dict)
    inside: dict[int, int] = field(default_factory=dict)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    explicit_key: bool = False


def indented(text: str) -> str:
    """Block mappings and sequences indented by two blanks each; all that stands in them moves along."""
    lines = text.split("\n")
    known = _indents(text, lines)
    if known.explicit_key:
        return text
    for number, start, end in reversed(known.gaps):
        lines[number] = f"{lines[number][:start]} {lines[number][end:]}"
    result = []
    for number, line in enumerate(lines):
        if not line.strip(" ") and number not in known.inside:
            result.append(line)
        elif number in known.inside:
            result.append(_shifted(line, known.inside[number]))
        elif number in known.structural:
            result.append(" " * known.structural[number].new + line.lstrip(" "))
        else:
            result.append(_shifted(line, _comment_shift(number, lines, known)))
    return "\n".join(result)


def _indents(text: str, lines: Sequence[str]) -> _Indents:
    known = _Indents()
    stack: list[_Block] = []
    brackets: list[Piece] = []
    for before, piece in pairwise(pieces(text)):
        token, top = piece.token, stack[-1] if stack else _Block(0, 0)
        if isinstance(token, _BLOCKS):
            stack.append(_Block(piece.column, top.new + INDENT if stack else 0))
            if isinstance(before.token, yaml.BlockEntryToken) and before.line == piece.line:
                known.gaps.append((piece.line, before.end_column, piece.column))
        elif isinstance(token, yaml.BlockEndToken):
            stack.pop()
        elif isinstance(token, _OPENING):
            brackets.append(piece)
        elif isinstance(token, _CLOSING):
            opening = brackets.pop()
            if not brackets:
                known.inside.update(dict.fromkeys(range(opening.line + 1, piece.end_line + 1), top.shift))
        elif isinstance(token, yaml.ScalarToken) and not brackets:
            last = piece.end_line if piece.end_column else piece.end_line - 1
            known.inside.update(dict.fromkeys(range(piece.line + 1, last + 1), top.shift))
        elif isinstance(token, (yaml.KeyToken, yaml.BlockEntryToken)) and not brackets:
            known.explicit_key |= isinstance(token, yaml.KeyToken) and (piece.line, piece.column) != (
                piece.end_line,
                piece.end_column,
            )
            if not lines[piece.line][: piece.column].strip(" "):
                known.structural.setdefault(piece.line, top)
    return known


def _shifted(line: str, shift: int) -> str:
    blanks = len(line) - len(line.lstrip(" "))
    return " " * max(0, blanks + shift) + line[blanks:] if line else line


def _comment_shift(number: int, lines: Sequence[str], known: _Indents) -> int:
    """How far a comment moves: with the entry after it, else before it, that starts in its column."""
    column = len(lines[number]) - len(lines[number].lstrip(" "))
    if column == 0:
        return 0
    following = range(number + 1, len(lines))
    after = next((known.structural[n] for n in following if n in known.structural), None)
    if after is not None and after.old == column:
        return after.shift
    before = [known.structural[n] for n in range(number) if n in known.structural]
    return next((block.shift for block in reversed(before) if block.old == column), 0)


def ordered(text: str) -> str:
    """The top-level keys in their usual order; the comments right above a key move along."""
    lines = text.split("\n")
    starts = _top_keys(text, lines)
    if starts is None or len(starts) < 2:
        return text
    first = min(starts)
    head = _head(lines[:first])
    numbers = sorted(starts)
    edges = [
        head,
        *(_chunk_start(lines, number, number_before) for number_before, number in pairwise(numbers)),
    ]
    tail = _tail(lines, numbers[-1])
    ends = [*edges[1:], tail]
    chunks = [(starts[n], lines[start:end]) for n, start, end in zip(numbers, edges, ends, strict=True)]
    result = sorted(chunks, key=lambda chunk: _rank(chunk[0]))
    if result == chunks:
        return text
    return "\n".join([*lines[:head], *(line for _, chunk in result for line in chunk), *lines[tail:]])


def _rank(key: str) -> int:
    name = "x-" if key.startswith("x-") else key
    return TOP_KEYS.index(name) if name in TOP_KEYS else len(TOP_KEYS)


def _top_keys(text: str, lines: Sequence[str]) -> dict[int, str] | None:
    """The lines of the top-level keys; None where the top level is not a plain block mapping."""
    found: dict[int, str] = {}
    depth = 0
    previous: yaml.Token | None = None
    for piece in pieces(text):
        token = piece.token
        if isinstance(token, (yaml.DocumentStartToken, yaml.DocumentEndToken, yaml.DirectiveToken)):
            return None
        if isinstance(token, _BLOCKS):
            depth += 1
            if depth == 1 and (piece.column or isinstance(token, yaml.BlockSequenceStartToken)):
                return None
        elif isinstance(token, yaml.BlockEndToken):
            depth -= 1
        elif isinstance(token, yaml.ScalarToken) and isinstance(previous, yaml.KeyToken) and depth == 1:
            if piece.column == 0:
                found[piece.line] = token.value
        elif isinstance(previous, yaml.KeyToken) and depth == 1 and piece.column == 0:
            return None
        previous = token
    return found


def _head(lines: Sequence[str]) -> int:
    """How many lines stay at the top: comments up to the last empty line before the first key; the modeline
    in any case."""
    blanks = [number for number, line in enumerate(lines) if not line.strip()]
    if blanks:
        return blanks[-1] + 1
    modeline = [n for n, line in enumerate(lines) if re.match(r"#\s*(yaml-language-server|-\*-|vim?:)", line)]
    return modeline[-1] + 1 if modeline else 0


def _chunk_start(lines: Sequence[str], key: int, before: int) -> int:
    """Where the lines of a key start: with the comments in column 0 and the empty lines right above it."""
    start = key
    while start > before + 1 and (not lines[start - 1].strip() or lines[start - 1].startswith("#")):
        start -= 1
    return start


def _tail(lines: Sequence[str], last_key: int) -> int:
    """Where the comments at the end start, after an empty line; they stay there."""
    end = len(lines)
    while end > last_key + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    blanks = [number for number in range(end, len(lines)) if not lines[number].strip()]
    return blanks[0] if blanks else len(lines)


def _inside_scalars(text: str) -> set[int]:
    """The lines whose end is part of a text; of quoted texts that span lines the first too."""
    found: set[int] = set()
    for piece in pieces(text):
        if isinstance(piece.token, yaml.ScalarToken) and piece.end_line > piece.line:
            quoted = piece.token.style in {"'", '"'}
            last = piece.end_line + (1 if piece.end_column else 0)
            found.update(range(piece.line + (0 if quoted else 1), last))
    return found
