"""Values of a catalogue, checked one by one: what a server says is of the right kind, or refused.

Nobody here controls what another server answers. Each function returns a value of the kind that it names, or
raises BadValue, whose message ends a sentence about the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.naming import MAX_NAME
from djlink_manifest.model.vendors.wellformed import is_type

_ODD = re.compile(r"[\s`/\\.]")
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
_DIGITS = re.compile(r"[0-9]{1,20}")
_SHOWN = 40  # characters of a wrong value that a message repeats
_T = TypeVar("_T", bound=str)

Kind: TypeAlias = Callable[[object], Any]

MOST_TEXT = 4_000_000  # characters of any one text
BIGGEST = (1 << 64) - 1


class BadValue(ValueError):
    """A value that no server of ours would give; the message says which, as the end of a sentence."""


@dataclass(slots=True)
class Faults:
    """What of a catalogue cannot be, by table; the first fault of a table counts."""

    found: dict[TableName, str] = field(default_factory=dict)

    @contextmanager
    def of(self, place: TableName) -> Iterator[None]:
        """Note a BadValue raised inside as a fault of that table."""
        try:
            yield
        except BadValue as bad:
            self.found.setdefault(place, str(bad))

    def place(self, schema: object, table: object) -> TableName | None:
        """The table that a row is about, or None where its names are no names: no table has such rows."""
        try:
            return as_name(schema, "a schema"), as_name(table, "a name")
        except BadValue:
            return None


def as_text(value: object, what: str, most: int = MOST_TEXT) -> str:
    """Text, given as text or as its UTF-8, without a NUL."""
    if isinstance(value, bytes | bytearray):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError:
            raise _bad(what, value) from None
    if not isinstance(value, str) or len(value) > most or "\0" in value or not _can_be_sent(value):
        raise _bad(what, value)
    return value


def as_optional_text(value: object, what: str) -> str | None:
    """Text, or None."""
    return None if value is None else as_text(value, what)


def as_value(value: object, what: str) -> str | None:
    """Text of a literal, which may hold a NUL, or None."""
    if isinstance(value, bytes | bytearray | str):
        plain = value.replace(b"\0", b"") if isinstance(value, bytes | bytearray) else value.replace("\0", "")
        as_text(plain, what)
        return bytes(value).decode() if isinstance(value, bytes | bytearray) else value
    return as_optional_text(value, what)


def as_name(value: object, what: str) -> str:
    """The name of a schema, table, column, index or constraint: 1 to 64 characters."""
    name = as_text(value, what)
    if not name or len(name) > MAX_NAME or max(name) > "\uffff":
        raise _bad(what, value)
    return name


def as_plain_name(value: object, what: str) -> str:
    """A name that a manifest could give: no white space, control character, quote of names, slash or dot."""
    name = as_name(value, what)
    if _ODD.search(name) or not name.isprintable():
        raise _bad(what, value)
    return name


def as_word(value: object, what: str) -> str:
    """The name of a character set, collation or engine: letters, digits and `_`."""
    text = as_text(value, what)
    if not _WORD.fullmatch(text):
        raise _bad(what, value)
    return text


def as_optional_word(value: object, what: str) -> str | None:
    """A word, or None."""
    return None if value is None else as_word(value, what)


def as_int(value: object, what: str, least: int = 0, most: int = BIGGEST) -> int:
    """A whole number within bounds, given as a number or as its digits."""
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, str | bytes | bytearray):
        text = as_text(value, what)
        value = int(text) if _DIGITS.fullmatch(text) else None
    if not isinstance(value, int) or not least <= value <= most:
        raise _bad(what, value)
    return int(value)


def as_optional_int(value: object, what: str, least: int = 0, most: int = BIGGEST) -> int | None:
    """A whole number within bounds, or None."""
    return None if value is None else as_int(value, what, least, most)


def as_choice(value: object, what: str, of: Collection[_T]) -> _T:
    """One of some words, whatever its case."""
    text = as_text(value, what).upper()
    for each in of:
        if each == text:
            return each
    raise _bad(what, value)


def as_type(value: object, what: str) -> str:
    """A column's type that djlink knows, as DDL takes it."""
    text = as_text(value, what)
    if not is_type(text):
        raise BadValue(f"has {what} of the type {_shown(text)}, which djlink does not support")
    return text


def a_count(value: object) -> int:
    """A number of rows, bytes or seconds."""
    return as_int(value, "a count", most=(1 << 63) - 1)


def a_number(value: object) -> int:
    """A whole number, of whatever sign."""
    text = as_text(value, "a number", 80) if isinstance(value, str | bytes | bytearray) else None
    if text is not None and text.startswith("-"):
        return -as_int(text[1:], "a number", most=1 << 128)
    return as_int(value, "a number", least=-(1 << 128), most=1 << 128)


def an_optional_number(value: object) -> int | None:
    """A whole number, or None."""
    return None if value is None else a_number(value)


def a_flag(value: object) -> bool:
    """Whether a condition is met; NULL is not."""
    return value is not None and as_int(value, "a truth value", -1, 1) != 0


def an_optional_flag(value: object) -> bool | None:
    """Whether a condition is met, or None."""
    return None if value is None else a_flag(value)


def a_text(value: object) -> str:
    """A text."""
    return as_text(value, "a text")


def an_optional_text(value: object) -> str | None:
    """A text, or None."""
    return as_optional_text(value, "a text")


def a_name(value: object) -> str:
    """The name of a schema, table or column."""
    return as_name(value, "a name")


def a_word(value: object) -> str:
    """The name of a character set or collation."""
    return as_word(value, "a word")


def a_moment(value: object) -> datetime:
    """A moment."""
    if not isinstance(value, datetime):
        raise _bad("a moment", value)
    return value


def an_optional_moment(value: object) -> datetime | None:
    """A moment, or None."""
    return None if value is None else a_moment(value)


def anything(value: object) -> object:
    """Whatever the server says: nothing depends on what it is."""
    return value


def shown(value: object) -> str:
    """A wrong value as a message repeats it: short, and without what a terminal acts upon."""
    return _shown(value)


def _shown(value: object) -> str:
    try:
        text = ascii(value)
    except ValueError:  # a number of thousands of digits
        text = f"of the kind {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _bad(what: str, value: object) -> BadValue:
    return BadValue(f"has {what} that is invalid: {_shown(value)}")


def _can_be_sent(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
