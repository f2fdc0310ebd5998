"""What a local mark says of the tables that djlink made: as text, and read again.

It is compared with catalogs, and never becomes part of a statement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from djlink_manifest.model.server.catalog import MadeTable, TableName
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.session.checked_values import as_name

_COMMENT = ""  # no column is called so


def made_text(master: TableDefinition) -> str:
    """The tables of a link, with their columns and comments, as a mark keeps them."""
    return json.dumps({t.name: {_COMMENT: t.comment, **_columns(t)} for t in master.tables})


def read_made(text: Any) -> Mapping[str, MadeTable] | None:
    """The tables that a mark names; None where it does not, or not as djlink writes it.

    Earlier versions wrote a list of the names of columns.
    """
    try:
        value = json.loads(text) if text else None
        return {str(name): _table(found) for name, found in value.items()} if value else None
    except (ValueError, TypeError, AttributeError):
        return None


def made_under(text: str, names: Mapping[str, str]) -> str:
    """What a mark says of tables, with tables under other names."""
    return json.dumps({names.get(name, name): found for name, found in json.loads(text).items()})


def read_place(text: Any) -> TableName | None:
    """The local schema and table from which a move brings tables, as its mark says; None where none does."""
    try:
        schema, name = json.loads(text)
        return as_name(schema, "a schema of a mark"), as_name(name, "a table of a mark")
    except (ValueError, TypeError):  # none, or not as djlink writes it
        return None


def read_names(text: Any) -> Mapping[str, str] | None:
    """What checks are called, by the names that they would have had; None where a mark does not say."""
    try:
        value = json.loads(text) if text else None
        return {str(name): str(actual) for name, actual in value.items()} if value else None
    except (ValueError, TypeError, AttributeError):  # not as djlink writes it: as good as not written
        return None


def _columns(table: TableDefinition) -> dict[str, list[Any]]:
    return {
        c.name: [
            *(c.type, c.nullable, c.charset, c.collation, c.comment),
            *(c.default, c.default_is_expression, c.on_update, c.generated),
        ]
        for c in table.columns
    }


def _table(found: Any) -> MadeTable:
    if isinstance(found, list):
        return MadeTable(dict.fromkeys(map(str, found)))
    comment = found.get(_COMMENT)
    columns = {str(name): _column(str(name), values) for name, values in found.items() if name != _COMMENT}
    return MadeTable(columns, comment if isinstance(comment, str) else None)


def _column(name: str, values: Any) -> Column | None:
    type_, nullable, charset, collation, comment, default, is_expression, on_update, generated = values
    texts = (charset, collation, default, on_update, generated)
    if not all(isinstance(each, str) for each in (type_, comment)) or not all(
        each is None or isinstance(each, str) for each in texts
    ):
        return None
    return Column(
        name,
        type_,
        nullable=bool(nullable),
        default=default,
        default_is_expression=bool(is_expression),
        on_update=on_update,
        charset=charset,
        collation=collation,
        comment=comment,
        generated=generated,
    )
