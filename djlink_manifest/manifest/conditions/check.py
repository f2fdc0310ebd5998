"""What a condition in SQL may hold: one condition over the table's own columns, and nothing that acts.

What is allowed is listed (`model/vendors/condition_words.py`), and anything else is refused.
"""

from __future__ import annotations

import re

from djlink_manifest.manifest.conditions.tokens import (
    NAMING_A_CHARSET,
    Refused,
    Token,
    folded,
    is_literal,
    is_opening,
    is_other,
    is_word,
    neighbors,
    spelled,
    tokens_of,
)
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.vendors.condition_words import CALLABLE, GROUPING, RESERVED

HELP = (
    "SQL in `where` must be one condition on the table's own columns; what it may hold is listed in "
    "docs/manifest.md, under `where`"
)

# fmt: off
_SUBQUERY = frozenset({
    "EXCEPT", "EXISTS", "INTERSECT", "JSON_TABLE", "LATERAL", "SELECT", "TABLE", "UNION", "VALUES", "WITH",
})
_CLAUSE = frozenset({
    "CALL", "DELETE", "FETCH", "GROUP", "HAVING", "INSERT", "LIMIT", "LOCK", "OFFSET", "ORDER", "OVER",
    "PROCEDURE", "REPLACE", "UPDATE", "WHERE", "WINDOW",
})
_CHANGING = frozenset({  # functions whose value changes by itself
    "CURDATE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "CURTIME", "LOCALTIME",
    "LOCALTIMESTAMP", "NOW", "RAND", "RANDOM_BYTES", "SESSION_USER", "SYSDATE", "SYSTEM_USER", "SYS_GUID",
    "USER", "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP", "UUID", "UUID_SHORT", "UUID_V4", "UUID_V7",
})
_CHANGING_WORDS = frozenset({  # likewise, without parentheses
    "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "LOCALTIME", "LOCALTIMESTAMP",
    "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP",
})
# fmt: on
_HEX = re.compile(r"'(?:[0-9a-fA-F]{2})*'")
_BITS = re.compile(r"'[01]*'")


def check(text: str, *, steady: bool = False) -> None:
    """Raise `Refused` where the text is more or less than one condition.

    `steady` also refuses functions whose value changes by itself, such as `CURDATE()`.
    """
    tokens = list(tokens_of(text))
    if not tokens:
        raise Refused("the condition is empty", 0)
    _check_balance(tokens)
    for token in tokens:
        if token.kind == "other":
            _check_character(token)
    for one, two, three in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if is_word(one, "NEXT", "PREVIOUS") and is_word(two, "VALUE") and is_word(three, "FOR"):
            raise Refused(f"`{folded(one)} VALUE FOR`, which reads or writes a sequence", one.at)
    for before, token, following in neighbors(tokens):
        _check_word(before, token, following)
    if steady:
        _check_steady(tokens)


def _check_balance(tokens: list[Token]) -> None:
    opened: list[int] = []
    for token in tokens:
        if token.kind == "other" and token.text == "(":
            opened.append(token.at)
        elif token.kind == "other" and token.text == ")":
            if not opened:
                raise Refused("a closing parenthesis without an opening one", token.at)
            opened.pop()
    if opened:
        raise Refused("an unclosed parenthesis", opened[-1])


def _check_character(token: Token) -> None:
    if token.text == ";":
        raise Refused("a `;`; only one condition is allowed", token.at)
    if token.text == "@":
        raise Refused("a variable (`@`)", token.at)
    if token.text == ":":
        raise Refused("a `:`; assignments and parameters are not allowed", token.at)
    if token.text in {"?", "{", "}", "[", "]", "\\"}:
        raise Refused(f"a `{token.text}` outside quotes", token.at)
    if ord(token.text) < 32:
        raise Refused("a control character", token.at)


def _check_word(before: Token, token: Token, following: Token) -> None:
    if token.kind not in {"word", "name"}:
        return
    called = is_opening(following)
    if token.kind == "name" or is_other(before, "."):
        if called:
            raise Refused("a stored function, which may have side effects", token.at)
        return
    name = folded(token)
    if name == "INTO":
        raise Refused("`INTO`; a condition cannot write", token.at)
    if name in _SUBQUERY:
        raise Refused(f"a subquery (`{name}`); a condition can read only its own table", token.at)
    if name in _CLAUSE and not (called and spelled(token) in CALLABLE):
        raise Refused(f"`{name}`; write only the condition", token.at)
    if called:
        _check_called(before, token)
    elif token.text.upper() in {"X", "B"} and is_literal(token, following):
        digits, what = (_HEX, "hexadecimal") if token.text in "xX" else (_BITS, "binary")
        if not digits.fullmatch(following.text):
            raise Refused(f"`{token.text}` before a text that is not {what}", token.at)
    elif name.lower() in RESERVED:
        raise Refused(
            f"the word `{token.text}`, which is no operator; a column of that name is quoted with backticks",
            token.at,
        )


def _check_called(before: Token, token: Token) -> None:
    name = spelled(token)
    if name in GROUPING:
        return
    if name in CALLABLE and not (before.kind == "word" and folded(before) in NAMING_A_CHARSET):
        return
    close = nearest(name, CALLABLE)
    raise Refused(
        f"the function `{token.text}()` is not among those that a condition may call"
        + (f"; did you mean `{close}`?" if close else ""),
        token.at,
    )


def _check_steady(tokens: list[Token]) -> None:
    ended = [*tokens, Token("other", "", 0), Token("other", "", 0)]
    for token, second, third in zip(ended, ended[1:], ended[2:], strict=False):
        if token.kind not in {"word", "name"}:
            continue
        name, called = folded(token), second.kind == "other" and second.text == "("
        empty_call = called and third.kind == "other" and third.text == ")"
        if (
            (called and name in _CHANGING)
            or (token.kind == "word" and name in _CHANGING_WORDS)
            or (name == "UNIX_TIMESTAMP" and empty_call)
        ):
            raise Refused(
                f"the value of `{name}` changes over time, so `unwanted: release` would delete rows over "
                "time",
                token.at,
            )
