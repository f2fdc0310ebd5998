"""Foreign keys that point at tables of some schemas, whatever schema the referring table is in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.server.rights import parse_grants
from djlink_manifest.model.tables.definition import ForeignKey
from djlink_manifest.model.tables.naming import beside_source
from djlink_manifest.servers.session.checked_values import a_count, a_name, a_text
from djlink_manifest.servers.session.error_words import DENIED
from djlink_manifest.servers.session.session import Row, Session, first_values
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
    for row in session.rows(sql(_KEYS, listed), *[a_name] * 7):
        grouped[row[0], row[1], row[2]].append(row[3:])
    return [
        (
            (schema, table),
            ForeignKey(name, tuple(r[0] for r in rows), rows[0][1], rows[0][2], tuple(r[3] for r in rows)),
        )
        for (schema, table, name), rows in grouped.items()
    ]


# of InnoDB's flags of a foreign key: CASCADE and SET NULL, ON DELETE and ON UPDATE
_ON_DELETE, _ON_UPDATE = 1 | 2, 4 | 8
_CODED = re.compile(r"@([0-9a-f]{4})")  # how InnoDB writes what is no letter, digit or `_` in a name
_SHOWING = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "ALL", "ALL PRIVILEGES"})


@dataclass(frozen=True, slots=True)
class UnseenKey:
    """A foreign key of a table on which the account has no right, and which changes rows by itself."""

    name: str
    parent: TableName
    parent_columns: tuple[str, ...]
    acts_on_delete: bool
    acts_on_update: bool


def unseen_keys(
    session: Session, schemas: Collection[str], seen: Collection[TableName]
) -> tuple[UnseenKey, ...] | None:
    """The foreign keys to tables of these schemas that change rows by themselves and that `keys_to` hides.

    ON DELETE CASCADE or SET NULL, or the same ON UPDATE, would change rows of a table that is not among those
    `seen`, and no one be told. None where the account cannot know: it has no right on every schema, nor
    PROCESS, with which InnoDB tells all foreign keys.
    """
    tables = (Sql(name) for name in (session.dialect.FOREIGN, session.dialect.FOREIGN_COLUMNS))
    select = sql(
        "SELECT f.ID, f.FOR_NAME, f.REF_NAME, f.TYPE, c.REF_COL_NAME FROM information_schema.{} f"
        " JOIN information_schema.{} c ON c.ID = f.ID ORDER BY f.ID, c.POS",
        *tables,
    )
    try:
        rows = session.rows(select, a_text, a_text, a_text, a_count, a_name)
    except ServerError as error:
        if error.code not in DENIED:
            raise
        lines = (str(line) for line in first_values(session.rows(sql("SHOW GRANTS"), a_text)))
        given = parse_grants(lines)
        return () if any(g.schema == g.table == "*" and g.rights & _SHOWING for g in given) else None
    grouped = defaultdict[tuple[str, str, str, int], list[str]](list)
    for number, child, parent, flags, name in rows:
        grouped[str(number), str(child), str(parent), int(flags)].append(str(name))
    found = list[UnseenKey]()
    for (number, child, parent, flags), names in grouped.items():
        refers, named = _decoded(child), _decoded(parent)
        if beside_source(refers, _decoded(number)[1]) == "along":
            continue  # another lab's requests and approvals of rows of ours: they shall go along
        if flags & (_ON_DELETE | _ON_UPDATE) and named[0] in schemas and refers not in seen:
            acts = bool(flags & _ON_DELETE), bool(flags & _ON_UPDATE)
            found.append(UnseenKey(".".join(refers), named, tuple(names), *acts))
    return tuple(found)


def acting_unseen(
    session: Session, schemas: Collection[str], seen: Collection[TableName]
) -> Mapping[TableName, tuple[str, ...]] | None:
    """Tables of these schemas, each with the tables of which rows would go or change along, unseen.

    None where the account cannot know, as with `unseen_keys`.
    """
    keys = unseen_keys(session, schemas, seen)
    if keys is None:
        return None
    found = defaultdict[TableName, set[str]](set)
    for key in keys:
        if key.acts_on_delete:
            found[key.parent].add(key.name)
    return {table: tuple(sorted(names)) for table, names in found.items()}


def _decoded(name: str) -> TableName:
    schema, _, table = _CODED.sub(lambda m: chr(int(m[1], 16)), name).partition("/")
    return schema, table
