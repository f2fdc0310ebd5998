"""MariaDB 10.11 and later: how its catalogue says what a column is, in the words of MySQL's.

Definitions of the two vendors are compared, so each type and default has one spelling here: `int` for
`int(11)`, `CURRENT_TIMESTAMP` for `current_timestamp()`, `json` for the text that JSON is on MariaDB.
"""

from __future__ import annotations

import re

from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.dialects.facts import ColumnFacts
from djlink_manifest.servers.sql import unescaped

OLDEST = (10, 11)
ONE_MENTION = False
SETTINGS: tuple[str, ...] = (
    # CREATE without IF NOT EXISTS is an error where the table stands; an ALTER may copy a table if it must
    "sql_if_exists = 0, alter_algorithm = 'DEFAULT', check_constraint_checks = 1",
    "old_mode = 'UTF8_IS_UTF8MB3'",
    # a batch may wait for the other server, or for external objects, longer than somebody's limit for people
    "idle_transaction_timeout = 0, idle_write_transaction_timeout = 0, idle_readonly_transaction_timeout = 0",
    "max_statement_time = 0",  # else the server ends a long comparison in the middle
)
INDEX_EXPRESSION = "NULL"  # it has no index over an expression
FOREIGN, FOREIGN_COLUMNS = "INNODB_SYS_FOREIGN", "INNODB_SYS_FOREIGN_COLS"
COLLATION_NAME = "FULL_COLLATION_NAME"
# it takes XOR of numbers only
DIGEST, DIGEST_BITS = "HEX(BIT_XOR(CAST(CONV(LEFT(SHA2({}, 256), 16), 16, 10) AS UNSIGNED)))", 64
SRID, UNUSED_INDEX = "NULL", "IGNORED = 'YES'"
# JSON is a longtext there whose check has the column's name
CHECKS = """
SELECT k.CONSTRAINT_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME,
       IF(c.DATA_TYPE = 'longtext', NULLIF(k.CHECK_CLAUSE,
          CONCAT('json_valid(`', REPLACE(k.CONSTRAINT_NAME, '`', '``'), '`)')), k.CHECK_CLAUSE)
FROM information_schema.CHECK_CONSTRAINTS k
LEFT JOIN information_schema.COLUMNS c
  ON c.TABLE_SCHEMA = k.CONSTRAINT_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME
 AND c.COLUMN_NAME = k.CONSTRAINT_NAME
WHERE k.CONSTRAINT_SCHEMA IN ({})"""
CHECKED_TABLES: str | None = None
HIDES_CHECKS = True  # and rules of foreign keys, from accounts with rights on single tables

# the width that integers are shown with says nothing, but for the tinyint(1) that stands for a bool
_WIDTH = re.compile(r"(?<=int)\(\d+\)(?! unsigned zerofill)")
_BOOL = re.compile(r"tinyint\(1\)")
_COMPRESSED = re.compile(r" /\*M?!\d+ COMPRESSED\*/")
_NOW = re.compile(r"current_timestamp\((\d?)\)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:e[+-]?\d+)?|b'[01]*'|0x[0-9a-f]*|x'[0-9a-f]*'", re.IGNORECASE)
_HEX = re.compile(r"x'([0-9a-f]+)'", re.IGNORECASE)  # since 11.8 of bytes
_STRING = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)


def column(facts: ColumnFacts, is_json: bool) -> Column:
    """A column as the catalogue describes it."""
    default, is_expression = _default(facts.default)
    generated = facts.generation or None
    return Column(
        name=facts.name,
        type="json" if is_json else _type(facts.type),
        nullable=facts.nullable,
        default=None if generated else default,
        default_is_expression=is_expression,
        on_update=_now(facts.on_update) if facts.on_update else None,
        auto_increment=facts.has("AUTO_INCREMENT"),
        charset=None if is_json else facts.charset,
        collation=None if is_json else facts.collation,
        comment=facts.comment,
        generated=generated,
        stored=facts.has("STORED GENERATED"),
        invisible=facts.has("INVISIBLE"),
    )


def expression(text: str) -> str:
    """An expression of the catalogue as DDL takes it: as it stands."""
    return text


def _type(text: str) -> str:
    if _BOOL.fullmatch(text):
        return text
    return "year" if text == "year(4)" else _WIDTH.sub("", _COMPRESSED.sub(" COMPRESSED", text))


def _default(text: str | None) -> tuple[str | None, bool]:
    """A default, and whether it is an expression; the text NULL stands for the default NULL."""
    if text is None or text == "NULL":
        return None, False
    string = _STRING.fullmatch(text)
    if string:
        return unescaped(string[1]), False
    hexed = _HEX.fullmatch(text)
    if hexed:
        return f"0x{hexed[1]}", False
    if _NUMBER.fullmatch(text):
        return text, False
    return _now(text), True


def _now(text: str) -> str:
    return _NOW.sub(lambda m: f"CURRENT_TIMESTAMP({m[1]})" if m[1] else "CURRENT_TIMESTAMP", text)
