"""Render plans as HTML, for notebooks and for pages, in the words of the screen, with all text escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.against import OLD_ERRORS, Against, figures, link_rows
from djlink_manifest.report.plan.html_style import STYLE
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.text import DELETIONS, FORGOTTEN, REMOVED, sections
from djlink_manifest.report.screen.figures import counted, duration
from djlink_manifest.report.screen.rows import LEGEND, NOTE, REVIEW, STYLES, Row, by_subject
from djlink_manifest.report.screen.terminal import plain

FIRST = (DELETIONS, REMOVED, FORGOTTEN, "Refused", "Warnings")
BY_CHANGE = "What the change of the manifest brings, by link"

Anchor = Callable[[str], str]


def plan_html(plan: Plan) -> str:
    """Return the plan as an HTML fragment: closing sentences, head, deletions, what is refused, and waves."""
    sentences = "".join(f"<div><b>{_text(sentence)}</b></div>" for sentence in closing(plan))
    body = f"{sentences}{head_html(plan)}{legend_html(plan)}{sections_html(plan)}"
    return f'<div class="djlink-plan"><style>{STYLE}</style>{body}</div>'


def table_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a titled table of two columns."""
    cells = "".join("<tr>" + "".join(f"<td>{_text(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f'<div class="djlink-plan"><style>{STYLE}</style><b>{_text(title)}</b><table>{cells}</table></div>'


def head_html(plan: Plan) -> str:
    """Return what the plan was made from: the files, and the servers with what is wrong with them."""
    files = ", ".join(plan.files) or plan.manifest
    first = f"Manifest <b>{_text(files)}</b> @ {_text(plan.digest[:7])}"
    rows = []
    for server in (plan.local, *plan.sources):
        about = f"{server.vendor} {server.version}".strip()
        found = f"{_text(about)}, {counted(server.links, 'link')}, {duration(server.seconds)}"
        if server.problem:
            hint = f'<div class="dim">next: {_text(server.hint)}</div>' if server.hint else ""
            found = f'<span class="red">{_text(server.problem)}</span>{hint}'
        sign = _sign("✗" if server.problem else "✓")
        rows.append(
            f"<tr><td>{sign}<b>{_text(server.name)}</b></td><td>{_text(server.host)}</td><td>{found}</td></tr>"
        )
    return f"<div>{first}</div><table>{''.join(rows)}</table>"


def legend_html(plan: Plan) -> str:
    """Return what the signs mean that the plan uses."""
    used = {row.symbol for _, rows in sections(plan) for row in rows}
    spans = "".join(f"<span>{_sign(s)}{escape(words)}</span>" for s, words in LEGEND.items() if s in used)
    return f'<div class="legend">{spans}</div>' if spans else ""


def against_html(compared: Against) -> str:
    """Return the counts of a comparison as a table."""
    head = "".join(
        f"<th{_class(n)}>{words}</th>"
        for n, words in enumerate(("", "in all", "by this change", "by the sources"))
    )
    rows = "".join(
        "<tr>" + "".join(f"<td{_class(n)}>{_text(cell)}</td>" for n, cell in enumerate(row)) + "</tr>"
        for row in figures(compared)
    )
    errors = f'<p class="yellow">{_text(OLD_ERRORS)}</p>' if compared.has_errors else ""
    title = f"Compared with {_text(compared.name)}"
    return f"<section><h2>{title}</h2>{errors}<table><tr>{head}</tr>{rows}</table></section>"


def sections_html(plan: Plan, compared: Against | None = None, anchor: Anchor | None = None) -> str:
    """Return the sections of the plan, deletions and what is in the way first.

    `anchor` gives the id of a link's entry in a wave.
    """
    named = dict(sections(plan))
    order = [title for title in FIRST if title in named] + [title for title in named if title not in FIRST]
    parts = [
        _section(title, named[title], anchor if title not in FIRST else None)
        for title in order
        if named[title]
    ]
    if compared is not None and (rows := list(link_rows(compared))):
        parts.append(_section(BY_CHANGE, rows, None))
    return "".join(parts)


def _section(title: str, rows: Sequence[Row], anchor: Anchor | None) -> str:
    items = "".join(_item(group, anchor) for group in by_subject(rows))
    return f"<section><h2>{_text(title)}</h2><ul>{items}</ul></section>"


def _item(rows: Sequence[Row], anchor: Anchor | None) -> str:
    first, *others = rows
    subject = f"<b>{_text(first.subject)}</b> " if first.subject else ""
    place = f' id="{anchor(first.subject)}"' if anchor and first.subject else ""
    below = "".join(f"<li>{_sign(row.symbol)}{_words(row)}</li>" for row in others)
    link = f' data-link="{_text(first.subject)}"' if first.subject else ""
    more = f"<ul>{below}</ul>" if below else ""
    return f"<li{place}{link}>{_sign(first.symbol)}{subject}{_words(first)}{more}</li>"


def _words(row: Row) -> str:
    place = f'<span class="place">{_text(row.place)}</span>' if row.place else ""
    style = f' class="{row.style}"' if row.style in ("dim", "yellow", "red") else ""
    return f"<span{style}>{_text(row.words)}</span>{place}"


def _sign(symbol: str) -> str:
    style = STYLES[symbol]
    shown = {NOTE: "", REVIEW: "‖"}.get(symbol, symbol)  # few fonts have the pause sign
    return f'<span class="sign{" " + style if style else ""}">{escape(shown)}</span>'


def _class(number: int) -> str:
    return ' class="number"' if number else ""


def _text(text: str) -> str:
    return escape(plain(text))
