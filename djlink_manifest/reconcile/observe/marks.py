"""What stands already, asked in one session and a statement or two: the marks of a schema."""

from __future__ import annotations

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.reconcile.diff.link_tables import FOREIGN_HINT
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session


def marks_in(address: ServerAddress, schema: str, manifest: str) -> tuple[Mark, ...]:
    """The marks of a manifest's links in a schema of a server, by source table; none where it has no marks.

    Raises Unreachable, and ServerError where the marks cannot be read.
    """
    session = open_session(address, Session)
    try:
        catalog = read_catalog(session, [schema], [schema])
    except ServerError as error:
        error.server = error.server or address.name
        raise
    finally:
        session.close()
    if schema in catalog.foreign_marks:
        words = f"the table `{MARKS}` of `{schema}` is not djlink's: it {catalog.foreign_marks[schema]}"
        raise ServerError(words, server=address.name, hint=FOREIGN_HINT)
    marks = catalog.marks.get(schema, ())
    return tuple(
        sorted((m for m in marks if m.manifest == manifest), key=lambda m: (m.source_schema, m.source_table))
    )
