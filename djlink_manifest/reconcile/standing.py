"""What stands already, asked in one session and a statement or two: the marks of a schema."""

from __future__ import annotations

from djlink_manifest.errors import ServerError
from djlink_manifest.model.catalog import Mark
from djlink_manifest.model.naming import MARKS
from djlink_manifest.model.server import ServerAddress
from djlink_manifest.servers.connection import Session, open_session
from djlink_manifest.servers.marks import read_marks
from djlink_manifest.servers.sql import sql


def marks_in(address: ServerAddress, schema: str, manifest: str) -> tuple[Mark, ...]:
    """The marks of a manifest's links in a schema of a server, by source table; none where it has no marks.

    Raises Unreachable, and ServerError where the marks cannot be read.
    """
    session = open_session(address, Session)
    try:
        columns = session.rows(
            sql(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS"
                " WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                schema,
                MARKS,
            )
        )
        names = [str(row[0]) for row in columns]
        marks = read_marks(session, {schema: names})[schema] if names else ()
    except ServerError as error:
        error.server = error.server or address.name
        raise
    finally:
        session.close()
    return tuple(
        sorted((m for m in marks if m.manifest == manifest), key=lambda m: (m.source_schema, m.source_table))
    )
