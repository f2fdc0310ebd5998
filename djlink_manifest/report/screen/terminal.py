"""Text from manifests, servers and file names, made safe to print.

Such text may hold control characters that move the cursor, change colours or reverse the reading direction;
they are shown as escapes (`\\x1b`). rich's markup is never interpreted: lines are made of spans, not of
markup.
"""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

from rich.text import Text

Span: TypeAlias = "str | tuple[str, str]"
"""Text, or text and a style of rich's (`bold red`)."""


def plain(text: str) -> str:
    """Return the text on one line, with control characters as visible escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escaped(c) for c in text)


def escaped(json_text: str) -> str:
    """Return JSON text with all that is neither printable nor a line end as JSON's own escapes."""
    if json_text.replace("\n", "").isprintable():
        return json_text
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in json_text)


def plain_lines(text: str) -> list[str]:
    """Return the lines of a text, each made safe to print; no lines for an empty text."""
    return [plain(each) for each in text.split("\n")] if text else []


def line(*spans: Span) -> Text:
    """Return one line of these spans, made safe to print, without a line end."""
    made = Text(end="")
    for span in spans:
        text, style = (span, "") if isinstance(span, str) else span
        made.append(plain(text), style or None)
    made.rstrip()
    return made


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def _escaped(character: str) -> str:
    number = ord(character)
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
