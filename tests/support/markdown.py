"""Markdown as a reader of GitHub or GitLab gets it: the elements and the text that it becomes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

# what both turn into links or notifications, outside of code
LINKED = re.compile(r"(?<![\w`])@\w|#\d|(?<!\w)!\d|https?://\w|www\.\w", re.IGNORECASE)


class Rendered(HTMLParser):
    """The tags that a Markdown text makes, in order, its attributes, and its text in code and outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes = list[str](), list[tuple[str, str, str | None]]()
        self.prose, self.code, self.text = "", "", ""
        self._open = list[str]()
        parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        self.feed(parser.render(text))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("br", "hr"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "code" in self._open or "pre" in self._open:
            self.code += data
        else:
            self.prose += data

    @property
    def linked(self) -> list[str]:
        """What would become a mention, a reference or a link."""
        return LINKED.findall(self.prose)


def as_read(text: str) -> str:
    """Text without what a reader does not see: gaps of no width, and the amount of white space."""
    return " ".join(text.replace("\u200b", "").replace("`", "").split())
