"""A plan as HTML: the words of the screen, and nothing that a server says becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.against import against
from djlink_manifest.report.plan.html import plan_html, table_html
from djlink_manifest.report.plan.page import plan_page
from djlink_manifest.report.plan.text import plan_lines, sections
from djlink_manifest.report.screen.layout import laid_out
from djlink_manifest.report.screen.terminal import plain
from tests.unit.plan_samples import NASTY, PLANS, rich_plan

OURS = {"div", "style", "b", "span", "section", "h2", "ul", "li", "table", "tr", "th", "td"}
PAGE = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "body",
        "main",
        "h1",
        "p",
        "form",
        "label",
        "input",
        "output",
        "script",
    ),
    *("svg", "g", "a", "rect", "text", "path"),
}


class Document(HTMLParser):
    """The text of a document and the tags in it, each of which has to be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self._open = "", set[str](), list[str]()
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "input"):
            self._open.append(tag)
        self.tags.add(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_plan_as_html_says_what_the_screen_says() -> None:
    plan = rich_plan()
    text = Document(plan_html(plan)).text
    for title, rows in sections(plan):
        for row in rows:
            for words in (title, row.subject, row.words, row.place):
                assert plain(words) in text
    assert list(laid_out(plan_lines(plan)))[-1].plain in text


@settings(max_examples=60, deadline=None)
@given(PLANS)
def test_of_any_plan_the_tags_are_ours(plan: Plan) -> None:
    assert Document(plan_html(plan)).tags <= OURS
    page = Document(plan_page(plan, against(plan.manifest, plan, plan)))
    assert page.tags <= OURS | PAGE


@settings(max_examples=60, deadline=None)
@given(NASTY, NASTY)
def test_of_any_table_the_tags_are_ours(title: str, value: str) -> None:
    document = Document(table_html(title, [(value, title)]))
    assert document.tags == {"div", "style", "b", "table", "tr", "td"}
    assert plain(value) in document.text
