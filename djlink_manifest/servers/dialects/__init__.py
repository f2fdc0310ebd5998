"""What differs between vendors, one module each with the same names in it."""

from __future__ import annotations

import re
from typing import Protocol

from djlink_manifest.errors import Unreachable
from djlink_manifest.model.server.catalog import Version
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.dialects import mariadb, mysql
from djlink_manifest.servers.dialects.facts import ColumnFacts

__all__ = ["ColumnFacts", "Dialect", "check_supported", "dialect_of", "version_of"]


class Dialect(Protocol):
    """What a vendor's module has.

    `OLDEST` is the first version that djlink works with; `SETTINGS` are set in each session beside those of
    every vendor. `ONE_MENTION`: a statement may name a temporary table once only.
    `DIGEST` is the XOR, in hex, of the first `DIGEST_BITS` bits of the SHA-256 of a text, whose
    place is `{}`. The others concern `information_schema`: `INDEX_EXPRESSION` and `COLLATION_NAME` are
    columns that the vendors call differently or lack, as are `SRID`, the spatial system of a column, and
    `UNUSED_INDEX`, whether the optimizer leaves an index aside; `CHECKS` is the query of the (schema, table,
    name, clause) of checks, the clause NULL where it says that the column of that name is JSON; where it has
    no table, `CHECKED_TABLES` is that of the (schema, name, table, whether enforced); `HIDES_CHECKS` tells
    that an account with rights on single tables sees no checks there, and no rules of foreign keys; `FOREIGN`
    is InnoDB's own table of all foreign keys.
    """

    OLDEST: tuple[int, ...]
    ONE_MENTION: bool
    SETTINGS: tuple[str, ...]
    INDEX_EXPRESSION: str
    COLLATION_NAME: str
    SRID: str
    UNUSED_INDEX: str
    CHECKS: str
    CHECKED_TABLES: str | None
    HIDES_CHECKS: bool
    FOREIGN: str
    FOREIGN_COLUMNS: str
    DIGEST: str
    DIGEST_BITS: int

    def column(self, facts: ColumnFacts, is_json: bool) -> Column:
        """A column as the catalogue describes it. `is_json`: `JSON_COLUMNS` names it."""

    def expression(self, text: str) -> str:
        """An expression of the catalogue as DDL takes it."""


def dialect_of(version: Version) -> Dialect:
    """The module of a server's vendor."""
    return mariadb if version.vendor == "mariadb" else mysql


def version_of(text: str) -> Version:
    """The version from `SELECT VERSION()`: `9.7.4-2`, `10.11.6-MariaDB-log`."""
    vendor = "mariadb" if "mariadb" in text.lower() else "mysql"
    # a MariaDB that is replicated to may call itself 5.5.5-10.11.6-MariaDB
    digits = re.match(r"(?:5\.5\.5-)?([0-9]{1,4}(?:\.[0-9]{1,6}){0,4})(?![0-9])", text)
    plain = digits[1] if digits else text
    return Version(vendor, plain, tuple(int(n) for n in plain.split(".")) if digits else ())


def check_supported(version: Version, server: str) -> None:
    """Raise Unreachable for a server that this version of djlink does not know."""
    if version.numbers < dialect_of(version).OLDEST:
        oldest = [".".join(str(n) for n in each.OLDEST) for each in (mysql, mariadb)]
        raise Unreachable(
            f"the server is {version.vendor} {version.text}, which djlink does not support",
            server=server,
            hint=f"use MySQL {oldest[0]}, MariaDB {oldest[1]}, or a later version",
        )
