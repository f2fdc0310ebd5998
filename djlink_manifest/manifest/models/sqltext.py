"""What a `where` in SQL may hold: one condition over the table's own columns, and nothing that acts.

The text is cut into tokens as MySQL and MariaDB do in their default SQL mode (no ANSI_QUOTES, no
NO_BACKSLASH_ESCAPES), in which djlink's sessions run. What is not understood is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

# fmt: off
_SUBQUERY = frozenset({
    "EXCEPT", "EXISTS", "INTERSECT", "SELECT", "TABLE", "UNION", "VALUES", "WITH",
})
_CLAUSE = frozenset({
    "CALL", "DELETE", "GROUP", "HAVING", "INSERT", "LIMIT", "ORDER", "OVER", "PROCEDURE", "REPLACE",
    "UPDATE", "WHERE", "WINDOW",
})
_ALSO_FUNCTIONS = frozenset({  # string functions where a `(` follows
    "INSERT", "REPLACE",
})
_ACTING = frozenset({  # they wait, lock, write or read files
    "BENCHMARK", "IS_FREE_LOCK", "IS_USED_LOCK", "LASTVAL", "LAST_INSERT_ID", "LOAD_FILE",
    "MASTER_GTID_WAIT", "MASTER_POS_WAIT", "NEXTVAL", "SETVAL", "SLEEP", "SOURCE_POS_WAIT", "SYS_EVAL",
    "SYS_EXEC", "SYS_GET", "SYS_SET", "WAIT_FOR_EXECUTED_GTID_SET", "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS",
})
_ACTING_STARTS = (
    "ASYNCHRONOUS_", "AUDIT_", "GET_LOCK", "GROUP_REPLICATION_", "GTID_WAIT", "KEYRING_", "MYSQL_FIREWALL_",
    "RELEASE_", "SERVICE_", "VERSION_TOKENS_", "WSREP_",
)
_CHANGING = frozenset({  # their value changes by itself
    "CONNECTION_ID", "CURDATE", "CURRENT_DATE", "CURRENT_ROLE", "CURRENT_TIME", "CURRENT_TIMESTAMP",
    "CURRENT_USER", "CURTIME", "DATABASE", "FOUND_ROWS", "ICU_VERSION", "LOCALTIME", "LOCALTIMESTAMP",
    "NOW", "PS_CURRENT_THREAD_ID", "RAND", "RANDOM_BYTES", "ROW_COUNT", "SCHEMA", "SESSION_USER", "SYSDATE",
    "SYSTEM_USER", "SYS_GUID", "USER", "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP", "UUID", "UUID_SHORT",
    "UUID_V4", "UUID_V7", "VERSION",
})
_CHANGING_WORDS = frozenset({  # likewise, without parentheses
    "CURRENT_DATE", "CURRENT_ROLE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "LOCALTIME",
    "LOCALTIMESTAMP", "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL: a word, a quoted identifier (`name`), a string, or one other character."""

    kind: Literal["word", "name", "string", "other"]
    text: str
    at: int


class Refused(ValueError):
    """SQL text that a `where` may not hold; `at` is the offending place in the text, from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def check(text: str, *, steady: bool = False) -> None:
    """Raise `Refused` where the text is more or less than one condition.

    `steady` also refuses functions whose value changes by itself, such as `CURDATE()`.
    """
    tokens = list(_tokens(text))
    if not tokens:
        raise Refused("the condition is empty", 0)
    _check_balance(tokens)
    for token in tokens:
        if token.kind == "other":
            _check_character(token)
    for token, following in pairwise([*tokens, Token("other", "", len(text))]):
        _check_word(token, called=following.text == "(" and following.kind == "other")
        if (token.text.upper(), following.text.upper()) == ("NEXT", "VALUE"):  # MariaDB's NEXTVAL
            raise Refused("`NEXT VALUE FOR` changes a sequence", token.at)
        if (token.kind, following.kind) == ("word", "word") and (_folded(token), _folded(following)) == (
            "NEXT",
            "VALUE",
        ):
            raise Refused("`NEXT VALUE FOR`, which writes", token.at)
    for one, two, three in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if one.text == "." and one.kind == "other" and two.kind in {"word", "name"} and three.text == "(":
            raise Refused("a stored function, which may have side effects", two.at)
    if steady:
        _check_steady(tokens)


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        character = text[at]
        if character == "\0":
            raise Refused("a NUL character", at)
        if character in "'\"`":
            end = _end_of_quote(text, at)
            yield Token("name" if character == "`" else "string", text[at:end], at)
            at = end
        elif character == "#" or text.startswith(("--", "/*", "*/"), at):
            raise Refused("a comment", at)
        elif character in " \t\n\r\f\v":
            at += 1
        elif _is_word(character):
            end = at + 1
            while end < len(text) and _is_word(text[end]):
                end += 1
            yield Token("word", text[at:end], at)
            at = end
        else:
            yield Token("other", character, at)
            at += 1


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "_$" or ord(character) > 127


def _end_of_quote(text: str, start: int) -> int:
    """The place after the quote that closes the one at `start`. Doubled quotes stand for one; in strings a
    backslash takes the next character along."""
    quote, at = text[start], start + 1
    while at < len(text):
        if text[at] == "\0":
            raise Refused("a NUL character", at)
        if text[at] == "\\" and quote != "`":
            at += 2
        elif text[at] != quote:
            at += 1
        elif text.startswith(quote, at + 1):
            at += 2
        else:
            return at + 1
    raise Refused(f"an unclosed quote ({quote})", start)


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


def _check_word(token: Token, called: bool) -> None:
    if token.kind not in {"word", "name"}:
        return
    name = _folded(token)
    if token.kind == "word":
        if name == "INTO":
            raise Refused("`INTO`; a condition cannot write", token.at)
        if name in _SUBQUERY:
            raise Refused(f"a subquery (`{name}`); a condition can read only its own table", token.at)
        if name in _CLAUSE and not (called and name in _ALSO_FUNCTIONS):
            raise Refused(f"`{name}`; write only the condition", token.at)
    if called and (name in _ACTING or name.startswith(_ACTING_STARTS)):
        raise Refused(f"`{name}()`, which waits, locks, writes or reads files", token.at)


def _check_steady(tokens: list[Token]) -> None:
    ended = [*tokens, Token("other", "", 0), Token("other", "", 0)]
    for token, second, third in zip(ended, ended[1:], ended[2:], strict=False):
        if token.kind not in {"word", "name"}:
            continue
        name, called = _folded(token), second.kind == "other" and second.text == "("
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


def _folded(token: Token) -> str:
    """The name in the one spelling that servers compare by: no accents, capital letters."""
    bare = token.text[1:-1].replace("``", "`") if token.kind == "name" else token.text
    decomposed = unicodedata.normalize("NFKD", bare)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).upper()
