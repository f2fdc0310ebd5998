"""Render plans and small tables as HTML for notebooks, in the words of the screen, with all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.text import head_lines, sections
from djlink_manifest.report.screen.rows import LEGEND, STYLES, Row
from djlink_manifest.report.screen.terminal import plain

# of rich's names, in shades that can be read on light and on dark pages
_COLOURS = {
    "green": "#2e9e44",
    "cyan": "#1f93a8",
    "red": "#d23f3f",
    "yellow": "#b07d00",
    "magenta": "#a347ba",
}
_CELL = "text-align:left;vertical-align:top;padding:1px 10px 1px 0"


def plan_html(plan: Plan) -> str:
    """Return the plan as an HTML fragment: head, a table of waves and deletions, and closing sentences."""
    named = sections(plan)
    head = "".join(f"<div>{escape(line.plain)}</div>" for line in head_lines(plan))
    body = "".join(_section(title, rows) for title, rows in named if rows)
    used = {row.symbol for _, rows in named for row in rows}
    legend = " &nbsp; ".join(f"{_symbol(s)} {escape(words)}" for s, words in LEGEND.items() if s in used)
    end = "".join(f"<div><b>{escape(plain(sentence))}</b></div>" for sentence in closing(plan))
    table = f'<table style="border-collapse:collapse">{body}</table>' if body else ""
    return f'<div class="djlink-plan">{head}<div>{legend}</div>{table}{end}</div>'


def table_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a titled table of two columns."""
    cells = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(plain(text))}</td>' for text in row) + "</tr>"
        for row in rows
    )
    return f'<div class="djlink"><b>{escape(plain(title))}</b><table>{cells}</table></div>'


def _section(title: str, rows: Sequence[Row]) -> str:
    head = f'<tr><th colspan="4" style="text-align:left;padding-top:8px">{escape(title)}</th></tr>'
    return head + "".join(_row(row) for row in rows)


def _row(row: Row) -> str:
    cells = (
        _symbol(row.symbol),
        f"<b>{escape(plain(row.subject))}</b>",
        f'<span style="{_style(row.style)}">{escape(plain(row.words))}</span>',
        f'<span style="opacity:0.6">{escape(plain(row.place))}</span>',
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _symbol(symbol: str) -> str:
    return f'<span style="{_style(STYLES[symbol])};font-weight:bold">{escape(symbol)}</span>'


def _style(style: str) -> str:
    if style == "dim":
        return "opacity:0.6"
    return f"color:{_COLOURS[style]}" if style in _COLOURS else ""
