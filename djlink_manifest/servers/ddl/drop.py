"""Taking a link's tables away, on either side. Each statement can be repeated."""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.derive import beside_key
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.servers.session.session import Writer
from djlink_manifest.servers.sql import columns, ident, idents, sql, table

REMOVED = "released (removed)"


def drop_foreign_key(session: Writer, of: TableName, name: str) -> None:
    """Drop a foreign key if it is there."""
    found = session.count(
        sql(
            "SELECT COUNT(*) FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_TYPE = 'FOREIGN KEY'"
            " AND TABLE_SCHEMA = {} AND TABLE_NAME = {} AND CONSTRAINT_NAME = {}",
            *of,
            name,
        )
    )
    if found:
        session.ddl(f"ALTER TABLE {table(*of).text} DROP FOREIGN KEY {ident(name).text}")


def drop_table(session: Writer, of: TableName) -> None:
    """Drop a table if it is there."""
    session.ddl(f"DROP TABLE IF EXISTS {table(*of).text}")


def drop_view(session: Writer, of: TableName) -> None:
    """Drop a view if it is there."""
    session.ddl(f"DROP VIEW IF EXISTS {table(*of).text}")


def record_release(session: Writer, ledger: TableName, outbound: TableName, key: Sequence[str]) -> None:
    """Enter into the ledger that all of outbound is let go."""
    names = [beside_key(key, name) for name in ("event", "who", "reason")]
    session.execute(
        sql(
            "INSERT INTO {} ({}) SELECT {}, {}, USER(), '' FROM {} r",
            table(*ledger),
            idents((*key, *names)),
            columns("r", key),
            REMOVED,
            table(*outbound),
        )
    )


def drop_mark(session: Writer, schema: str, link_id: str) -> None:
    """Take away the link's mark."""
    session.execute(sql("DELETE FROM {} WHERE link_id = {}", table(schema, MARKS), link_id))
