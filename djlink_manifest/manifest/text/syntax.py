"""What the YAML parser complains of, said so that a person can mend it. Never repeats the file's text."""

from __future__ import annotations

import re

import yaml

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.compose import MAX_DEPTH
from djlink_manifest.manifest.text.problems import LINE_END, Spot

_REFERENCE_START = re.compile(r"\$\{\s*(?:env|file)\s*:")


def explained(error: yaml.MarkedYAMLError, text: str, file: str) -> tuple[str, Spot, str | None]:
    """(summary, place, help) for a syntax error."""
    lines = LINE_END.split(text)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return "invalid YAML", Spot(Location(file, 1, 1)), None
    spot = _spot(mark, lines, file)
    line = lines[mark.line] if mark.line < len(lines) else ""
    number = spot.location.line
    if _open_brackets(lines, mark) > MAX_DEPTH:  # the parser reads ahead, and stumbles over very many
        return f"nesting is deeper than {MAX_DEPTH} levels", spot, None
    reference = _unquoted_reference(spot, lines)
    if reference is not None:
        return (
            "a reference inside `{}` or `[]` must be quoted, because YAML would read its braces",
            Spot(Location(file, number, reference + 1), 2),
            'write "${env:NAME}" in quotes',
        )
    problem = (error.problem or "").lower()
    if "tab" in problem or line[mark.column : mark.column + 1] == "\t" or _indented_by_tab(line, mark.column):
        column = line.find("\t") if "\t" in line[: mark.column + 1] else mark.column
        return (
            "a tab; YAML must be indented with spaces",
            Spot(Location(file, number, column + 1)),
            "use two spaces",
        )
    start = spot if error.context_mark is None else _spot(error.context_mark, lines, file)
    at_end = mark.line >= len(lines) - 1 and not line[mark.column :].strip()
    return _by_kind(problem, (error.context or "").lower(), spot, start, at_end)


def _by_kind(
    problem: str, context: str, spot: Spot, start: Spot, at_end: bool
) -> tuple[str, Spot, str | None]:
    if "mapping values are not allowed" in problem:
        return (
            "a second colon in one value",
            spot,
            'quote a value that contains ": ", or correct the indentation',
        )
    if "quoted scalar" in context and ("end of stream" in problem or "document indicator" in problem):
        return "an unclosed quote", start, "close it on the same line"
    if "escape" in problem:
        return "an unknown escape after `\\` in double quotes", spot, "use single quotes, or write `\\\\`"
    if "flow" in context:
        bracket = "}" if "mapping" in context else "]"
        if at_end:
            return f"a bracket is not closed by `{bracket}`", start, None
        return f"expected `,` or `{bracket}`", spot, "quote text that contains one of `{}[],:`"
    if "cannot start any token" in problem:
        return "a value cannot start with this character", spot, "quote text that starts with one of @ ` %"
    if "block mapping" in context or "simple key" in context or "block collection" in context:
        help = "align the keys of a mapping, each followed by `: `"
        return "the indentation or a colon is wrong", spot, help
    if "block sequence entries" in problem:
        return "a list item (`- `) is not allowed here", spot, "start it on a new line, indented"
    return "invalid YAML", spot, None


def _spot(mark: yaml.error.Mark, lines: list[str], file: str) -> Spot:
    """The mark's place; past the end, the end of the last line that holds anything."""
    line, column = mark.line, mark.column
    if line >= len(lines) or (line == len(lines) - 1 and not lines[line] and line > 0):
        line = len(lines) - 1
        while line > 0 and not lines[line].strip():
            line -= 1
        column = len(lines[line].rstrip())
    return Spot(Location(file, line + 1, column + 1))


def _open_brackets(lines: list[str], mark: yaml.error.Mark) -> int:
    """How many brackets are open at a mark; those in quoted text count too."""
    before = "".join((*lines[: mark.line], lines[mark.line][: mark.column] if mark.line < len(lines) else ""))
    return sum(before.count(c) for c in "[{") - sum(before.count(c) for c in "]}")


def _unquoted_reference(spot: Spot, lines: list[str]) -> int | None:
    """The column (from 0) of a `${env:` that starts where the parser stopped."""
    line = lines[spot.location.line - 1]
    for match in _REFERENCE_START.finditer(line):
        if match.start() <= spot.location.column - 1 <= match.end():
            return match.start()
    return None


def _indented_by_tab(line: str, column: int) -> bool:
    return "\t" in line[: len(line) - len(line.lstrip())] and column <= len(line) - len(line.lstrip())
