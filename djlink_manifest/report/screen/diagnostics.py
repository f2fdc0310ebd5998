"""Render problems of a manifest, and errors, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from djlink_manifest.errors import Diagnostic, DjlinkError
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line, plain, plain_lines

FORMAT_VERSION = 1
WIDEST_SNIPPET = 110
SHOWN_BEFORE = 60


def diagnostic_lines(diagnostics: Sequence[Diagnostic]) -> list[Text]:
    """Return every problem with its place, its line and carets below the text concerned, then the totals."""
    lines = [each for diagnostic in diagnostics for each in _diagnostic(diagnostic)]
    counts = count_words(diagnostics)
    return [*lines, line((counts, "bold"))] if counts else lines


def count_words(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the counts in words: `2 errors, 1 warning`; empty if there are none."""
    errors = sum(d.severity == "error" for d in diagnostics)
    warnings = len(diagnostics) - errors
    words = [counted(errors, "error")] if errors else []
    return ", ".join([*words, counted(warnings, "warning")] if warnings else words)


def error_lines(error: DjlinkError) -> list[Text]:
    """Return an error with its link, manifest line, server and next step, as far as they are known."""
    first, *others = plain_lines(error.message) or [type(error).__name__]
    place = f"   ({error.location})" if error.location else ""
    details = [
        ("link:", f"{error.link}{place}" if error.link else None),
        ("at:", str(error.location) if error.location and not error.link else None),
        ("server:", error.server),
        ("next:", error.hint),
    ]
    told = [(label, words) for label, words in details if words]
    width = max((len(label) for label, _ in told), default=0) + 1
    return [
        line(("Error: ", "bold red"), (first, "bold")),
        *(line("  ", each) for each in others),
        *(line("  ", (label.ljust(width), "cyan"), words) for label, words in told),
    ]


def diagnostics_json(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """Return the result of `validate --json`.

    Lines and columns count from 1; `end` is the first column after the text.
    """
    errors = sum(d.severity == "error" for d in diagnostics)
    return {
        "format_version": FORMAT_VERSION,
        "valid": errors == 0,
        "error_count": errors,
        "warning_count": len(diagnostics) - errors,
        "diagnostics": [
            {
                "severity": d.severity,
                "summary": d.summary,
                "detail": d.help,
                "path": d.path,
                "range": {
                    "filename": d.location.file,
                    "start": {"line": d.location.line, "column": d.location.column},
                    "end": {"line": d.location.line, "column": d.location.column + max(1, d.width)},
                },
                "snippet": d.snippet,
            }
            for d in diagnostics
        ],
    }


def _diagnostic(diagnostic: Diagnostic) -> Iterator[Text]:
    style = "red" if diagnostic.severity == "error" else "yellow"
    first, *others = plain_lines(diagnostic.summary) or [""]
    yield line((f"{diagnostic.severity.capitalize()}: ", f"bold {style}"), (first, "bold"))
    yield from (line("  ", each) for each in others)
    place = diagnostic.location
    number = str(place.line)
    gutter = " " * (len(number) + 1)
    path = f"   {diagnostic.path}" if diagnostic.path else ""
    yield line(gutter, ("╭─ ", "cyan"), f"{place}:{place.column}", (path, "dim"))
    if diagnostic.snippet is not None:
        shown, before, carets = _window(diagnostic.snippet, place.column, diagnostic.width)
        source = line((f"{number} │ ", "cyan"), shown)
        below = line(gutter, ("│ ", "cyan"), " " * before, ("^" * carets, f"bold {style}"))
        source.no_wrap = below.no_wrap = True  # the carets stand below what they mean
        yield from (source, below)
    for each in plain_lines(diagnostic.help or ""):
        yield line(gutter, ("╰ ", "cyan"), each)
    yield line()


def _window(snippet: str, column: int, width: int) -> tuple[str, int, int]:
    """Return the part of the line around the column, the cells before the carets, and their number."""
    start = min(max(0, column - 1), len(snippet))
    end = min(max(start + 1, start + width), max(len(snippet), start + 1))
    first = 0 if len(snippet) <= WIDEST_SNIPPET or start < SHOWN_BEFORE else start - SHOWN_BEFORE
    last = len(snippet) if len(snippet) <= WIDEST_SNIPPET else min(len(snippet), first + WIDEST_SNIPPET)
    end = min(end, max(last, start + 1))
    head, tail = ("…" if first else ""), ("…" if last < len(snippet) else "")
    shown = head + plain(snippet[first:last]) + tail
    before = cell_len(head) + cell_len(plain(snippet[first:start]))
    return shown, before, max(1, cell_len(plain(snippet[start:end])))
