"""All tables of a test on all servers, as checksums and as numbers of rows."""

from __future__ import annotations

from typing import Any

from tests.support.rig import Rig
from tests.support.sql import ask


def checksums(rig: Rig) -> list[tuple[Any, ...]]:
    """What stands in all tables of the test, of every server."""
    found = []
    for server in rig.servers:
        tables = ask(
            server,
            "SELECT CONCAT('`', TABLE_SCHEMA, '`.`', TABLE_NAME, '`') FROM information_schema.TABLES"
            " WHERE LEFT(TABLE_SCHEMA, %s) = %s ORDER BY 1",
            (len(rig.names.prefix), rig.names.prefix),
        )
        found += ask(server, f"CHECKSUM TABLE {', '.join(t for (t,) in tables)}") if tables else []
    return found


def standing(rig: Rig) -> list[list[tuple[Any, ...]]]:
    """Every table of the test on each server, with its number of rows."""
    found = []
    for server in rig.servers:
        tables = ask(
            server,
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE LEFT(TABLE_SCHEMA, %s) = %s"
            " AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1, 2",
            (len(rig.names.prefix), rig.names.prefix),
        )
        found.append([(*t, ask(server, f"SELECT COUNT(*) FROM `{t[0]}`.`{t[1]}`")[0][0]) for t in tables])
    return found
