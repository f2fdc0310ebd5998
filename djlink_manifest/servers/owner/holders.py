"""Which other labs link tables of this server, as far as the account may use their owner schemas."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from djlink_manifest.errors import ConnectionLost, ServerError
from djlink_manifest.model.links.holding import OwnedLink, Unreadable
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.owner_views import owner_view_name
from djlink_manifest.servers.owner.views import owner_schemas, read_links
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql, table


def holders(session: Session, tables: Collection[TableName]) -> Iterator[OwnedLink]:
    """The links of other labs whose source is one of these tables, and whose view of held rows answers.

    Of others the foreign keys tell, where the account sees them; those keep their rows in any case.
    """
    for schema in owner_schemas(session):
        links = read_links(session, schema)
        for link in () if isinstance(links, Unreadable) else links:
            if link.source in tables and _answers(session, link):
                yield link


def _answers(session: Session, link: OwnedLink) -> bool:
    try:
        session.rows(sql("SELECT 1 FROM {} LIMIT 1", table(link.schema, owner_view_name(link.base, "held"))))
    except ConnectionLost:
        raise
    except ServerError:
        return False
    return True
