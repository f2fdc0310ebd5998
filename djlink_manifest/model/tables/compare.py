"""The difference between a table as it shall stand and as it stands, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from djlink_manifest.model.tables.definition import Column, ForeignKey, Index, TableDefinition


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of one table, in words.

    `kind`: `differs` keeps rows from being equal or keys from being held; `column`, `index` and `foreign key`
    are missing and could be added; `more` is a column too many, which holds nothing up; so does `extra`, and
    `marker`, DataJoint's word for a type. `column` is the one that is expected, or that is too many.
    """

    kind: Literal["differs", "column", "index", "foreign key", "more", "extra", "marker"]
    table: str
    words: str
    foreign_key: ForeignKey | None = None
    column: Column | None = None
    index: Index | None = None


_WITHOUT = re.compile(r"[\s`()]")  # what vendors add to an expression
_MARKER = re.compile(r":[^:]+:")  # DataJoint's word for a type, at the start of a column's comment


def differences(expected: TableDefinition, found: TableDefinition) -> tuple[Difference, ...]:
    """What `found` lacks, has otherwise or has more than `expected`. Parts are not looked at."""
    return tuple(_differences(expected, found))


def _differences(expected: TableDefinition, found: TableDefinition) -> Iterator[Difference]:
    name = expected.name
    have = {c.name: c for c in found.columns}
    for column in expected.columns:
        other = have.pop(column.name, None)
        if other is None:
            yield Difference("column", name, f"column `{column.name}` is missing", column=column)
        else:
            for words in _column_words(column, other):
                yield Difference("differs", name, f"column `{column.name}` {words}", column=column)
            if marker(column) != marker(other):
                said = f"has the DataJoint type {marker(other) or 'none'}, not {marker(column) or 'none'}"
                yield Difference("marker", name, f"column `{column.name}` {said}", column=column)
    for extra in have.values():
        needs_value = not extra.nullable and extra.default is None and extra.generated is None
        kind: Literal["differs", "more"] = "differs" if needs_value and not extra.auto_increment else "more"
        yield Difference(kind, name, f"the source's table has no column `{extra.name}`", column=extra)
    if expected.key != found.key:
        yield Difference(
            "differs", name, f"the primary key is ({', '.join(found.key)}), not ({', '.join(expected.key)})"
        )
    yield from _index_differences(expected, found)
    present = {key_shape(k) for k in found.foreign_keys}
    for key in expected.foreign_keys:
        if key_shape(key) not in present:
            words = f"a foreign key to {key.parent_schema}.{key.parent_table} is missing"
            yield Difference("foreign key", name, words, key)
    yield from _check_differences(expected, found)
    linked = {key_shape(k) for k in expected.foreign_keys}
    for key in found.foreign_keys:
        if key_shape(key) not in linked:
            yield Difference(
                "extra",
                name,
                f"it still has a foreign key to {key.parent_schema}.{key.parent_table}, which is no longer "
                f"linked; rows without a parent in {key.parent_schema}.{key.parent_table} cannot be "
                "inserted; link the parent again, or drop that foreign key",
            )


def _check_differences(expected: TableDefinition, found: TableDefinition) -> Iterator[Difference]:
    expected_names = {check.name for check in expected.checks}
    for check in found.checks:
        if check.enforced and check.name not in expected_names:
            yield Difference(
                "extra",
                expected.name,
                f"its check `{check.name}` does not exist at the source; rows that violate it are refused; "
                "drop it",
            )


def _column_words(expected: Column, found: Column) -> Iterator[str]:
    for what, expected_text, found_text in (
        ("type", expected.type, found.type),
        ("character set", of_today(expected.charset), of_today(found.charset)),
        ("collation", of_today(expected.collation), of_today(found.collation)),
        ("generated expression", expected.generated, found.generated),
    ):
        if expected_text != found_text:
            yield f"has the {what} {found_text or 'none'}, not {expected_text or 'none'}"
    if expected.nullable != found.nullable:
        yield "may be NULL" if found.nullable else "may not be NULL"


def marker(column: Column) -> str | None:
    """DataJoint's word for the column's type, which its comment begins with, or None."""
    found = _MARKER.match(column.comment)
    return found.group() if found else None


def same_default(column: Column, other: Column) -> bool:
    """Whether the defaults of two columns are the same, which vendors spell differently: 1 and 1.0."""
    if column.default_is_expression != other.default_is_expression or column.on_update != other.on_update:
        return False
    texts = (column.default, other.default)
    if texts[0] == texts[1] or None in texts:
        return texts[0] == texts[1]
    if column.default_is_expression:
        return len({_WITHOUT.sub("", str(text)).lower() for text in texts}) == 1
    try:
        return column.is_number and Decimal(str(texts[0])) == Decimal(str(texts[1]))
    except InvalidOperation:
        return False


def of_today(name: str | None) -> str | None:
    """The name of a character set or collation; MySQL before 8.0.30 calls utf8mb3 utf8."""
    if name is not None and (name == "utf8" or name.startswith("utf8_")):
        return "utf8mb3" + name.removeprefix("utf8")
    return name


def _index_differences(expected: TableDefinition, found: TableDefinition) -> Iterator[Difference]:
    have = {index_shape(i) for i in found.indexes}
    want = {index_shape(i) for i in expected.indexes}
    for index in expected.indexes:
        if index_shape(index) not in have:
            unique = "unique " if index.unique else ""
            words = f"the {unique}index `{index.name}` is missing"
            yield Difference("index", expected.name, words, index=index)
    for index in found.indexes:
        # the server makes indexes for foreign keys by itself
        if index_shape(index) not in want and index.unique:
            yield Difference("extra", expected.name, f"the source's table has no unique index `{index.name}`")


def index_shape(index: Index) -> tuple[object, ...]:
    """What makes two indexes alike, whatever their names."""
    return (index.unique, index.kind, index.parts)


def key_shape(key: ForeignKey) -> tuple[object, ...]:
    """What makes two foreign keys alike, whatever their names and rules."""
    return (key.parent_schema, key.parent_table, frozenset(zip(key.columns, key.parent_columns, strict=True)))
