"""What of another server's text may become part of DDL: known types, and expressions of known words.

Texts come from catalogues of servers that nobody here controls. What is not understood is refused; nothing is
mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from djlink_manifest.model.vendors.vocabulary import BEFORE_PARENTHESES, FUNCTIONS, KEYWORDS

LONGEST = 1_000_000  # characters of a type: an enum may have thousands of members
LONGEST_EXPRESSION = 100_000  # servers take no longer ones than 64 KB

# the most that the numbers in parentheses may be, by type; an empty tuple takes none
_BOUNDS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "bit"), (255,)),
    **dict.fromkeys(("float", "double", "decimal"), (255, 38)),
    **dict.fromkeys(("datetime", "timestamp", "time"), (6,)),
    **dict.fromkeys(("char", "binary"), (255,)),
    **dict.fromkeys(("varchar", "varbinary"), (65_535,)),
    **dict.fromkeys(("year",), (4,)),
    **dict.fromkeys(("vector",), (65_535,)),
    **dict.fromkeys(
        (
            *("date", "json", "uuid", "inet4", "inet6", "xmltype"),
            *(f"{size}{kind}" for size in ("tiny", "", "medium", "long") for kind in ("text", "blob")),
            *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
            *("geometrycollection", "geomcollection"),
        ),
        (),
    ),
}
_NUMERIC = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"})
_TYPE = re.compile(r"([a-z0-9]+)(?:\((\d{1,10})(?:,(\d{1,3}))?\))?((?: [a-zA-Z]+)*)")
_LIST = re.compile(r"(?:enum|set)\('(?:[^'\\]|''|\\.)*'(?:,'(?:[^'\\]|''|\\.)*')*\)", re.DOTALL)
_COMPRESSIBLE = re.compile(r"varchar|varbinary|[a-z]*(?:text|blob)")

# as the server reads them, from left to right: a backslash escapes in strings, and not in backticks
_TOKEN = re.compile(
    r"""(?P<blank>[ \t\n\r\v\f]+)
    |(?P<string>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")
    |(?P<name>`(?:[^`]|``)+`)
    |(?P<number>(?:0x[0-9a-fA-F]+|[xX]'[0-9a-fA-F]*'|[bB]'[01]*'
        |(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w$]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*(?![\w$]))
    |(?P<sign>->>|->|<=>|<>|<=|>=|!=|<<|>>|\|\||&&|[-+*/%=<>!&|^~(),.])""",
    re.VERBOSE | re.DOTALL,
)

# two dashes begin a comment only before a blank; MariaDB writes `- -a` as --`a`
_COMMENT = re.compile(r"--(?=[\x00-\x20\x7f]|$)|/\*|\*/")


def is_type(text: str) -> bool:
    """Whether the text is a column's type that djlink knows, with numbers that a type can have."""
    if len(text) > LONGEST or "\0" in text:
        return False
    if _LIST.fullmatch(text):
        return True
    found = _TYPE.fullmatch(text)
    bounds = _BOUNDS.get(found[1]) if found else None
    if found is None or bounds is None:
        return False
    numbers = [int(each) for each in found.groups()[1:3] if each is not None]
    if len(numbers) > len(bounds) or any(n > most for n, most in zip(numbers, bounds, strict=False)):
        return False
    words = found[4].split()
    if words == ["COMPRESSED"]:
        return _COMPRESSIBLE.fullmatch(found[1]) is not None
    return not words or (
        found[1] in _NUMERIC and words in (["unsigned"], ["zerofill"], ["unsigned", "zerofill"])
    )


def is_contained(expression: str) -> bool:
    """Whether the expression cannot leave the parentheses around it, and holds no comment."""
    return _tokens(expression) is not None


def unknown_words(expression: str) -> tuple[str, ...]:
    """Words and calls of a contained expression that djlink does not know to be harmless.

    Only functions that compute from their arguments, the clock or the account are known: no subquery, no
    variable and no function of a schema is.
    """
    tokens = _tokens(expression)
    if tokens is None:
        raise ValueError("asked of contained expressions alone")
    return tuple(dict.fromkeys(_unknown(tokens)))


def _unknown(tokens: list[tuple[str, str]]) -> Iterator[str]:
    ends = [("", ""), *tokens, ("", "")]
    for (_, before), (kind, text), (next_kind, after) in zip(ends, ends[1:], ends[2:], strict=False):
        called = after == "("
        if kind == "name" and called:
            yield f"{text}()"  # a function of a schema
        elif kind == "word" and before.lower() in ("collate", "charset", "using", "set"):
            if called:
                yield f"{text}()"
        elif kind == "word" and text.startswith("_") and next_kind in ("string", "number"):
            continue  # an introducer: the character set of the literal
        elif kind == "word":
            word = text.lower()
            if word not in (FUNCTIONS | BEFORE_PARENTHESES if called else KEYWORDS):
                yield f"{text}()" if called else text


def _tokens(expression: str) -> list[tuple[str, str]] | None:
    """The expression's tokens as (kind, text), without blanks; None where it is not one whole expression."""
    if len(expression) > LONGEST_EXPRESSION or "\0" in expression:
        return None
    found, at, depth = list[tuple[str, str]](), 0, 0
    while at < len(expression):
        token = _TOKEN.match(expression, at)
        if token is None or _COMMENT.match(expression, at):
            return None
        at = token.end()
        kind = str(token.lastgroup)
        if kind != "blank":
            found.append((kind, token.group()))
            depth += (token.group() == "(") - (token.group() == ")")
            if depth < 0:
                return None
    return found if found and depth == 0 else None
