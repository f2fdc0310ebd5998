"""What a condition of the manifest asks of a table that the table does not have."""

from __future__ import annotations

import math
from collections.abc import Iterator

from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals
from djlink_manifest.model.tables.definition import TableDefinition


def where_problems(where: Condition, table: TableDefinition) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a `where` that names columns, each with its next step. SQL text is not looked at."""
    match where:
        case AllOf(terms=terms) | AnyOf(terms=terms):
            for term in terms:
                yield from where_problems(term, table)
        case Equals(column=name, values=values):
            if name not in table.column_names:
                close = nearest(name, table.column_names)
                hint = f"did you mean `{close}`?" if close else f"it has {', '.join(table.column_names)}"
                yield f"`where` uses the column `{name}`, which the table does not have", hint
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


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
