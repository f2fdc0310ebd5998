"""What a condition of the manifest asks of a table that the table does not have."""

from __future__ import annotations

import math
from collections.abc import Iterator

from djlink_manifest.manifest.conditions.names import column_names, functions_called
from djlink_manifest.manifest.conditions.tokens import folded_name
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, SqlCondition
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.vendors.condition_words import callable_on


def where_problems(where: Condition, table: TableDefinition, vendor: str) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a `where`, each with its next step: columns that the table does not have, values of
    another type, and functions that a server of this vendor does not have."""
    match where:
        case AllOf(terms=terms) | AnyOf(terms=terms):
            for term in terms:
                yield from where_problems(term, table, vendor)
        case SqlCondition(text=text, composed=False):
            yield from _text_problems(text, table, vendor)
        case Equals(column=name, values=values):
            if name not in table.column_names:
                yield _no_column(name, table)
                return
            column = table.column(name)
            numbers = [v for v in values if isinstance(v, (int, float))]
            texts = [v for v in values if isinstance(v, str) and not _is_number(v)]
            if column.is_text and numbers:
                told = f"the number {numbers[0]}" if not isinstance(numbers[0], bool) else "true or false"
                yield f"`where` compares the text column `{name}` with {told}", "put it in quotes"
            elif column.is_number and texts:  # which the server takes for 0
                yield (
                    f"`where` compares the number column `{name}` with the text {texts[0]!r}",
                    "write a number",
                )


def _text_problems(text: str, table: TableDefinition, vendor: str) -> Iterator[tuple[str, str | None]]:
    known = {folded_name(name) for name in table.column_names}
    for column in column_names(text):
        if folded_name(column.text) not in known:
            yield _no_column(column.text, table)
    known_functions = callable_on(vendor)
    for function in functions_called(text):
        if function.text.lower() not in known_functions:
            yield (
                f"`where` calls `{function.text}()`, which a {vendor} server does not have",
                "the functions of each vendor are listed in docs/manifest.md, under `where`",
            )


def _no_column(name: str, table: TableDefinition) -> tuple[str, str]:
    close = nearest(name, table.column_names)
    hint = f"did you mean `{close}`?" if close else f"it has {', '.join(table.column_names)}"
    return f"`where` uses the column `{name}`, which the table does not have", hint


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
