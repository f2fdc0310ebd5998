"""MySQL 8 and 9: session settings, error numbers, catalogue texts."""

from __future__ import annotations

OLDEST = (8, 0, 19)

# Strict, so that no value is changed on its way in; without the NO_ZERO_* and with ALLOW_INVALID_DATES, so
# that a date that the source holds is held here too. Naming the mode whole keeps ANSI_QUOTES,
# NO_BACKSLASH_ESCAPES and PAD_CHAR_TO_FULL_LENGTH off, which would change what our text means.
SQL_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES"

# seconds that a statement may wait for a table; a DDL less: every later query on the table queues behind it
LOCK_WAIT, DDL_WAIT = 60, 3

SESSION_SETTINGS: tuple[str, ...] = (
    f"SET SESSION sql_mode = '{SQL_MODE}'",
    "SET SESSION time_zone = '+00:00'",  # TIMESTAMP values are equal on both sides
    "SET SESSION foreign_key_checks = 1, unique_checks = 1, autocommit = 1",
    # else INSERT … SELECT into a key table locks the source's rows, and the gaps that its rig inserts into
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    f"SET SESSION lock_wait_timeout = {LOCK_WAIT}, innodb_lock_wait_timeout = 20",
    "SET SESSION net_write_timeout = 600, net_read_timeout = 600, wait_timeout = 604800",
    "SET SESSION information_schema_stats_expiry = 0",  # row and byte estimates of today
)

LOST = frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 2006, 2013, 2014, 2055, 4031})
WAITED = frozenset({1205})
DEADLOCK = frozenset({1213})
EXISTS = frozenset({1050, 1060, 1061, 1826})
DENIED = frozenset({1044, 1142, 1143, 1227, 1370, 1410})
LOCKED_ACCOUNT = frozenset({3118, 3955})
CREDENTIALS = frozenset({1045, 1698, 1820, 1862}) | LOCKED_ACCOUNT
FULL = frozenset({1040, 1203, 1226})
PLAIN_REFUSED = frozenset({3159})
REFERENCED = frozenset({1217, 1451})  # the row to be deleted or changed is one that others refer to
REFUSED_ROWS = REFERENCED | frozenset(
    {1048, 1062, 1216, 1264, 1265, 1292, 1364, 1366, 1406, 1452, 1525, 1690, 3140, 3819, 4025}
)


def generated_text(expression: str) -> str:
    """An expression of information_schema as DDL takes it: the catalogue escapes quotes and backslashes."""
    out, rest = [], iter(expression)
    for char in rest:
        out.append(next(rest, "") if char == "\\" else char)
    return "".join(out)
