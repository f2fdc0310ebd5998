"""A server's own words as messages repeat them: on one line, not too long, without a secret or a value.

Servers name values of rows in their errors, in quotes: `Duplicate entry 'Smith' for key 'person.name'`. Names
of tables, columns, keys and accounts stand in quotes too. What stands in quotes is kept where a word before
them says that it is a name; from the first other quote on only a known ending is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_SAID = 500  # characters
MOST_LOOKED_AT = 4_000  # of a longer text only the beginning and the end are looked at
_NAMING = (
    "column|field|table|view|key|index|constraint|database|schema|user|account|variable|plugin|engine|storage"
    "|collation|character set|set|function|procedure|trigger|command|privilege|server on|host|thread|definer"
    "|file|partition|role|tablespace|option|type|mode|statement|event|parameter|query|clause|column name"
)
# a name in quotes, and an account's host behind it; no name has a blank line or is longer than a path
_NAMED = re.compile(
    rf"\b(?:{_NAMING})s?:? (?:name |id )?'[^'\n]{{0,300}}'(?:@'[^'\n]{{0,255}}')?"
    r"|\bin '(?:where|field|on|order|group|having|partition)[ a-z]{1,20}'"
    r"|`[^`\n]{0,128}`",
    re.IGNORECASE,
)
_APOSTROPHE = re.compile(r"(?<=[A-Za-z])'(?=(?:t|s|re|ve|ll|d|m)\b)")
_QUOTE = re.compile(r"['\"]")
_TAIL = re.compile(
    r"(?: at position \d{1,20} in value)?"
    r"(?: (?:for|in|of) (?:the )?(?:key|column|function|system variable|table)"
    r" (?:'[^']{1,200}'|`[^`]{1,128}`(?:\.`[^`]{1,128}`){0,2}|[\w.]{1,129}))?"
    r"(?: (?:at|for) (?:row|line|position) \d{1,20})?\.?\Z"
)
SERVERS_OWN = (
    range(1000, 2000),
    range(3000, 6000),
)  # the numbers of errors that servers raise; others are drivers'
OF_A_PROGRAM = frozenset({1643, 1644, 1645})  # SIGNAL: the text is a trigger's, and may say anything


def said_by(words: object, code: int | None, mask: Callable[[str], str]) -> str:
    """What a server or the driver said, as messages repeat it; empty where nothing of it can be."""
    text = mask(str(words))
    if code in OF_A_PROGRAM:
        return ""
    text = one_line(text)
    if code is not None and any(code in each for each in SERVERS_OWN):
        text = without_values(text)
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}…"


def one_line(text: str) -> str:
    """The text on one line, with blanks for what is not printed; of a long one both ends."""
    if len(text) > MOST_LOOKED_AT:
        text = text[: MOST_LOOKED_AT // 2] + text[-MOST_LOOKED_AT // 2 :]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def without_values(text: str) -> str:
    """The text without what its quotes may hold of a row."""
    tail = _TAIL.search(text)
    head, end = (text[: tail.start()], tail[0]) if tail else (text, "")
    at, named = 0, _NAMED.search(head)
    while quote := _QUOTE.search(head, at):
        if named is not None and named.start() < at:
            named = _NAMED.search(head, at)
        if named is not None and named.start() <= quote.start() < named.end():
            at = named.end()
        elif _APOSTROPHE.match(head, quote.start()):
            at = quote.end()
        else:
            return f"{head[: quote.start()]}'…'{end}"
    return text
