"""A plan as one page of HTML that needs nothing else: to keep as a run's evidence, and to print."""

from __future__ import annotations

from html import escape

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.against import Against
from djlink_manifest.report.plan.drawing import drawing
from djlink_manifest.report.plan.html import against_html, head_html, legend_html, sections_html
from djlink_manifest.report.plan.html_style import PAGE_STYLE, SCRIPT, STYLE, fingerprint
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.text import sections
from djlink_manifest.report.screen.terminal import plain

_FILTER = (
    '<form class="filter" role="search" hidden><label for="filter">Filter by link</label>'
    '<input id="filter" type="search" autocomplete="off" spellcheck="false" '
    'placeholder="source.schema.Table">'
    '<output for="filter" role="status"></output></form>'
)


def plan_page(plan: Plan, compared: Against | None = None) -> str:
    """Return the whole page. Nothing is fetched by it, and no script but its own filter can run in it."""
    numbers = {link.address: f"link-{number}" for number, link in enumerate(plan.links)}
    shown = {
        row.subject: True
        for title, rows in sections(plan)
        if title.startswith("Wave ")
        for row in rows
        if row.subject in numbers
    }
    graph = drawing(plan, numbers.__getitem__, shown)
    policy = (
        f"default-src 'none'; style-src {fingerprint(STYLE + PAGE_STYLE)}; script-src {fingerprint(SCRIPT)}"
    )
    title = f"djlink plan: {escape(plain(plan.manifest))}"
    summary = "".join(f'<p class="summary">{escape(plain(words.strip()))}</p>' for words in closing(plan))
    drawn = (
        '<section><h2 id="graph">Graph</h2>'
        '<div class="graph" tabindex="0" role="region" aria-labelledby="graph">'
        f"{graph}</div></section>"
        if graph
        else ""
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE + PAGE_STYLE}</style></head>\n"
        f'<body class="djlink-plan"><main><h1>{title}</h1>{summary}{head_html(plan)}'
        f"{against_html(compared) if compared else ''}{_FILTER}{legend_html(plan)}"
        f"{sections_html(plan, compared, lambda address: numbers.get(address, 'other'))}{drawn}</main>\n"
        f"<script>{SCRIPT}</script></body></html>\n"
    )
