"""Give local tables other names: their rows stay where they are, and foreign keys follow."""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.servers.session.checked_values import a_name
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.sql import comma, or_, sql, table

TRIGGER_IN_WRONG_SCHEMA = 1435


def rename_tables(session: Writer, pairs: Sequence[tuple[TableName, TableName]]) -> None:
    """Rename those of the tables that still have their former names, all of them or none.

    Raises ServerError where a trigger keeps one in its schema, AlreadyExists, TableInUse.
    """
    existing = _existing(session, [old for old, _ in pairs])
    due = [(old, new) for old, new in pairs if old in existing]
    if not due:
        return
    clauses = comma([sql("{} TO {}", table(*old), table(*new)) for old, new in due])
    try:
        session.ddl(f"RENAME TABLE {clauses.text}")
    except ServerError as error:
        if error.code != TRIGGER_IN_WRONG_SCHEMA:
            raise
        names = ", ".join(f"{schema}.{name}" for (schema, name), _ in due)
        raise ServerError(
            f"a table with triggers cannot be moved to another schema: one of {names} has a trigger",
            code=error.code,
            server=session.name,
            hint="drop the triggers of your own on these tables (SHOW TRIGGERS), run `djlink apply` again, "
            "and create them anew in the new schema",
        ) from error


def _existing(session: Session, names: Sequence[TableName]) -> set[TableName]:
    """Those of the tables that exist."""
    listed = or_([sql("(TABLE_SCHEMA = {} AND TABLE_NAME = {})", *name) for name in names])
    query = sql("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE {}", listed)
    return {(schema, name) for schema, name in session.rows(query, a_name, a_name)}
