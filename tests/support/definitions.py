"""The definition and the values of a table, read from a server, to compare two of them."""

from __future__ import annotations

from typing import Any

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.support.rig import Rig
from tests.support.sql import ask

ALL = {"tables": "*"}


def facts(server: SandboxServer, schema: str, table: str, what: str) -> list[tuple[object, ...]]:
    """What a server's catalogue says of a table, in columns that do not name the server or schema."""
    return ask(
        server,
        f"SELECT {what} AND TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY 1, 2",
        (schema, table),
    )


COLUMNS = (
    "ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, CAST(COLUMN_DEFAULT AS BINARY),"
    " REPLACE(EXTRA, 'auto_increment', ''), CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT,"
    " GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE TRUE"
)
INDEX_PARTS = (
    "INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART, {expression}, NON_UNIQUE, COLLATION, INDEX_TYPE,"
    " {unused} FROM information_schema.STATISTICS WHERE TRUE"
)
SPATIAL = "COLUMN_NAME, SRS_ID FROM information_schema.COLUMNS WHERE SRS_ID IS NOT NULL"
# without the names: those of a linked table are djlink's
CHECKS = {
    "mysql": "CHECK_CLAUSE, ENFORCED FROM information_schema.CHECK_CONSTRAINTS JOIN"
    " information_schema.TABLE_CONSTRAINTS USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME) WHERE TRUE",
    "mariadb": "CHECK_CLAUSE, 'YES' FROM (SELECT *, CONSTRAINT_SCHEMA AS TABLE_SCHEMA FROM"
    " information_schema.CHECK_CONSTRAINTS) c WHERE TRUE",
}
COMMENTS = "TABLE_COMMENT, ENGINE FROM information_schema.TABLES WHERE TRUE"


def definition(server: SandboxServer, schema: str, table: str) -> list[list[tuple[object, ...]]]:
    """All that the server's catalogue says of a table."""
    mysql = server.vendor == "mysql"
    parts = INDEX_PARTS.format(
        expression="EXPRESSION" if mysql else "NULL", unused="IS_VISIBLE" if mysql else "IGNORED"
    )
    asked = (COLUMNS, parts, COMMENTS, CHECKS[server.vendor], *([SPATIAL] if mysql else []))
    return [facts(server, schema, table, what) for what in asked]


def every_value(server: SandboxServer, schema: str, table: str) -> list[tuple[object, ...]]:
    """All rows, every column as the hex of its bytes, but FLOAT and DOUBLE of the number sent.

    MySQL's CAST of a double drops digits; what it sends of one does not.
    """
    columns = ask(
        server,
        "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s"
        " AND TABLE_NAME = %s"
        " ORDER BY ORDINAL_POSITION",
        (schema, table),
    )
    listed = [
        f"{quoted_name(name)} * 1e0"
        if kind in ("float", "double")
        else f"HEX(CAST({quoted_name(name)} AS BINARY))"
        if kind not in ("bit", "point", "vector")
        else f"HEX({quoted_name(name)})"
        for name, kind in columns
    ]
    rows = ask(server, f"SELECT {', '.join(listed)} FROM {quoted_name(schema)}.{quoted_name(table)}")
    # as hex, which tells -0.0 from 0.0
    return sorted((tuple(v.hex() if isinstance(v, float) else v for v in row) for row in rows), key=repr)


def applied_cleanly(rig: Rig, document: dict[str, Any]) -> None:
    """Apply; everything is done, and a second plan has nothing to do."""
    plan, report = rig.apply(document)
    assert not plan.has_errors, [(x.address, x.blocked) for x in plan.links] + list(plan.refusals)
    assert report.succeeded, [(o.address, o.problem) for o in report.outcomes]
    again = rig.plan(document)
    assert not again.has_errors, [(x.address, x.blocked) for x in again.links]
    assert not again.has_changes, [(x.address, x.actions) for x in again.links]
    assert not any(x.drift for x in again.links), [(x.address, x.drift) for x in again.links]


NOPAD = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}
