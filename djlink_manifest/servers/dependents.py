"""Foreign keys that point at tables of some schemas, whatever schema the referring table is in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from djlink_manifest.errors import ServerError
from djlink_manifest.model.catalog import TableName
from djlink_manifest.model.definition import ForeignKey
from djlink_manifest.model.rights import parse_grants
from djlink_manifest.servers.connection import Row, Session, first_values
from djlink_manifest.servers.numbers import DENIED
from djlink_manifest.servers.sql import Sql, comma, sql

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


_ACTS = 1 | 2  # of InnoDB's flags of a foreign key: ON DELETE CASCADE, ON DELETE SET NULL
_CODED = re.compile(r"@([0-9a-f]{4})")  # how InnoDB writes what is no letter, digit or `_` in a name
_SHOWING = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "ALL", "ALL PRIVILEGES"})


def acting_unseen(
    session: Session, schemas: Collection[str], seen: Collection[TableName]
) -> Mapping[TableName, tuple[str, ...]] | None:
    """Tables of these schemas, each with the tables that refer to it by a key that changes rows by itself.

    Those that `keys_to` does not show, as the account has no right on them: ON DELETE CASCADE or SET NULL
    would change their rows, and no one be told. None where the account cannot know: it has no right on every
    schema, nor PROCESS, with which InnoDB tells all foreign keys.
    """
    select = sql("SELECT FOR_NAME, REF_NAME, TYPE FROM information_schema.{}", Sql(session.dialect.FOREIGN))
    try:
        rows = session.rows(select)
    except ServerError as error:
        if error.code not in DENIED:
            raise
        lines = (str(line) for line in first_values(session.rows(sql("SHOW GRANTS"))))
        given = parse_grants(lines, roles_give_all=False)
        return {} if any(g.schema == g.table == "*" and g.rights & _SHOWING for g in given) else None
    found = defaultdict[TableName, set[str]](set)
    for child, parent, flags in rows:
        refers, named = _decoded(str(child)), _decoded(str(parent))
        if int(flags) & _ACTS and named[0] in schemas and refers not in seen:
            found[named].add(".".join(refers))
    return {table: tuple(sorted(names)) for table, names in found.items()}


def _decoded(name: str) -> TableName:
    schema, _, table = _CODED.sub(lambda m: chr(int(m[1], 16)), name).partition("/")
    return schema, table
