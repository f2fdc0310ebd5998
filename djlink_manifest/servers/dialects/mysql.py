"""MySQL 8 and 9: session settings, and how their catalogue says what a column is."""

from __future__ import annotations

from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.dialects.facts import ColumnFacts

OLDEST = (8, 0, 19)
ONE_MENTION = True
SETTINGS: tuple[str, ...] = (
    "information_schema_stats_expiry = 0",  # row and byte estimates of today
    # COUNT(*) starts four threads for each table, which for a small one takes longer than to count it
    "innodb_parallel_read_threads = 1",
    # that of its catalog, with which names are compared
    "default_collation_for_utf8mb4 = utf8mb4_0900_ai_ci",
    "max_execution_time = 0",  # else the server ends a long comparison in the middle
)
INDEX_EXPRESSION = "EXPRESSION"
FOREIGN, FOREIGN_COLUMNS = "INNODB_FOREIGN", "INNODB_FOREIGN_COLS"
COLLATION_NAME = "COLLATION_NAME"
SRID, UNUSED_INDEX = "SRS_ID", "IS_VISIBLE = 'NO'"
CHECKS = """
SELECT CONSTRAINT_SCHEMA, NULL, CONSTRAINT_NAME, CHECK_CLAUSE
FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA IN ({})"""
CHECKED_TABLES: str | None = """
SELECT CONSTRAINT_SCHEMA, CONSTRAINT_NAME, TABLE_NAME, ENFORCED
FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_SCHEMA IN ({}) AND CONSTRAINT_TYPE = 'CHECK'"""
HIDES_CHECKS = False
# XOR of whole binary strings, since 8.0
DIGEST, DIGEST_BITS = "HEX(BIT_XOR(UNHEX(SHA2({}, 256))))", 256


def column(facts: ColumnFacts, is_json: bool) -> Column:
    """A column as the catalogue describes it."""
    is_expression = facts.has("DEFAULT_GENERATED")
    default = facts.default
    return Column(
        name=facts.name,
        type=facts.type,
        nullable=facts.nullable,
        default=expression(default) if is_expression and default else default,
        default_is_expression=is_expression,
        on_update=facts.on_update,
        auto_increment=facts.has("AUTO_INCREMENT"),
        charset=facts.charset,
        collation=facts.collation,
        comment=facts.comment,
        generated=expression(facts.generation) if facts.generation else None,
        stored=facts.has("STORED GENERATED"),
        invisible=facts.has("INVISIBLE"),
        srid=facts.srid,
    )


def expression(text: str) -> str:
    """An expression of the catalogue as DDL takes it: the catalogue escapes quotes and backslashes."""
    out, rest = [], iter(text)
    for char in rest:
        out.append(next(rest, "") if char == "\\" else char)
    return "".join(out)
