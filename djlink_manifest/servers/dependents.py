"""Foreign keys that point at tables of some schemas, whatever schema the referring table is in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from djlink_manifest.model.catalog import TableName
from djlink_manifest.model.definition import ForeignKey
from djlink_manifest.servers.connection import Row, Session
from djlink_manifest.servers.sql import comma, sql

_KEYS = """
SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA,
       REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE REFERENCED_TABLE_SCHEMA IN ({})
ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"""


def keys_to(session: Session, schemas: Iterable[str]) -> list[tuple[TableName, ForeignKey]]:
    """Every foreign key to a table of these schemas that the account sees, with the table that has it."""
    listed = comma([sql("{}", schema) for schema in sorted(schemas)])
    if not listed.text:
        return []
    grouped = defaultdict[tuple[str, str, str], list[Row]](list)
    for row in session.rows(sql(_KEYS, listed)):
        grouped[row[0], row[1], row[2]].append(row[3:])
    return [
        (
            (schema, table),
            ForeignKey(name, tuple(r[0] for r in rows), rows[0][1], rows[0][2], tuple(r[3] for r in rows)),
        )
        for (schema, table, name), rows in grouped.items()
    ]
