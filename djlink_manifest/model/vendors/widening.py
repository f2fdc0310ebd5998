"""Which changes of a column's type keep every value that the column can hold. Pure."""

from __future__ import annotations

import re

from djlink_manifest.model.tables.definition import Column
from djlink_manifest.model.vendors.widths import byte_width

_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
_BLOBS = ("tinyblob", "blob", "mediumblob", "longblob")
_TEXTS = ("tinytext", "text", "mediumtext", "longtext")
_CAPACITY = (255, 65_535, (1 << 24) - 1, (1 << 32) - 1)  # bytes
_MOMENTS = frozenset({"time", "datetime", "timestamp"})
_NUMBERS = re.compile(r"[a-z]+(?:\((\d+)(?:,(\d+))?\))?((?: [a-zA-Z]+)*)")
_MEMBER = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)


def keeps_values(before: Column, after: Column) -> bool:
    """Whether every value of a column of the type `before` is the same value of the type `after`.

    Character sets and collations must be equal: what is equal, and what fits, depends on them.
    """
    if before.type == after.type:
        return True
    old, new = before.base_type, after.base_type
    if old in ("enum", "set"):
        return old == new and set(members(before)) <= set(members(after))
    (first, scale, words), (length, digits, more) = _numbers(before.type), _numbers(after.type)
    if words != more and not (old in _INTEGERS and new in _INTEGERS):
        return False
    if old in _INTEGERS and new in _INTEGERS:
        return _keeps_integers((old, words), (new, more))
    if old == new == "decimal":
        return length - digits >= first - scale and digits >= scale
    if old == "float" and new == "double":
        return not first and not length
    if old == new and old in _MOMENTS:
        return length >= first
    if old in ("char", "varchar"):
        return _keeps_text(before, after)
    for kinds in (_TEXTS, _BLOBS):
        if old in kinds and new in kinds:
            return kinds.index(new) >= kinds.index(old)
    if old == "varbinary":
        return (new == old and length >= first) or (new in _BLOBS and _CAPACITY[_BLOBS.index(new)] >= first)
    return False


def respells_values(before: Column, after: Column) -> bool:
    """Whether the same value is written otherwise by the two types, as 1.50 is 1.500 with more decimals."""
    respelled = {"float", "decimal", "set", *_MOMENTS}
    return before.type != after.type and before.base_type in respelled


def members(column: Column) -> tuple[str, ...]:
    """The members of an enum or a set, as the catalog spells them."""
    return tuple(_MEMBER.findall(column.type))


def _numbers(type_: str) -> tuple[int, int, str]:
    """The two numbers of a type, 0 for one that it has not, and the words behind them."""
    found = _NUMBERS.fullmatch(type_)
    if found is None:
        return 0, 0, type_
    return int(found[1] or 0), int(found[2] or 0), found[3]


def _keeps_integers(before: tuple[str, str], after: tuple[str, str]) -> bool:
    """What is filled with zeros is read so, and is left alone."""
    (old, words), (new, more) = before, after
    if "zerofill" in words + more:
        return False
    wider = _INTEGERS.index(new) - _INTEGERS.index(old)
    if words == more:
        return wider >= 0
    return bool(words) and wider > 0  # without a sign before, with one after


def _keeps_text(before: Column, after: Column) -> bool:
    first, _, _ = _numbers(before.type)
    if after.base_type in ("char", "varchar"):
        to_char = (
            before.base_type == "varchar" and after.base_type == "char"
        )  # which has no blanks at its end
        return not to_char and _numbers(after.type)[0] >= first
    if after.base_type in _TEXTS:
        return _CAPACITY[_TEXTS.index(after.base_type)] >= byte_width(before)
    return False
