"""SQL text of a condition, cut into tokens as MySQL and MariaDB cut it in their default SQL mode.

That is without ANSI_QUOTES and NO_BACKSLASH_ESCAPES; djlink's sessions run so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from djlink_manifest.model.vendors.condition_words import OPERATORS

_LAST_OF_NAMES = 0xFFFF
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|0b[01]+|\d+(?:[eE]\d*)?|[eE]\d+")  # a point or a sign parts it
NAMING_A_CHARSET = frozenset({"CHARSET", "COLLATE", "SET", "USING"})


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


def tokens_of(text: str) -> Iterator[Token]:
    """The tokens of a text. Raises Refused for comments, unclosed quotes and characters that no SQL has."""
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
        elif _in_word(character):
            end = at + 1
            while end < len(text) and _in_word(text[end]):
                end += 1
            yield Token("word", text[at:end], at)
            at = end
        elif ord(character) > _LAST_OF_NAMES:
            raise Refused("a character that no name can have", at)
        else:
            yield Token("other", character, at)
            at += 1


def _in_word(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "_$"
    return ord(character) <= _LAST_OF_NAMES


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


def neighbors(tokens: list[Token]) -> Iterator[tuple[Token, Token, Token]]:
    """Each token with the one before and the one after it."""
    end = Token("other", "", -1)
    yield from zip([end, *tokens], tokens, [*tokens[1:], end], strict=False)


def is_word(token: Token, *names: str) -> bool:
    """Whether the token is one of these words, unquoted; given in capitals."""
    return token.kind == "word" and folded(token) in names


def spelled(token: Token) -> str:
    """An unquoted word in small letters, to be looked up in lists; one that is not ASCII stays as it is."""
    return token.text.lower() if token.text.isascii() else token.text


def is_other(token: Token, text: str) -> bool:
    """Whether the token is this character, outside quotes."""
    return token.kind == "other" and token.text == text


def is_opening(token: Token) -> bool:
    """Whether the token is an opening parenthesis."""
    return is_other(token, "(")


def is_number(token: Token) -> bool:
    """Whether the word is a number, or what stands on one side of its point or sign."""
    return _NUMBER.fullmatch(token.text) is not None


def is_literal(token: Token, following: Token) -> bool:
    """Whether the word is the x, b or n of a literal."""
    adjacent = following.kind == "string" and following.at == token.at + len(token.text)
    return adjacent and token.text.lower() in {"x", "b", "n"}


def is_operator(before: Token, token: Token) -> bool:
    """Whether the word is an operator, or names a character set or collation."""
    named = before.kind == "word" and folded(before) in NAMING_A_CHARSET
    return named or spelled(token) in OPERATORS


def folded_name(name: str) -> str:
    """A name in the one spelling that servers compare by: no accents, capital letters."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).upper()


def folded(token: Token) -> str:
    """The token's name in the one spelling that servers compare by."""
    return folded_name(bare(token))


def bare(token: Token) -> str:
    """The token's name without quotes."""
    return token.text[1:-1].replace("``", "`") if token.kind == "name" else token.text
